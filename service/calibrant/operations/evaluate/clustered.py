"""Calibration error of rows that come in dependent clusters: sums per cluster and bin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.edges import bin_index, equal_edges
from calibrant.numerics.special import stdtrit

N_BINS = 15
_BLOCK = 200_000  # clusters held at a time: 2 x 24 MB
_DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class ClusteredError:
    """Calibration error with intervals that hold when rows of a cluster depend on each other.

    Attributes
    ----------
    n_clusters : int
    l2 : float
        Debiased squared L2 error: pairs of rows of one cluster are left out.
    l2_sd, l2_null_sd : float
        Its standard deviation, and that of a calibrated model.
    floor_mean, floor_p95 : float
        ECE of a calibrated model with these clusters, on average and at most in 95 of 100 samples.
    noise : float
        97.5 % quantile of the same.
    bias_sd : float
        Standard deviation of the mean of score minus outcome.
    """

    n_clusters: int
    l2: float
    l2_sd: float
    l2_null_sd: float
    floor_mean: float
    floor_p95: float
    noise: float
    bias_sd: float

    @property
    def quantile(self) -> float:
        """97.5 % quantile of Student's t with one degree of freedom less than clusters."""
        return float(stdtrit(max(self.n_clusters - 1, 1), 0.975))


def clustered_error(
    score: NDArray[np.float64],
    outcome: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    clusters: NDArray[Any],
    *,
    seed: int,
) -> ClusteredError | None:
    r"""Return the debiased calibration error of clustered rows, or None below two clusters.

    .. math:: E_2 = \sum_b \frac{W_b}{W}\,
       \frac{S_b^2 - \sum_g S_{gb}^2}{W_b^2 - \sum_g W_{gb}^2}

    with :math:`S_{gb}` the sum of w (p - y) over the rows of cluster g in bin b. With clusters of
    one row it is the debiased L2 error of independent rows. The variance is that of the linear
    part over clusters, plus :math:`2\sum_{bb'} C_{bb'}^2/(W_b W_{b'} W^2)`, C the cross products
    of the centred sums.

    Parameters
    ----------
    score : float64 array of shape (n,)
    outcome : bool array of shape (n,)
    weights : float64 array of shape (n,), or None
    clusters : int array of shape (n,), not negative
    seed : int
        Of the draws behind the floor.
    """
    if not len(score):
        return None
    bins = bin_index(score, equal_edges(N_BINS))
    weight = np.ones(len(score)) if weights is None else weights
    residual = weight * (score - outcome)
    total_s = np.bincount(bins, weights=residual, minlength=N_BINS)
    total_w = np.bincount(bins, weights=weight, minlength=N_BINS)
    full = total_w > 0
    mean = np.where(full, total_s / np.where(full, total_w, 1.0), 0.0)
    w_all = total_w.sum()
    plug_in = float((total_w * mean**2).sum() / w_all)
    overall = float(total_s.sum() / w_all)

    own, own_w = np.zeros(N_BINS), np.zeros(N_BINS)
    cross = np.zeros((N_BINS, N_BINS))
    linear = spread = 0.0
    n_clusters = 0
    for s, w in _sums(bins, clusters, residual, weight):
        n_clusters += len(s)
        own += (s**2).sum(axis=0)
        own_w += (w**2).sum(axis=0)
        centred = s - mean * w
        cross += centred.T @ centred
        weight_g = w.sum(axis=1)
        linear += float(((2 * centred @ mean + w @ mean**2 - weight_g * plug_in) ** 2).sum())
        spread += float(((s.sum(axis=1) - weight_g * overall) ** 2).sum())
    if n_clusters < 2:
        return None

    small = n_clusters / (n_clusters - 1)
    pairs = total_w**2 - own_w
    usable = pairs > 1e-12 * total_w**2
    unbiased = (total_s**2 - own)[usable] / pairs[usable]
    l2 = float((total_w[usable] * unbiased).sum() / w_all)
    scale = np.sqrt(np.where(full, total_w, np.inf))
    quadratic = 2 * float(((cross / np.outer(scale, scale)) ** 2).sum()) / w_all**2
    floor = _null_ece(cross * small, seed) / w_all
    return ClusteredError(
        n_clusters,
        l2,
        float(np.sqrt(small * linear / w_all**2 + small**2 * quadratic)),
        small * float(np.sqrt(quadratic)),
        float(floor.mean()),
        float(np.quantile(floor, 0.95)),
        float(np.quantile(floor, 0.975)),
        float(np.sqrt(small * spread) / w_all),
    )


def _sums(
    bins: NDArray[np.int64],
    clusters: NDArray[Any],
    residual: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield sums of residuals and of weights per cluster and bin, some clusters at a time."""
    _, codes = np.unique(clusters, return_inverse=True)
    n_clusters = int(codes.max()) + 1
    for start in range(0, n_clusters, _BLOCK):
        size = min(_BLOCK, n_clusters - start)
        pick = slice(None) if size == n_clusters else (codes >= start) & (codes < start + size)
        cell = (codes[pick] - start) * N_BINS + bins[pick]
        s, w = (
            np.asarray(
                np.bincount(cell, weights=values[pick], minlength=size * N_BINS), dtype=np.float64
            ).reshape(size, N_BINS)
            for values in (residual, weight)
        )
        yield s, w


def _null_ece(covariance: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Draw the sum over bins of absolute Gaussian noise with this covariance."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    draws = np.random.default_rng(seed).standard_normal((_DRAWS, len(root)))
    return np.asarray(np.abs(draws @ root.T).sum(axis=1))

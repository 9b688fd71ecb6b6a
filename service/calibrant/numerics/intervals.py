"""Intervals: exact ones for rates, robust ones for means, and a bootstrap from bins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics import calibration
from calibrant.numerics.special import betaincinv, ndtri, stdtrit
from calibrant.numerics.table import Bins, divide, plain, slice_codes


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval.

    Attributes
    ----------
    value, low, high, se : float
        NaN where they cannot be computed.
    n_eff : float
        Effective rows, W^2 / sum w^2; with clusters the number of clusters.
    """

    value: float
    low: float
    high: float
    se: float
    n_eff: float


def clopper_pearson(
    positives: NDArray[Any] | float, n: NDArray[Any] | float, *, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the exact interval of a rate.

    Parameters
    ----------
    positives, n : arrays of one shape, 0 <= positives <= n
        Need not be whole: weighted rates give rate * n_eff and n_eff.
    level : float in (0, 1)

    Returns
    -------
    low, high : float64 arrays
        In [0, 1]; NaN where n is 0.

    References
    ----------
    .. [1] Clopper, Pearson (1934), Biometrika 26.

    Examples
    --------
    >>> low, high = clopper_pearson(np.array([0, 5]), np.array([10, 10]))
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.0, 0.1871], [0.3085, 0.8129])
    """
    k, total = np.broadcast_arrays(np.asarray(positives, float), np.asarray(n, float))
    alpha = 1.0 - level
    empty = ~(total > 0)
    size = np.where(empty, 1.0, total)
    hits = np.clip(np.where(empty, 0.0, k), 0.0, size)
    # Fewer than a millionth of a row from an end is that end: sums of weights round.
    none, every = hits < 1e-6, hits > size - 1e-6
    low = betaincinv(np.where(none, 1.0, hits), np.where(none, 1.0, size - hits + 1), alpha / 2)
    high = betaincinv(
        np.where(every, 1.0, hits + 1), np.where(every, 1.0, size - hits), 1 - alpha / 2
    )
    low, high = np.where(none, 0.0, low), np.where(every, 1.0, high)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def mean_interval(
    values: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    clusters: NDArray[Any] | None = None,
    *,
    level: float = 0.95,
) -> Interval:
    """Return a mean with its Student interval, robust to dependence inside clusters.

    Parameters
    ----------
    values : float64 array of shape (n,)
    weights : float64 array of shape (n,), optional
        Reliabilities: the variance uses w^2.
    clusters : int array of shape (n,), optional
        Rows with the same code may depend on each other; a code below 0 is a cluster of one.
    level : float in (0, 1)

    Returns
    -------
    Interval
        With one row, or one cluster, only `value` is a number.
    """
    found = slice_means(values, None, 1, weights, clusters, level=level)
    return Interval(*(float(column[0]) for column in found))


def paired_difference(
    after: NDArray[np.float64],
    before: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    clusters: NDArray[Any] | None = None,
    *,
    level: float = 0.95,
) -> Interval:
    """Return the mean of `after - before` on the same rows; parameters as in `mean_interval`."""
    return mean_interval(after - before, weights, clusters, level=level)


class SliceMeans(NamedTuple):
    """Means per slice with intervals; float64 arrays of shape (n_slices,)."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    se: NDArray[np.float64]
    n_eff: NDArray[np.float64]


def slice_means(
    values: NDArray[np.float64],
    codes: NDArray[Any] | None,
    n_slices: int,
    weights: NDArray[np.float64] | None = None,
    clusters: NDArray[Any] | None = None,
    *,
    level: float = 0.95,
) -> SliceMeans:
    """Return `mean_interval` of every slice, all in two passes.

    Parameters
    ----------
    values : float64 array of shape (n,)
    codes : int array of shape (n,), or None
        Slice of each row; -1: in none. None: all rows in slice 0.
    n_slices : int
    weights, clusters, level
        As in `mean_interval`.
    """
    from calibrant.numerics.kernels import binning

    x, w = plain(values), np.zeros(1) if weights is None else plain(weights)
    slices = np.zeros(1, dtype=np.int32) if codes is None else slice_codes(codes)
    rows = (x, w, weights is not None, slices, codes is not None)
    sums, squares = np.zeros((n_slices, 3)), np.zeros(n_slices)
    binning.slice_sums(*rows, sums)
    total, first, w2 = sums.T
    mean, units = divide(first, total), divide(total**2, w2, 0.0)
    if clusters is None:
        binning.slice_squares(*rows, mean, squares)
    else:
        units, squares = _clustered_squares(x, weights, codes, clusters, mean)
    enough = units > 1.0 + 1e-12
    size = np.where(enough, units, 2.0)
    se = np.where(enough, divide(np.sqrt(squares * size / (size - 1.0)), total), np.nan)
    half = stdtrit(size - 1.0, 0.5 + level / 2) * se
    return SliceMeans(mean, mean - half, mean + half, se, units)


def _sums(codes: NDArray[np.int64], values: NDArray[Any], size: int) -> NDArray[np.float64]:
    return np.bincount(codes, values, size).astype(np.float64)


def _pairs(
    slices: NDArray[np.int64], clusters: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return the slice of every (slice, cluster) pair that occurs, and the pair of every row."""
    codes = clusters.astype(np.int64)
    alone = codes < 0
    codes[alone] = int(codes.max(initial=0)) + 1 + np.arange(int(alone.sum()))
    width = int(codes.max(initial=0)) + 1
    pair, inverse = np.unique(slices * width + codes, return_inverse=True)
    return pair // width, inverse


def cluster_products(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    slices: NDArray[np.int64],
    clusters: NDArray[Any],
    n_slices: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return per slice the sums over clusters of products of the columns' cluster sums.

    Parameters
    ----------
    first, second : float64 arrays of shape (n,)
    slices : int64 array of shape (n,)
        Slice of each row, 0 or more.
    clusters : int array of shape (n,)
        A code below 0 is a cluster of one.
    n_slices : int

    Returns
    -------
    first*first, first*second, second*second : float64 arrays of shape (n_slices,)
        Times G / (G - 1) for G clusters.
    """
    owner, inverse = _pairs(slices, clusters)
    a, b = (np.bincount(inverse, column, len(owner)) for column in (first, second))
    groups = np.bincount(owner, minlength=n_slices)
    factor = groups / np.maximum(groups - 1.0, 1e-300)
    products = (np.bincount(owner, product, n_slices) for product in (a * a, a * b, b * b))
    aa, ab, bb = (np.where(groups > 1, product * factor, np.nan) for product in products)
    return aa, ab, bb


def _clustered_squares(
    values: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
    codes: NDArray[Any] | None,
    clusters: NDArray[Any],
    mean: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return per slice the number of clusters and the sum of squared cluster sums."""
    slices = np.zeros(len(values), np.int64) if codes is None else codes.astype(np.int64)
    keep = slices >= 0
    slices = slices[keep]
    residual = values[keep] - mean[slices]
    if weights is not None:
        residual *= weights[keep]
    owner, inverse = _pairs(slices, np.asarray(clusters)[keep])
    sums = np.bincount(inverse, residual, len(owner))
    return (
        np.bincount(owner, minlength=len(mean)).astype(np.float64),
        _sums(owner, sums * sums, len(mean)),
    )


BootstrapMetric = Literal["bias", "brier", "oe_ratio", "l2_debiased"]
# Plug-in errors (ece, mce, ace, rmsce) are absent on purpose: resampling adds a second upward
# bias to theirs, and their percentile intervals cover 0 % for calibrated models.
_METRICS: dict[str, Callable[[Bins], NDArray[np.float64]]] = {
    "bias": calibration.bias,
    "brier": calibration.brier,
    "oe_ratio": calibration.oe_ratio,
    "l2_debiased": calibration.l2_debiased,
}


def resample(bins: Bins, index: int, *, draws: int = 1000, seed: int = 0) -> Bins:
    """Redraw one slice from its bins alone, at a cost that does not depend on its rows.

    Counts of (bin, outcome) cells are multinomial; sums of scores given the counts are Gaussian
    with the spread seen inside the cell.

    Parameters
    ----------
    bins : Bins
        Weighted rows count as their effective number.
    index : int
        The slice.
    draws, seed : int

    Returns
    -------
    Bins
        One draw per slice, shape (draws, n_bins), with weights scaled to 1.
    """
    one = bins.take([index])
    rng = np.random.default_rng(seed)
    unit = divide(one.w2, one.w, 1.0)[0]
    positives = one.y[0] / unit
    negatives = np.maximum(one.w[0] / unit - positives, 0.0)
    cells = np.concatenate([negatives, positives])
    total = max(1, round(float(cells.sum())))
    counts = rng.multinomial(total, cells / cells.sum(), draws).astype(np.float64)
    n_bins = len(negatives)
    mean = np.divide(one.p[0], one.w[0], out=np.zeros(n_bins), where=one.w[0] > 0)
    of_positives = np.divide(one.c[0], one.y[0], out=mean.copy(), where=one.y[0] > 0)
    rest = one.w[0] - one.y[0]
    of_negatives = np.divide(one.p[0] - one.c[0], rest, out=mean.copy(), where=rest > 1e-12)
    second = np.divide(one.p[0] - one.v[0], one.w[0], out=np.zeros(n_bins), where=one.w[0] > 0)
    spread = np.maximum(second - mean**2, 0.0)
    noise = rng.standard_normal((draws, 2 * n_bins)) * np.sqrt(counts * np.tile(spread, 2))
    sums = counts * np.concatenate([of_negatives, of_positives]) + noise
    n0, n1 = counts[:, :n_bins], counts[:, n_bins:]
    n, p = n0 + n1, sums[:, :n_bins] + sums[:, n_bins:]
    c = sums[:, n_bins:]
    squares = np.divide(p**2, n, out=np.zeros_like(p), where=n > 0) + n * spread
    return Bins.unweighted(one.edges, n.astype(np.int64), p, n1, np.maximum(p - squares, 0.0), c)


def bootstrap_difference(
    bins: Bins,
    index: int,
    other: int,
    metric: BootstrapMetric,
    *,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return how much a metric differs between two disjoint slices.

    Parameters
    ----------
    bins : Bins
    index, other : int
        Slices; the value is `metric(index) - metric(other)`.
    metric : {"bias", "brier", "oe_ratio", "l2_debiased"}
        Plug-in errors are refused: no bootstrap of theirs covers.
    draws, seed : int
    level : float in (0, 1)

    Raises
    ------
    ValueError
        If `metric` is not one of the above.
    """
    if metric not in _METRICS:
        message = f"`metric` must be one of {sorted(_METRICS)}"
        raise ValueError(message)
    compute = _METRICS[metric]
    value = compute(bins.take([index, other]))
    if not bins.n[[index, other]].sum(axis=1).all():
        return Interval(np.nan, np.nan, np.nan, np.nan, 0.0)
    samples = [
        compute(resample(bins, slice_, draws=draws, seed=seed + place))
        for place, slice_ in enumerate((index, other))
    ]
    difference = float(value[0] - value[1])
    se = float(np.nanstd(samples[0] - samples[1], ddof=1))
    half = float(ndtri(0.5 + level / 2)) * se
    n_eff = float(bins.take([index, other]).n_eff.min())
    return Interval(difference, difference - half, difference + half, se, n_eff)

"""What the calibration error of a calibrated model looks like at these scores and this size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibration import ece
from calibrant.numerics.special import erfc, ndtri
from calibrant.numerics.table import Bins, divide

DRAWS = 2000
_GAUSSIAN_FROM = 5.0
"""Variance of a bin's sum from which its draws are Gaussian; below it they are Bernoulli."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseFloor:
    """The ECE that a calibrated model would show, per slice; arrays of shape (n_slices,).

    Attributes
    ----------
    mean : float64 array
        Expected ECE, by formula.
    p95 : float64 array
        95 % of calibrated data sets stay below it.
    low, high : float64 arrays
        The central 95 % of the ECE under calibration.
    p_value : float64 array
        Share of calibrated data sets with an ECE at least as large, in (0, 1].
    """

    mean: NDArray[np.float64]
    p95: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p_value: NDArray[np.float64]


def null_draws(bins: Bins, *, draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """Return ECE values of calibrated data sets with these scores.

    Parameters
    ----------
    bins : Bins
    draws, seed : int
        All slices share the random numbers of a bin, so a slice's draws do not depend on the
        other slices.

    Returns
    -------
    float64 array of shape (draws, n_slices)
        NaN columns where a slice is empty.
    """
    rng = np.random.default_rng(seed)
    normal = np.abs(rng.standard_normal((draws, bins.n.shape[1])))
    gaussian = bins.w2v >= _GAUSSIAN_FROM * _unit(bins) ** 2
    total = normal @ np.sqrt(np.where(gaussian, bins.w2v, 0.0)).T
    for s, b in np.argwhere(~gaussian & (bins.n > 0)):
        total[:, s] += _bernoulli_gap(bins, int(s), int(b), draws, seed)
    weight = bins.w.sum(axis=1)
    return np.asarray(total / np.where(weight > 0, weight, np.nan))


def _unit(bins: Bins) -> NDArray[np.float64]:
    """Return the weight of one effective row, 1 without weights."""
    return divide(bins.w2, bins.w, 1.0)


def _bernoulli_gap(bins: Bins, s: int, b: int, draws: int, seed: int) -> NDArray[np.float64]:
    """Draw |sum of (p - y)| of one bin with few expected surprises."""
    unit = bins.w2[s, b] / bins.w[s, b]
    rows = max(1, round(bins.w[s, b] / unit))
    chance = float(np.clip(bins.p[s, b] / bins.w[s, b], 0.0, 1.0))
    rng = np.random.default_rng((seed, b))
    gap = np.abs(rng.binomial(rows, chance, draws) - rows * chance)
    return np.asarray(unit * gap)


def expected_ece(bins: Bins) -> NDArray[np.float64]:
    """Return the expected ECE of a calibrated model, (1/W) sum_b sqrt(2 V_b / pi)."""
    weight = bins.w.sum(axis=1)
    total = np.sqrt(2.0 * bins.w2v / np.pi).sum(axis=1)
    return divide(total, weight)


def noise_floor(bins: Bins, *, draws: int = DRAWS, seed: int = 0) -> NoiseFloor:
    """Return the null distribution of the ECE, and where the observed ECE lies in it.

    Parameters
    ----------
    bins : Bins
    draws, seed : int
        As in `null_draws`; equal seeds give equal values.

    Notes
    -----
    Bin sums of calibrated rows are Gaussian with variance sum w^2 p(1-p); bins where that is
    below 5 draw Bernoulli outcomes at their mean score.
    """
    null = null_draws(bins, draws=draws, seed=seed)
    low, p95, high = np.quantile(null, [0.025, 0.95, 0.975], axis=0)
    reached = (null >= ece(bins) - 1e-15).sum(axis=0)
    p_value = np.where(bins.w.sum(axis=1) > 0, (1.0 + reached) / (1.0 + draws), np.nan)
    return NoiseFloor(expected_ece(bins), p95, low, high, p_value)


def bias_test(bins: Bins) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return z and the two-sided p-value of "the mean score equals the outcome rate".

    Returns
    -------
    z, p_value : float64 arrays of shape (n_slices,)
        z > 0 where scores are too high; NaN where every score is 0 or 1, or the slice is empty.
    """
    sd = np.sqrt(bins.w2v.sum(axis=1))
    total = (bins.p - bins.y).sum(axis=1)
    z = divide(total, sd)
    return z, erfc(np.abs(z) / np.sqrt(2.0))


def detectable_bias(bins: Bins, *, power: float = 0.8) -> NDArray[np.float64]:
    """Return the smallest |bias| that a two-sided 5 % test on these rows finds with `power`."""
    weight = bins.w.sum(axis=1)
    sd = np.sqrt(bins.w2v.sum(axis=1))
    reach = float(ndtri(0.975) + ndtri(power))
    return divide(reach * sd, weight)

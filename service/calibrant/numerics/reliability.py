"""Data of a reliability diagram: per bin a rate, its interval and the band of a calibrated model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.intervals import clopper_pearson
from calibrant.numerics.ranked import equal_mass_bins, rank
from calibrant.numerics.special import bdtrik, betaincc
from calibrant.numerics.table import Bins

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Diagram:
    """A reliability diagram of every slice.

    Attributes
    ----------
    edges : float64 array of shape (n_bins + 1,)
    n : int64 array of shape (n_slices, n_bins)
        Rows.
    share : float64 array of shape (n_slices, n_bins)
        Of the slice's weight.
    mean_score, rate : float64 arrays of shape (n_slices, n_bins)
        NaN in empty bins.
    low, high : float64 arrays of shape (n_slices, n_bins)
        Clopper-Pearson interval of the rate.
    band_low, band_high : float64 arrays of shape (n_slices, n_bins)
        Where the rate of a calibrated model would lie (consistency band).
    """

    edges: Floats
    n: NDArray[np.int64]
    share: Floats
    mean_score: Floats
    rate: Floats
    low: Floats
    high: Floats
    band_low: Floats
    band_high: Floats


def diagram(bins: Bins, *, level: float = 0.95) -> Diagram:
    """Return the reliability diagram of bins.

    Parameters
    ----------
    bins : Bins
        Equal-width from a table, or equal-mass.
    level : float in (0, 1)
        Of the intervals and of the band.

    Notes
    -----
    The band takes all scores of a bin at their mean, which makes it at most a little too wide.
    Weighted bins count as their effective number of rows.

    References
    ----------
    .. [1] Broecker, Smith (2007), Weather and Forecasting 22 (consistency bars).
    """
    full = bins.w > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_score = np.where(full, bins.p / bins.w, np.nan)
        rate = np.where(full, bins.y / bins.w, np.nan)
        size = np.where(full, bins.w**2 / bins.w2, 0.0)
        total = bins.w.sum(axis=1, keepdims=True)
        share = np.where(total > 0, bins.w / total, 0.0)
    low, high = clopper_pearson(np.nan_to_num(rate) * size, size, level=level)
    band_low, band_high = consistency_band(mean_score, size, level=level)
    return Diagram(bins.edges, bins.n, share, mean_score, rate, low, high, band_low, band_high)


def equal_mass_diagram(
    score: Floats,
    outcome: NDArray[Any],
    weights: Floats | None = None,
    *,
    n_bins: int = 15,
    level: float = 0.95,
) -> Diagram:
    """Return the reliability diagram on bins of equal mass.

    Parameters
    ----------
    score : float64 array of shape (n,), in [0, 1]
    outcome : bool array of shape (n,)
    weights : float64 array of shape (n,), optional
    n_bins : int
        Ties may leave fewer.
    level : float in (0, 1)
    """
    return diagram(equal_mass_bins(rank(score, outcome, weights), n_bins), level=level)


def consistency_band(
    mean_score: Floats, size: Floats, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return central binomial quantiles of the rate at these mean scores, as rates.

    Parameters
    ----------
    mean_score, size : float64 arrays of one shape
        NaN and 0 in empty bins; sizes are rounded to whole rows.
    level : float in (0, 1)

    Returns
    -------
    low, high : float64 arrays of that shape, NaN in empty bins
    """
    rows = np.maximum(np.rint(size), 1.0)
    chance = np.nan_to_num(mean_score)
    alpha = (1.0 - level) / 2.0
    low, high = (_binomial_quantile(tail, rows, chance) / rows for tail in (alpha, 1.0 - alpha))
    empty = ~(size > 0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _binomial_quantile(tail: float, n: Floats, p: Floats) -> Floats:
    """Return the smallest whole k with P(Binomial(n, p) <= k) >= tail."""
    inside = np.clip(p, 1e-300, 1.0 - 2.0**-53)
    guess = np.clip(np.nan_to_num(np.ceil(bdtrik(tail, n, inside))), 0.0, n)
    below = np.maximum(guess - 1.0, 0.0)
    result = np.where((guess > 0) & (_binomial_cdf(below, n, inside) >= tail), below, guess)
    missed = _binomial_cdf(result, n, inside) < tail
    result = np.where(missed, np.minimum(result + 1.0, n), result)
    return np.where(p <= 0.0, 0.0, np.where(p >= 1.0, n, result))


def _binomial_cdf(k: Floats, n: Floats, p: Floats) -> Floats:
    inside = np.minimum(k, n - 1.0)
    return np.where(k >= n, 1.0, betaincc(inside + 1.0, n - inside, p))

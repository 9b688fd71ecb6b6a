"""Signed gaps of slices: how far mean score and outcome rate lie apart, and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibration import bias
from calibrant.numerics.intervals import clopper_pearson
from calibrant.numerics.special import bdtr, bdtrc, stdtr, stdtrit
from calibrant.numerics.table import Bins

EXACT_BELOW = 30.0
"""Expected variance of the outcomes below which the test is exact instead of normal."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """Mean score minus outcome rate per slice; arrays of shape (slices,), NaN where empty.

    Given the scores, outcomes are the only chance. Where few of them are in play, a normal
    approximation finds errors in noise (two events where .1 is expected are six standard
    deviations): there the rate has its exact binomial interval, which is wider than needed, as a
    sum of unequal chances varies less.

    Attributes
    ----------
    value : float64 array
    sd : float64 array
        The larger of what residuals and scores say, so that a slice of equal outcomes is not
        taken for certainty.
    units : float64 array
        Effective rows, or clusters.
    exact : bool array
        Which slices use the binomial.
    score, hits, rows : float64 arrays
        Mean score, outcomes and rows of the binomial.
    """

    value: Floats
    sd: Floats
    units: Floats
    exact: NDArray[np.bool_]
    score: Floats
    hits: Floats
    rows: Floats

    @classmethod
    def of(cls, bins: Bins, sd: Floats | None = None, units: Floats | None = None) -> Gap:
        """Read the gaps of all slices from their bins.

        Parameters
        ----------
        bins : Bins
        sd, units : float64 arrays of shape (slices,), optional
            Standard deviations and numbers of clusters, for rows that depend on each other.
        """
        weight = bins.w.sum(axis=1)
        safe = np.where(weight > 0, weight, np.nan)
        value, score = bias(bins), bins.p.sum(axis=1) / safe
        rate = bins.y.sum(axis=1) / safe
        n_eff = bins.n_eff
        # sum w^2 (d - mean d)^2 of independent rows, from below by the scores' own spread
        own = bins.w2d2.sum(axis=1) - value**2 * bins.w2.sum(axis=1)
        null = bins.w2v.sum(axis=1)
        independent = np.sqrt(np.maximum(own, null)) / safe
        spread = independent if sd is None else np.maximum(sd, independent)
        in_play = null * (n_eff / safe) ** 2
        return cls(
            value,
            spread,
            n_eff if units is None else units,
            ~(in_play >= EXACT_BELOW) if sd is None else np.zeros(len(value), np.bool_),
            score,
            rate * n_eff,
            n_eff,
        )

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return the ends of the interval of every gap."""
        dof = np.maximum(self.units - 1.0, 1.0)
        half = stdtrit(dof, 0.5 + level / 2) * self.sd
        low, high = clopper_pearson(np.nan_to_num(self.hits), self.rows, level=level)
        return (
            np.where(self.exact, self.score - high, self.value - half),
            np.where(self.exact, self.score - low, self.value + half),
        )

    def p_value(self) -> Floats:
        """Return the two-sided p-value of "no gap" per slice; 1 where the slice is empty."""
        t = np.abs(self.value) / np.where(self.sd > 0, self.sd, np.nan)
        normal = 2.0 * stdtr(np.maximum(self.units - 1.0, 1.0), -np.nan_to_num(t))
        # whole numbers: effective rows of weighted slices are rounded towards no evidence
        n = np.floor(np.nan_to_num(self.rows))
        mean = np.clip(np.nan_to_num(self.score), 0.0, 1.0)
        k = np.clip(np.rint(np.nan_to_num(self.hits)), 0.0, n)
        below = bdtr(k, n.astype(np.int64), mean)
        above = np.where(k > 0, bdtrc(np.maximum(k - 1.0, 0.0), n.astype(np.int64), mean), 1.0)
        binomial = np.minimum(1.0, 2.0 * np.minimum(below, above))
        result = np.where(self.exact, binomial, normal)
        return np.where(np.isfinite(self.value), np.clip(np.nan_to_num(result, nan=1.0), 0, 1), 1.0)

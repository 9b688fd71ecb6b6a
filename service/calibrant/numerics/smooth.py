"""Smooth calibration error: no bins, a Gaussian whose width the data choose."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.table import bits, plain

CELLS = 4096
"""Rows are pooled into this many cells, each at its mean score: 2e-6 off at a million rows."""

_FLOOR = 1e-3
_BISECTIONS = 10
_PRIOR = 1e-4


class SmoothEce(NamedTuple):
    """The smooth error and the bandwidth it was taken at."""

    value: float
    bandwidth: float


def smooth_ece(
    score: NDArray[Any],
    outcome: NDArray[Any],
    weights: NDArray[np.float64] | None = None,
    *,
    bandwidth: float | None = None,
) -> SmoothEce:
    """Return the smooth ECE.

    Residuals y - p and counts are smoothed with a Gaussian reflected at 0 and 1 without doubling
    the end points; the error is the mean absolute smoothed residual under the smoothed density.

    Parameters
    ----------
    score : float array of shape (n,), in [0, 1]
    outcome : bool or 0/1 array of shape (n,)
    weights : float64 array of shape (n,), optional
    bandwidth : float, at least 0.001, optional
        Default: the smallest s, to 1/1024, with s >= smECE_s.

    Returns
    -------
    SmoothEce
        NaN without rows.

    Notes
    -----
    Within .002 relative of relplot 1.0.3. Doubling the end points would differ by up to 7 % where
    scores pile up at 0 or 1.

    References
    ----------
    .. [1] Blasiok, Nakkiran (2024), ICLR.
    """
    cells = _Cells.of(score, outcome, weights)
    if not len(cells.score):
        return SmoothEce(np.nan, np.nan)
    if bandwidth is not None:
        return SmoothEce(cells.error(bandwidth), bandwidth)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if middle >= cells.error(middle):
            high = middle
        else:
            low = middle
    return SmoothEce(cells.error(max(high, _FLOOR)), max(high, _FLOOR))


class _Cells:
    """Shares of rows and of residuals at their scores."""

    def __init__(
        self,
        score: NDArray[np.float64],
        share: NDArray[np.float64],
        residual: NDArray[np.float64],
    ) -> None:
        self.score, self.share, self.residual = score, share, residual

    @classmethod
    def of(
        cls,
        score: NDArray[Any],
        outcome: NDArray[Any],
        weights: NDArray[np.float64] | None,
    ) -> _Cells:
        p, y = plain(score), bits(outcome)
        w = np.ones(len(p)) if weights is None else plain(weights)
        if len(p) > CELLS:
            cell = np.minimum((p * CELLS).astype(np.int64), CELLS - 1)
            total = np.bincount(cell, w, CELLS)
            scores, hits = np.bincount(cell, w * p, CELLS), np.bincount(cell, w * y, CELLS)
            full = total > 0
            return cls(
                scores[full] / total[full],
                total[full] / w.sum(),
                (hits[full] - scores[full]) / w.sum(),
            )
        return cls(p, w / w.sum(), w * (y - p) / w.sum())

    def error(self, bandwidth: float) -> float:
        """Return the mean absolute smoothed residual at one bandwidth."""
        from scipy.fft import dct, idct

        s = max(bandwidth, _FLOOR)
        size = max(2000, round(20 / s)) // 2 + 1
        position = self.score * (size - 1)
        lower = np.minimum(position.astype(np.int64), size - 2)
        part = position - lower
        decay = np.exp(-((np.pi * s * np.arange(size)) ** 2) / 2.0)
        places = np.linspace(0.0, 1.0, max(round(10 / s), 200))
        grid = np.linspace(0.0, 1.0, size)

        def smoothed(mass: NDArray[np.float64]) -> NDArray[np.float64]:
            values = np.bincount(lower, mass * (1.0 - part), size)
            values += np.bincount(lower + 1, mass * part, size)
            density = idct(dct(values, type=1) * decay, type=1) * (size - 1)
            return np.asarray(np.interp(places, grid, density))

        residual, share = smoothed(self.residual), smoothed(self.share)
        return float(np.abs(residual).sum() / (share + _PRIOR).sum())

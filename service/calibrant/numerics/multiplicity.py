"""Many tests at once: adjusted p-values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted for the false discovery rate.

    Parameters
    ----------
    p_values : float array of shape (m,)
        NaN entries are no tests: they stay NaN and are not counted.

    Returns
    -------
    float64 array of shape (m,)
        Rejecting those <= q keeps the expected share of false rejections at q, for tests that
        are independent or positively dependent.

    References
    ----------
    .. [1] Benjamini, Hochberg (1995), Journal of the Royal Statistical Society B 57.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03, np.nan])).round(4).tolist()
    [0.03, 0.04, 0.04, nan]
    """
    return _adjust(p_values, step_up=True)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted for the chance of any false rejection, whatever the dependence.

    Parameters and returns are as in `benjamini_hochberg`.

    References
    ----------
    .. [1] Holm (1979), Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    return _adjust(p_values, step_up=False)


def _adjust(p_values: NDArray[np.float64], *, step_up: bool) -> NDArray[np.float64]:
    values = np.asarray(p_values, dtype=np.float64)
    tests = np.flatnonzero(np.isfinite(values))
    order = tests[np.argsort(values[tests], kind="stable")]
    m = len(order)
    rank = np.arange(1, m + 1)
    if step_up:
        scaled = values[order] * m / rank
        scaled = np.minimum.accumulate(scaled[::-1])[::-1]
    else:
        scaled = np.maximum.accumulate(values[order] * (m + 1 - rank))
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(scaled, 1.0)
    return adjusted

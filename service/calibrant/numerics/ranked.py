"""Metrics of sorted scores: sort once with `rank`, then read any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.rows import CLIP_EPS
from calibrant.numerics.special import chdtrc, erfc
from calibrant.numerics.table import Bins, bits, divide, plain, slice_codes


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Rows pooled at exactly equal scores, in ascending order; arrays of shape (m,).

    Attributes
    ----------
    score : float64 array
        Distinct scores, ascending.
    w, y, w2, w2y : int32 arrays, float64 for weighted rows
        Sums of w, w*y, w^2, w^2*y; without weights the rows and the positives.
    n : int
        Rows.
    """

    score: NDArray[np.float64]
    w: NDArray[Any]
    y: NDArray[Any]
    w2: NDArray[Any]
    w2y: NDArray[Any]
    n: int


def rank(
    score: NDArray[np.float64],
    outcome: NDArray[Any],
    weights: NDArray[np.float64] | None = None,
) -> Ranked:
    """Sort rows and pool exactly equal scores.

    Parameters
    ----------
    score : float array of shape (n,), in [0, 1]
    outcome : bool or 0/1 array of shape (n,)
    weights : float64 array of shape (n,), optional

    Notes
    -----
    Without weights score and outcome are packed into one 64-bit key: non-negative doubles order
    like their bits, and those of [0, 1] leave room for the outcome. O(n log n), 5 ms a million.
    """
    from calibrant.numerics.kernels import ranks

    # Adding 0 turns -0 into 0.
    values = np.ascontiguousarray(score, dtype=np.float64) + 0.0
    n = len(values)
    if weights is None:
        keys = values.view(np.uint64)
        keys <<= np.uint64(1)
        keys |= bits(outcome)
        keys.sort()
        m = ranks.count_distinct(keys)
        pattern, w, y = np.empty(m, np.uint64), np.empty(m, np.int32), np.empty(m, np.int32)
        ranks.pool_keys(keys, pattern, w, y)
        return Ranked(pattern.view(np.float64), w, y, w, y, n)
    pooled = np.empty((5, n))
    order = np.argsort(values)
    m = ranks.pool_weighted(order, values, bits(outcome), plain(weights), pooled)
    distinct, w, y, w2, w2y = pooled[:, :m]
    return Ranked(distinct, w, y, w2, w2y, n)


def auroc(ranked: Ranked) -> float:
    """Return the probability that a positive outranks a negative, ties half; NaN with one class.

    Examples
    --------
    >>> round(auroc(rank(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))), 12)
    0.75
    """
    from calibrant.numerics.kernels import ranks

    return float(ranks.auroc(ranked.w, ranked.y))


def average_precision(ranked: Ranked) -> float:
    """Return the step-wise area under the precision-recall curve; NaN without a positive."""
    from calibrant.numerics.kernels import ranks

    return float(ranks.average_precision(ranked.w, ranked.y))


class OneVsRest(NamedTuple):
    """A metric per class and its mean over the classes that have one."""

    macro: float
    each: NDArray[np.float64]


def auroc_ovr(
    probabilities: NDArray[np.float64],
    labels: NDArray[Any],
    weights: NDArray[np.float64] | None = None,
) -> OneVsRest:
    """Return the AUROC of every class against the rest.

    Parameters
    ----------
    probabilities : float array of shape (n, k)
    labels : int array of shape (n,)
    weights : float64 array of shape (n,), optional

    Returns
    -------
    OneVsRest
        `each` is NaN for a class that has every row or none; `macro` leaves it out.
    """
    each = np.array(
        [
            auroc(rank(probabilities[:, k], labels == k, weights))
            for k in range(probabilities.shape[1])
        ]
    )
    known = np.isfinite(each)
    return OneVsRest(float(each[known].mean()) if known.any() else np.nan, each)


def ascending(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions of the rows in ascending order of score, for `auroc_by_slice`."""
    return np.argsort(np.ascontiguousarray(score, dtype=np.float64))


def auroc_by_slice(
    score: NDArray[np.float64],
    outcome: NDArray[Any],
    codes: NDArray[Any],
    n_slices: int,
    weights: NDArray[np.float64] | None = None,
    *,
    order: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return the AUROC of every slice in one pass over sorted rows.

    Parameters
    ----------
    score : float64 array of shape (n,), in [0, 1]
    outcome : bool array of shape (n,)
    codes : int array of shape (n,)
        Slice of each row; -1: in none.
    n_slices : int
    weights : float64 array of shape (n,), optional
    order : int64 array of shape (n,), optional
        `ascending(score)`, where several dimensions share it.

    Returns
    -------
    float64 array of shape (n_slices,)
        NaN where a slice has one class.
    """
    from calibrant.numerics.kernels import ranks

    order = ascending(score) if order is None else order
    area, positive, negative = np.zeros(n_slices), np.zeros(n_slices), np.zeros(n_slices)
    column = slice_codes(codes)
    weighted = weights is not None
    w = np.zeros(1) if weights is None else plain(weights)
    ranks.auroc_by_slice(
        order, plain(score), bits(outcome), column, w, weighted, area, positive, negative
    )
    return divide(area, positive * negative)


def equal_mass_bins(
    ranked: Ranked, n_bins: int = 15, *, groups: Literal["mass", "unique"] = "mass"
) -> Bins:
    """Return bins of equal mass.

    Parameters
    ----------
    ranked : Ranked
    n_bins : int
        Groups wanted. Rows: the first n mod n_bins groups are one row longer; weighted rows are
        cut at equal cumulative weight.
    groups : {"mass", "unique"}
        "unique": every distinct score is a bin of its own, `n_bins` is not used.

    Returns
    -------
    Bins
        One slice. Bins are `(lo, hi]` so that ties stay together in the lower one; edges lie
        half-way between neighbouring groups and equal ones are merged, so there may be fewer
        than `n_bins`.
    """
    if groups == "unique":
        cuts = (ranked.score[1:] + ranked.score[:-1]) / 2
    else:
        low, high = _cut_positions(ranked, n_bins)
        cuts = np.unique((ranked.score[low] + ranked.score[high]) / 2)
    # A midpoint of neighbouring doubles may round up to the larger one: the bin is (lo, hi].
    first = np.unique(np.concatenate([[0], np.searchsorted(ranked.score, cuts, side="right")]))
    first = first[first < len(ranked.score)]
    inner = (ranked.score[first[1:] - 1] + ranked.score[first[1:]]) / 2
    edges = np.concatenate([[0.0], inner, [1.0]])
    w = ranked.w
    sums = [each[None] for each in np.concatenate(list(_sums(ranked, first)), axis=1)]
    weighted = w.dtype.kind == "f"
    count = sums[0] if not weighted else sums[0] ** 2 / sums[5]
    return Bins(edges, np.rint(count).astype(np.int64), *sums)


def _sums(ranked: Ranked, first: NDArray[np.intp]) -> Iterator[NDArray[np.float64]]:
    """Yield the eight sums of runs of bins: all rows at once would take eight times their memory."""
    ends = np.append(first[1:], len(ranked.score))
    start = 0
    while start < len(first):
        # whole bins, about a million rows of them, and at least one
        stop = max(start + 1, int(np.searchsorted(ends, first[start] + _RUN, side="right")))
        rows = slice(first[start], ends[stop - 1])
        s, w, y = ranked.score[rows], ranked.w[rows], ranked.y[rows]
        w2, w2y = ranked.w2[rows], ranked.w2y[rows]
        parts = np.array([
            w, w * s, y, w * s * (1 - s), y * s,
            w2, w2 * s * (1 - s), w2 * s * s + w2y * (1 - 2 * s),
        ], dtype=np.float64)  # fmt: skip
        yield np.add.reduceat(parts, first[start:stop] - first[start], axis=1)
        start = stop


_RUN = 1 << 20
"""Distinct scores whose bins are summed at a time."""


def _cut_positions(ranked: Ranked, n_bins: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct scores just below and just above every cut."""
    cumulative = np.cumsum(ranked.w)
    if ranked.w.dtype.kind == "f":
        target = cumulative[-1] * np.arange(1, n_bins) / n_bins
        slack = 1e-12 * cumulative[-1]
        low = np.searchsorted(cumulative, target - slack, side="left")
        high = np.searchsorted(cumulative, target + slack, side="right")
        return low, np.minimum(high, len(cumulative) - 1)
    size, longer = divmod(ranked.n, n_bins)
    ends = np.cumsum([size + (group < longer) for group in range(n_bins)])[:-1]
    ends = ends[(ends > 0) & (ends < ranked.n)]
    return (
        np.searchsorted(cumulative, ends - 1, side="right"),
        np.searchsorted(cumulative, ends, side="right"),
    )


class Ecce(NamedTuple):
    """Empirical cumulative calibration errors: statistics, their scale and p-values."""

    mad: float
    range: float
    sigma: float
    mad_p_value: float
    range_p_value: float


def ecce(ranked: Ranked) -> Ecce:
    r"""Return the largest deviation and the range of cumulative differences y - p.

    .. math:: C_k = \frac1W \sum_{i \le k} w_i (y_i - p_i), \qquad
       \mathrm{MAD} = \max_k |C_k|, \quad \mathrm{R} = \max_k C_k - \min_k C_k

    over pooled scores in ascending order, :math:`C_0 = 0` included; divided by sigma, the root of
    :math:`\sum w^2 p (1 - p)` over W, they behave like a Brownian motion under calibration.

    Returns
    -------
    Ecce
        p-values are NaN where every score is 0 or 1.

    References
    ----------
    .. [1] Arrieta-Ibarra, Gujral, Tannen, Tygert, Xu (2022), JMLR 23.
    """
    from calibrant.numerics.kernels import ranks

    mad, range_, sigma = ranks.cumulative_gap(ranked.score, ranked.w, ranked.y, ranked.w2)
    if not sigma > 0:
        return Ecce(float(mad), float(range_), float(sigma), np.nan, np.nan)
    return Ecce(
        float(mad), float(range_), float(sigma),
        mad_p_value(mad / sigma), range_p_value(range_ / sigma),
    )  # fmt: skip


_TERMS = np.arange(1, 60, dtype=np.float64)


def _upper_tail(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * erfc(x / np.sqrt(2.0)), dtype=np.float64)


def mad_p_value(x: float) -> float:
    """Return the probability that a Brownian motion on [0, 1] leaves [-x, x].

    References
    ----------
    .. [1] Darling, Siegert (1953), Annals of Mathematical Statistics 24.
    """
    odd = 2.0 * _TERMS - 1.0
    sign = np.where(_TERMS % 2 == 1, 1.0, -1.0)
    if x < 1.0:
        if x <= 0.0:
            return 1.0
        inside = sign / odd * np.exp(-((odd * np.pi / x) ** 2) / 8.0)
        return float(np.clip(1.0 - 4.0 / np.pi * inside.sum(), 0.0, 1.0))
    return float(np.clip(4.0 * (sign * _upper_tail(odd * x)).sum(), 0.0, 1.0))


def range_p_value(x: float) -> float:
    """Return the probability that the range of a Brownian motion on [0, 1] exceeds x.

    References
    ----------
    .. [1] Feller (1951), Annals of Mathematical Statistics 22.
    """
    if x < 1.0:
        if x <= 0.0:
            return 1.0
        odd = (2.0 * _TERMS - 1.0) * np.pi
        inside = (1.0 / x**2 + 1.0 / odd**2) * np.exp(-((odd / x) ** 2) / 2.0)
        return float(np.clip(1.0 - 8.0 * inside.sum(), 0.0, 1.0))
    sign = np.where(_TERMS % 2 == 1, 1.0, -1.0)
    return float(np.clip(8.0 * (sign * _TERMS * _upper_tail(_TERMS * x)).sum(), 0.0, 1.0))


class Corp(NamedTuple):
    """A mean score split as miscalibration - discrimination + uncertainty."""

    miscalibration: float
    discrimination: float
    uncertainty: float
    score: float


def corp(
    ranked: Ranked, *, score: Literal["brier", "log_loss"] = "brier", clip_eps: float = CLIP_EPS
) -> Corp:
    """Split a proper score by isotonic recalibration of the same rows.

    Parameters
    ----------
    ranked : Ranked
    score : {"brier", "log_loss"}
    clip_eps : float
        Log loss of the given scores clips them to [clip_eps, 1 - clip_eps].

    Returns
    -------
    Corp
        All parts are non-negative; score = miscalibration - discrimination + uncertainty.

    References
    ----------
    .. [1] Dimitriadis, Gneiting, Jordan (2021), PNAS 118.
    """
    from calibrant.numerics.kernels import pava

    w, y = ranked.w.astype(np.float64), ranked.y.astype(np.float64)
    _, _, mass, hits = pava.pooled_sorted(ranked.score, w, y)
    loss = _brier_sum if score == "brier" else _log_loss_sum
    given = ranked.score if score == "brier" else np.clip(ranked.score, clip_eps, 1.0 - clip_eps)
    total = float(w.sum())
    fitted = loss(mass, hits, hits / mass) / total
    constant = loss(*(np.array([part]) for part in (total, y.sum(), y.sum() / total))) / total
    given_loss = loss(w, y, given) / total
    return Corp(given_loss - fitted, constant - fitted, constant, given_loss)


def _brier_sum(w: NDArray[np.float64], y: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    return float(y.sum() - 2.0 * (y @ q) + w @ (q * q))


def _log_loss_sum(w: NDArray[np.float64], y: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Sum the log loss; 0 log 0 is 0, so a recalibrated 0 or 1 costs nothing where it is right."""
    hits = np.where(y > 0, y * np.log(np.where(y > 0, q, 1.0)), 0.0)
    rest = np.maximum(w - y, 0.0)
    misses = np.where(rest > 0, rest * np.log1p(-np.where(rest > 0, q, 0.0)), 0.0)
    return float(-(hits + misses).sum())


class HosmerLemeshow(NamedTuple):
    """A goodness-of-fit statistic, NaN where a group's mean score is 0 or 1."""

    statistic: float
    dof: int
    p_value: float


def hosmer_lemeshow(bins: Bins, *, fitted_on_these_rows: bool = False) -> HosmerLemeshow:
    """Return the Hosmer-Lemeshow test of `equal_mass_bins(ranked, 10)`.

    Its power grows with n: report it, never gate on it.

    Parameters
    ----------
    bins : Bins
        One slice of equal-mass bins.
    fitted_on_these_rows : bool
        Takes two degrees of freedom off.
    """
    dof = bins.n.shape[1] - (2 if fitted_on_these_rows else 0)
    variance = bins.p * (1.0 - divide(bins.p, bins.w, 0.0))
    # Weighted rows: both the gap and its variance in effective rows.
    unit = divide(bins.w2, bins.w, 1.0)
    if dof < 1 or not (variance > 0).all():
        return HosmerLemeshow(np.nan, dof, np.nan)
    statistic = float(((bins.y - bins.p) ** 2 / (unit * variance)).sum())
    return HosmerLemeshow(statistic, dof, float(chdtrc(dof, statistic)))

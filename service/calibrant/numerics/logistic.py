"""Calibration slope and intercept: a logistic regression of outcomes on the logit of scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.special import ndtri
from calibrant.numerics.table import bits, plain, slice_codes

Status = Literal["ok", "empty", "single_class", "no_variation", "separable", "not_converged"]
Floats = NDArray[np.float64]

CLIP = 1e-12
"""Scores are clipped to [CLIP, 1 - CLIP] before their logit is taken."""

_MAX_PASSES = 60
_REACH = 27.64  # beyond the largest |logit| of a clipped score
_MANY = 50_000  # from so many rows on, a fit of pooled rows says where to start
_CELLS = 1024
_STEP = 1e-7  # Newton converges quadratically: the error after such a step is about its square


@dataclass(frozen=True, slots=True)
class Slope:
    """Slope and intercept of one slice.

    Attributes
    ----------
    slope, slope_low, slope_high : float
        b of logit P(y=1) = a + b logit(p), with its Wald interval; below 1 means over-confident.
        NaN unless `status` is "ok".
    intercept, intercept_low, intercept_high : float
        a with b fixed at 1: above 0 means scores are too low. NaN with one class only.
    status : str
        Of the slope. "separable": a threshold on the score parts the classes, b is infinite.
    """

    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    intercept_low: float
    intercept_high: float
    status: Status


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """`Slope` of every slice; float64 arrays of shape (n_slices,), `status` as long."""

    slope: Floats
    slope_low: Floats
    slope_high: Floats
    intercept: Floats
    intercept_low: Floats
    intercept_high: Floats
    status: tuple[Status, ...]

    def __len__(self) -> int:
        return len(self.status)

    def __getitem__(self, index: int) -> Slope:
        numbers = {name: float(getattr(self, name)[index]) for name in _NUMBERS}
        return Slope(**numbers, status=self.status[index])


_NUMBERS = (
    "slope", "slope_low", "slope_high", "intercept", "intercept_low", "intercept_high",
)  # fmt: skip


def logit(score: NDArray[Any]) -> Floats:
    """Return the log-odds of scores clipped to [1e-12, 1 - 1e-12]."""
    p = np.clip(np.asarray(score, dtype=np.float64), CLIP, 1.0 - CLIP)
    odds = np.divide(p, 1.0 - p)
    return np.asarray(np.log(odds, out=odds) if odds.ndim else np.log(odds))


def slope_intercept(
    score: NDArray[Any],
    outcome: NDArray[Any],
    weights: Floats | None = None,
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Slope:
    """Fit calibration slope and intercept.

    Parameters
    ----------
    score : float array of shape (n,), in [0, 1]
    outcome : bool or 0/1 array of shape (n,)
    weights : float64 array of shape (n,), optional
        Repetitions for the estimates, reliabilities (w^2) for the intervals.
    clusters : int array of shape (n,), optional
        Rows with the same code may depend on each other; intervals allow for it.
    level : float in (0, 1)

    Returns
    -------
    Slope

    References
    ----------
    .. [1] Cox (1958), Biometrika 45; Van Calster et al. (2019), BMC Medicine 17.
    """
    return slope_by_slice(
        score, outcome, None, 1, weights, clusters=clusters, level=level
    )[0]  # fmt: skip


def slope_by_slice(
    score: NDArray[Any],
    outcome: NDArray[Any],
    codes: NDArray[Any] | None,
    n_slices: int,
    weights: Floats | None = None,
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Slopes:
    """Fit slope and intercept of every slice, all in the same passes.

    Parameters
    ----------
    score, outcome, weights, clusters, level
        As in `slope_intercept`.
    codes : int array of shape (n,), or None
        Slice of each row; -1: in none. None: all rows in slice 0.
    n_slices : int
    """
    data = _Data.of(score, outcome, codes, n_slices, weights)
    status = _statuses(data)
    both = np.array([s in ("ok", "no_variation", "separable") for s in status])
    regular = np.array([s == "ok" for s in status])
    flat, tilted = _start(data, both, regular)
    offset, offset_se, offset_ok = _solve(data, both, flat, clusters, free_slope=False)
    slope, slope_se, slope_ok = _solve(data, regular, tilted, clusters, free_slope=True)
    status = tuple(
        "not_converged" if s == "ok" and not done else s
        for s, done in zip(status, slope_ok, strict=True)
    )
    reach = float(ndtri(0.5 + level / 2))
    slope = np.where(slope_ok, slope, np.nan)
    offset = np.where(offset_ok, offset, np.nan)
    return Slopes(
        slope, slope - reach * slope_se, slope + reach * slope_se,
        offset, offset - reach * offset_se, offset + reach * offset_se,
        status,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    z: Floats
    outcome: NDArray[np.uint8]
    weights: Floats
    weighted: bool
    codes: NDArray[np.int32]
    by_slice: bool
    n_slices: int

    @classmethod
    def of(
        cls,
        score: NDArray[Any],
        outcome: NDArray[Any],
        codes: NDArray[Any] | None,
        n_slices: int,
        weights: Floats | None,
    ) -> _Data:
        return cls(
            logit(score),
            bits(outcome),
            np.zeros(1) if weights is None else plain(weights),
            weights is not None,
            np.zeros(1, np.int32) if codes is None else slice_codes(codes),
            codes is not None,
            n_slices,
        )

    def pooled(self) -> _Data:
        """Return cells of rows with nearly equal z in place of the rows."""
        from calibrant.numerics.kernels import logistic as kernels

        cells = np.zeros((self.n_slices, _CELLS, 3))
        kernels.pool(
            self.z, self.outcome, self.weights, self.weighted, self.codes, self.by_slice,
            _REACH, cells,
        )  # fmt: skip
        owner, place = np.nonzero(cells[:, :, 0] > 0)
        w, wz, wy = cells[owner, place].T
        labels = np.repeat(np.array([0, 1], dtype=np.uint8), len(w))
        weights = np.concatenate([np.maximum(w - wy, 0.0), wy])
        codes = np.tile(owner.astype(np.int32), 2)
        return _Data(np.tile(wz / w, 2), labels, weights, True, codes, True, self.n_slices)


def _statuses(data: _Data) -> tuple[Status, ...]:
    from calibrant.numerics.kernels import logistic as kernels

    span = np.empty((data.n_slices, 2, 2))
    span[..., 0], span[..., 1] = np.inf, -np.inf
    kernels.ranges(data.z, data.outcome, data.codes, data.by_slice, span)
    return tuple(_status(*span[s].ravel()) for s in range(data.n_slices))


def _status(low0: float, high0: float, low1: float, high1: float) -> Status:
    """Judge one slice by the ranges of its negatives and positives."""
    if low0 > high0 and low1 > high1:
        return "empty"
    if low0 > high0 or low1 > high1:
        return "single_class"
    if min(low0, low1) == max(high0, high1):
        return "no_variation"
    # Touching at one score is enough: the likelihood still grows without end.
    if high0 <= low1 or high1 <= low0:
        return "separable"
    return "ok"


def _start(
    data: _Data, both: NDArray[np.bool_], regular: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return where the two fits start, each as intercepts and slopes of shape (2, n_slices)."""
    flat = np.stack([np.zeros(data.n_slices), np.ones(data.n_slices)])
    if len(data.z) < _MANY:
        return flat, flat
    cells = data.pooled()
    offset = _iterate(cells, both, flat, free_slope=False)[0]
    tilted, _, done = _iterate(cells, regular, flat, free_slope=True)
    return offset, np.where(done, tilted, flat)


def _solve(
    data: _Data,
    wanted: NDArray[np.bool_],
    start: Floats,
    clusters: NDArray[Any] | None,
    *,
    free_slope: bool,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return estimate, standard error and convergence per slice."""
    point, sums, converged = _iterate(data, wanted, start, free_slope=free_slope)
    se = _standard_errors(data, sums, point, clusters, free_slope=free_slope)
    return point[int(free_slope)], np.where(converged, se, np.nan), converged


def _iterate(
    data: _Data, wanted: NDArray[np.bool_], start: Floats, *, free_slope: bool
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the optimum (intercepts and slopes), the sums there, and what converged."""
    from calibrant.numerics.kernels import logistic as kernels

    point, step = start.copy(), np.zeros(start.shape)
    active, converged = wanted.copy(), np.zeros(len(wanted), dtype=np.bool_)
    sums, final = np.empty((data.n_slices, 9)), np.full((data.n_slices, 9), np.nan)
    best = np.full(data.n_slices, np.inf)
    for _ in range(_MAX_PASSES):
        if not active.any():
            break
        kernels.newton(
            data.z, data.outcome, data.weights, data.weighted, data.codes, data.by_slice,
            active, point[0] + step[0], point[1] + step[1], sums,
        )  # fmt: skip
        better = active & (sums[:, 0] <= best + 1e-12 * np.abs(best))
        point[:, better] += step[:, better]
        best[better], final[better] = sums[better, 0], sums[better]
        # A step that made the loss worse is halved and tried again from where it began.
        step = np.where(better, _newton_step(sums, free_slope=free_slope), 0.5 * step)
        small = np.abs(step).max(axis=0) <= _STEP * (1.0 + np.abs(point).max(axis=0))
        point[:, active & small] += step[:, active & small]
        converged |= active & small
        active &= ~small
    return point, final, converged


def _newton_step(sums: Floats, *, free_slope: bool) -> Floats:
    """Return the Newton steps of intercept and slope; the slope stays unless it is free."""
    _, g0, g1, h00, h01, h11 = sums[:, :6].T
    with np.errstate(divide="ignore", invalid="ignore"):
        if not free_slope:
            return np.asarray(np.nan_to_num(np.stack([-g0 / h00, np.zeros(len(g0))])))
        determinant = h00 * h11 - h01 * h01
        steps = np.stack([(h01 * g1 - h11 * g0) / determinant, (h01 * g0 - h00 * g1) / determinant])
    return np.asarray(np.nan_to_num(steps))


def _standard_errors(
    data: _Data,
    sums: Floats,
    point: Floats,
    clusters: NDArray[Any] | None,
    *,
    free_slope: bool,
) -> Floats:
    """Return the root of the sandwich's entry for the estimate."""
    h00, h01, h11 = sums[:, 3:6].T
    m00, m01, m11 = sums[:, 6:9].T if data.weighted else sums[:, 3:6].T
    if clusters is not None:
        m00, m01, m11 = _cluster_middle(data, point, clusters)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not free_slope:
            return np.asarray(np.sqrt(m00) / h00)
        determinant = h00 * h11 - h01 * h01
        left0, left1 = -h01 / determinant, h00 / determinant
        return np.asarray(np.sqrt(left0**2 * m00 + 2 * left0 * left1 * m01 + left1**2 * m11))


def _cluster_middle(
    data: _Data, point: Floats, clusters: NDArray[Any]
) -> tuple[Floats, Floats, Floats]:
    """Return the sums of products of cluster scores per slice."""
    from calibrant.numerics.intervals import cluster_products

    codes = data.codes if data.by_slice else np.zeros(len(data.z), dtype=np.int32)
    keep = codes >= 0
    s, z = codes[keep].astype(np.int64), data.z[keep]
    t = point[0, s] + point[1, s] * z
    residual = 1.0 / (1.0 + np.exp(-np.clip(t, -700, 700))) - data.outcome[keep]
    if data.weighted:
        residual = residual * data.weights[keep]
    return cluster_products(residual, residual * z, s, np.asarray(clusters)[keep], data.n_slices)

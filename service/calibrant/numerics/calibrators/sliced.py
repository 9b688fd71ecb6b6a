"""One calibrator a slice, shrunk towards the pooled fit as far as the rows ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadBatch, Detail, Unusable
from calibrant.numerics.calibrators import logistic, multinomial
from calibrant.numerics.calibrators.apply import POOLED, Compiled, CompiledSliced
from calibrant.numerics.calibrators.auto import AutoFit, fit_auto
from calibrant.numerics.calibrators.fit import fit_data, options_of, row_losses
from calibrant.numerics.calibrators.folds import Progress, assign, mean_and_error
from calibrant.numerics.calibrators.inputs import ALL, Data, read
from calibrant.numerics.calibrators.model import (
    CORRECTION,
    EPS,
    TINY,
    Calibrator,
    ScoreKind,
    SlicedCalibrator,
    Task,
    identity,
)
from calibrant.numerics.calibrators.outcome import Fit, Status
from calibrant.numerics.predictions import Category

Float64 = NDArray[np.float64]

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Penalties that cross-validation compares, beside the pooled fit (an infinite one)."""

MIN_ROWS = 50
"""A slice with fewer rows takes the pooled fit."""

HOPELESS = ("single_class", "too_few_rows", "unidentifiable")
"""Statuses of the pooled fit that leave nothing to correct."""

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """One penalty in the race against the pooled fit.

    Attributes
    ----------
    strength : float
    loss : float
        Mean held-out log loss.
    gain, gain_low, gain_high : float
        Mean paired gain against the pooled fit, with its 95 % interval.
    """

    strength: float
    loss: float
    gain: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True, slots=True)
class SliceFit:
    """How one slice was fitted.

    Attributes
    ----------
    key : tuple of str
        Its values, in the order of the dimensions.
    n : int
    status : {"ok", "pooled", "too_few_rows"}
        `pooled`: no correction, because none earned its place.
    """

    key: tuple[str, ...]
    n: int
    status: Literal["ok", "pooled", "too_few_rows"]


@dataclass(frozen=True, slots=True)
class SlicedFit:
    """The answer of `fit_per_slice`.

    Attributes
    ----------
    calibrator : SlicedCalibrator
    status : Status
        The pooled fit's, or `ok` where corrections are used on top of a pooled identity.
    pooled : Fit or AutoFit
    strength : float or None
        Chosen penalty; None where every slice stayed pooled.
    table : tuple of Shrinkage
    slices : tuple of SliceFit
        In order of first appearance.
    n_without_slice : int
        Rows with a missing value in a dimension.
    """

    calibrator: SlicedCalibrator
    status: Status
    pooled: Fit | AutoFit
    strength: float | None
    table: tuple[Shrinkage, ...]
    slices: tuple[SliceFit, ...]
    n_without_slice: int


@dataclass(frozen=True, slots=True)
class _Slicing:
    """Rows by slice: code per row (-1 for none) and the key of each code."""

    codes: NDArray[np.int64]
    keys: tuple[tuple[str, ...], ...]


def fit_per_slice(
    kind: str,
    scores: NDArray[Any],
    labels: NDArray[Any],
    slices: Mapping[str, Category],
    *,
    task: Task,
    score_kind: ScoreKind,
    weights: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    options: Mapping[str, Any] | None = None,
    n_folds: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> SlicedFit:
    r"""Fit a pooled calibrator, then a correction for each slice, shrunk towards it.

    With x the pooled calibrated logit (multiclass: log-probabilities), standardised to u over all
    rows, slice s gets

    .. math:: \eta = x + b_s + c_s u, \qquad
        \min_{b_s, c_s} \sum_{i \in s} w_i \ell(y_i, \eta_i) + \tfrac{\lambda}{2} (b_s^2 + c_s^2),

    (multiclass: one b and one c a class). That is the mode under independent normal priors of
    variance 1/lambda around the pooled fit: a slice moves by about I/(I + lambda) of its own
    estimate, I being its information, so large slices speak for themselves and small ones follow
    the pool. Lambda is one for all slices and is estimated from the rows, as in empirical Bayes,
    here by cross-validated log loss, the pooled fit being refitted in every fold: the strongest
    penalty within one standard error of the best is taken. If the 95 % interval of its paired gain
    over the pooled fit reaches 0, all slices stay pooled. A slope that would reverse the order of
    scores is held at 0.

    Parameters
    ----------
    kind : str
        Kind of the pooled calibrator, or `auto`.
    scores, labels, task, score_kind, weights
        As for `fit`.
    slices : mapping of dimension to Category, each of n rows
        A slice is one combination of values; a row with a missing value belongs to none.
    groups, seed, progress
        As for `fit_auto`.
    options : mapping, optional
        Of the pooled kind, as for `fit`.
    n_folds : int, at least 2

    Returns
    -------
    SlicedFit

    Raises
    ------
    BadBatch
        If the rows or columns cannot be used.
    Unusable
        If there is no dimension, or kind or an option is unknown.

    References
    ----------
    .. [1] Le Cessie, van Houwelingen (1992), Ridge estimators in logistic regression, Applied
       Statistics 41(1).
    .. [2] Efron, Morris (1975), Data analysis using Stein's estimator, JASA 70.
    """
    if not slices:
        raise Unusable("`per_slice` must name a column.", [Detail("/per_slice", "is empty")])
    data = read(scores, labels, task=task, score_kind=score_kind, weights=weights)
    slicing, clusters = _slicing(slices, weights, groups, len(labels))
    tell = progress or (lambda _done, _of, _text: None)
    pooled: Fit | AutoFit
    if kind == "auto":
        pooled = fit_auto(
            data.scores, data.labels, task=task, score_kind=score_kind,
            weights=data.weights if data.weighted else None,
            groups=clusters, n_folds=n_folds, seed=seed,
        )  # fmt: skip
        chosen, base = pooled.chosen, pooled.fit.calibrator
    else:
        pooled = fit_data(kind, data, options_of(kind, options or {}))
        chosen, base = kind, pooled.calibrator
    tell(1, n_folds + 2, "fitted the pooled calibrator")
    counts = np.bincount(slicing.codes[slicing.codes >= 0], minlength=len(slicing.keys))
    table: tuple[Shrinkage, ...] = ()
    strength = None
    if (counts >= MIN_ROWS).any() and pooled.status not in HOPELESS:
        mixed = base.uniform_mix > 0
        plan = _Plan(chosen, options_of(chosen, options or {}) if kind == chosen else {}, mixed)
        fold = _folds(data, slicing, clusters, n_folds, seed)
        table, strength = _race(plan, data, slicing, clusters, fold, tell)
    members, found = _members(base, data, slicing, counts, strength)
    tell(n_folds + 2, n_folds + 2, "fitted the slices")
    status = pooled.status
    if strength is not None and status == "no_gain":
        status = "ok"
    return SlicedFit(
        SlicedCalibrator(base, tuple(slices), members),
        status,
        pooled,
        strength,
        table,
        found,
        int((slicing.codes < 0).sum()),
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the pooled fit is, so that folds can repeat it."""

    kind: str
    options: Mapping[str, Any]
    mixed: bool


def _slicing(
    slices: Mapping[str, Category],
    weights: NDArray[Any] | None,
    groups: NDArray[Any] | None,
    n: int,
) -> tuple[_Slicing, NDArray[np.int64] | None]:
    """Give each row that has weight the number of its slice."""
    for name, column in slices.items():
        if len(column.codes) != n:
            raise BadBatch(
                "`slices` must have one entry a row.", [Detail(f"/slices/{name}", f"expected {n}")]
            )
    matrix = np.stack([column.codes for column in slices.values()], axis=1)
    clusters = None if groups is None else np.asarray(groups, dtype=np.int64)
    if weights is not None:
        used = np.asarray(weights) > 0
        matrix = matrix[used]
        clusters = None if clusters is None else clusters[used]
    known = (matrix >= 0).all(axis=1)
    codes = np.full(len(matrix), -1, dtype=np.int64)
    distinct, first, at = np.unique(matrix[known], axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    codes[known] = place[at.reshape(-1)]
    columns = list(slices.values())
    keys = tuple(
        tuple(column.values[code] for column, code in zip(columns, row, strict=True))
        for row in distinct[order].tolist()
    )
    return _Slicing(codes, keys), clusters


def _folds(
    data: Data,
    slicing: _Slicing,
    clusters: NDArray[np.int64] | None,
    n_folds: int,
    seed: int,
) -> NDArray[np.int64]:
    """Return folds with even shares of every class within every slice."""
    if clusters is not None:
        return assign(data.labels, n_folds=n_folds, seed=seed, groups=clusters)
    cell = (slicing.codes + 1) * data.n_classes + data.labels
    return assign(cell, n_folds=n_folds, seed=seed)


def _race(
    plan: _Plan,
    data: Data,
    slicing: _Slicing,
    clusters: NDArray[np.int64] | None,
    fold: NDArray[np.int64],
    tell: Progress,
) -> tuple[tuple[Shrinkage, ...], float | None]:
    """Cross-validate the penalties; return the table and the chosen one, None for pooled."""
    n_folds = int(fold.max()) + 1
    per_row = {strength: np.empty(len(data)) for strength in (np.inf, *STRENGTHS)}
    for part in range(n_folds):
        out = fold == part
        rest, held = data.take(~out), data.take(out)
        mix = 1 / (rest.size + 1) if plan.mixed else 0.0
        base = fit_data(plan.kind, rest, plan.options, uniform_mix=mix).calibrator
        within = _Slicing(slicing.codes[~out], slicing.keys)
        counts = np.bincount(within.codes[within.codes >= 0], minlength=len(within.keys))
        pooled = Compiled(base)(held.scores, held.score_kind)
        per_row[np.inf][out] = row_losses(pooled, held)
        number = slicing.codes[out]  # -1, no slice, reads the last entry below
        for strength in STRENGTHS:
            members, _ = _members(base, rest, within, counts, strength)
            fitted = CompiledSliced(SlicedCalibrator(base, ("",), members))
            numbers = [fitted.member(key) for key in slicing.keys]
            found = pooled.copy()
            fitted.correct(found, np.array([*numbers, POOLED], dtype=np.int32)[number])
            per_row[strength][out] = row_losses(found, held)
        tell(part + 2, n_folds + 2, f"cross-validated fold {part + 1} of {n_folds}")
    table = []
    for strength in STRENGTHS:
        gain, error = mean_and_error(per_row[np.inf] - per_row[strength], data, clusters)
        loss, _ = mean_and_error(per_row[strength], data, clusters)
        table.append(Shrinkage(strength, loss, gain, gain - Z_95 * error, gain + Z_95 * error))
    best = min(table, key=lambda line: line.loss)
    near = []
    for line in table:
        behind, error = mean_and_error(
            per_row[line.strength] - per_row[best.strength], data, clusters
        )
        if behind <= error:
            near.append(line)
    chosen = max(near, key=lambda line: line.strength)
    return tuple(table), chosen.strength if chosen.gain_low > 0 else None


def _members(
    base: Calibrator,
    data: Data,
    slicing: _Slicing,
    counts: NDArray[np.int64],
    strength: float | None,
) -> tuple[dict[tuple[str, ...], Calibrator], tuple[SliceFit, ...]]:
    """Fit the correction of every slice."""
    members: dict[tuple[str, ...], Calibrator] = {}
    found = []
    axis = axis_of(base, data) if strength is not None else None
    # rows of one slice side by side: one sort instead of one mask a slice
    order = np.argsort(slicing.codes, kind="stable")
    ends = np.searchsorted(slicing.codes[order], np.arange(len(slicing.keys) + 1))
    for number, key in enumerate(slicing.keys):
        n = int(counts[number])
        member = identity(data.task, data.n_classes)
        status: Literal["ok", "pooled", "too_few_rows"] = (
            "too_few_rows" if n < MIN_ROWS else "pooled"
        )
        if strength is not None and axis is not None and n >= MIN_ROWS:
            index = order[ends[number] : ends[number + 1]]
            params = correction(axis, index, data, strength)
            if params is not None:
                member = Calibrator(CORRECTION[data.task], data.task, data.n_classes, params)
                status = "ok"
        members[key] = member
        found.append(SliceFit(key, n, status))
    return members, tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """The pooled logit of shape (n,), or log-probabilities (n, k), and how it is standardised."""

    x: Float64
    centre: Any
    spread: Any


def axis_of(base: Calibrator, data: Data) -> Axis:
    """Return the axis on which slices are corrected."""
    pooled = Compiled(base)(data.scores, data.score_kind)
    if data.task == "multiclass":
        x: Float64 = np.log(np.maximum(pooled, TINY))
    else:
        held = np.clip(pooled, EPS, 1 - EPS)
        x = np.log(held) - np.log1p(-held)
    weights = data.weights if data.weighted else None
    centre = np.average(x, axis=0, weights=weights)
    spread = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=weights))
    return Axis(x, centre, np.maximum(spread, 1e-12))


def correction(
    axis: Axis, index: NDArray[np.int64], data: Data, strength: float
) -> dict[str, Any] | None:
    """Return a correction's parameters, None if the fit did not converge."""
    own, weights = axis.x[index], data.weights[index] if data.weighted else ALL
    u = (own - axis.centre) / axis.spread
    if data.task == "multiclass":
        return _vector_correction(axis, own, u, data.labels[index], weights, strength)
    features = np.stack([own, u, np.ones(len(own))])
    target = data.labels[index].astype(np.float64)
    start = np.array([1.0, 0.0, 0.0])
    found = logistic.newton(features, target, weights, start, free=[1, 2], ridge=strength)
    if 1 + found.theta[1] / axis.spread < 0:
        start[1] = -axis.spread  # slope 0
        found = logistic.newton(features, target, weights, start, free=[2], ridge=strength)
    if not found.settled:
        return None
    _, c, b = found.theta
    slope = max(float(1 + c / axis.spread), 0.0)
    return {"a": slope, "b": float(b - c * axis.centre / axis.spread)}


def _vector_correction(
    axis: Axis,
    own: Float64,
    u: Float64,
    labels: NDArray[np.int64],
    weights: Float64,
    strength: float,
) -> dict[str, Any] | None:
    """Return the multiclass correction softmax(own + c * u + b)."""
    n, k = own.shape
    total = float(weights.sum()) if weights.size else float(n)
    nothing = np.zeros(2 * k)
    problem = multinomial.Problem(
        x=u,
        masked=None,
        labels=labels,
        share=weights / total if weights.size else np.full(n, 1 / n),
        size=np.ones(2 * k),
        start=nothing,
        centre=nothing,
        strength=np.full(2 * k, strength / (2 * total)),
        full=False,
        offset=own,
    )
    theta, found = multinomial.solve(problem)
    if found.status != "ok":
        return None
    c, b = theta[:k], theta[k:]
    return {"scale": 1 + c / axis.spread, "bias": b - c * axis.centre / axis.spread}

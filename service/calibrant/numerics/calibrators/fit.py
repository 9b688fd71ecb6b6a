"""Fit one calibrator: `fit(kind, scores, labels, ...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Detail, Unusable
from calibrant.numerics.calibrators import isotonic, logistic, multinomial, schema, temperature
from calibrant.numerics.calibrators.apply import Compiled
from calibrant.numerics.calibrators.inputs import Data, read
from calibrant.numerics.calibrators.model import (
    BINARY_KINDS,
    EPS,
    KINDS,
    MULTICLASS_KINDS,
    TINY,
    Calibrator,
    ScoreKind,
    Task,
    identity,
)
from calibrant.numerics.calibrators.outcome import Diagnostics, Fit, Solution, Status

__all__ = ["Diagnostics", "Fit", "Status", "fit", "fit_data", "options_of"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one kind is fitted.

    Attributes
    ----------
    solve : callable
        (data, **options) -> Solution.
    min_rows : int
        Fewer rows are `too_few_rows`.
    options : mapping of name to allowed words or a range (low, high)
    curve : bool
        Whether the map has no formula, so that a constant score has a best value too.
    """

    solve: Callable[..., Solution]
    min_rows: int
    options: Mapping[str, tuple[str, ...] | tuple[float, float]]
    curve: bool = False


FLOOR = ("default", "none")
RECIPES: Mapping[str, Recipe] = {
    "identity": Recipe(lambda _: Solution({}, rank_kept=True), 1, {}),
    "temperature": Recipe(temperature.fit_temperature, 5, {}),
    "ets": Recipe(temperature.fit_ets, 10, {"loss": ("log", "mse")}),
    "platt": Recipe(logistic.fit_platt, 5, {"targets": ("platt", "hard")}),
    "beta": Recipe(logistic.fit_beta, 10, {}),
    "isotonic": Recipe(
        isotonic.fit_isotonic,
        5,
        {"floor": FLOOR, "interpolation": ("linear", "step")},
        curve=True,
    ),
    "isotonic_centered": Recipe(isotonic.fit_isotonic_centered, 5, {"floor": FLOOR}, curve=True),
    "histogram": Recipe(
        isotonic.fit_histogram,
        5,
        {"binning": ("width", "mass"), "n_bins": (1, 1000), "smoothing": ("none", "laplace")},
        curve=True,
    ),
    "venn_abers": Recipe(isotonic.fit_venn_abers, 5, {}, curve=True),
    "vector": Recipe(multinomial.fit_vector, 20, {}),
    "svs": Recipe(multinomial.fit_svs, 20, {}),
    "sms": Recipe(multinomial.fit_sms, 20, {}),
    "dirichlet": Recipe(
        multinomial.fit_dirichlet, 20, {"off_diagonal": (0.0, 1e6), "intercept": (0.0, 1e6)}
    ),
}
"""Every kind; the keys are `model.KINDS`."""


def fit(
    kind: str,
    scores: NDArray[Any],
    labels: NDArray[Any],
    *,
    task: Task,
    score_kind: ScoreKind,
    weights: NDArray[Any] | None = None,
    options: Mapping[str, Any] | None = None,
    uniform_mix: float = 0.0,
    force: bool = False,
) -> Fit:
    """Fit one kind of calibrator.

    Parameters
    ----------
    kind : str
        One of `model.KINDS`. A binary kind on more than two classes runs one against the rest.
    scores : array of shape (n,), (n, 1) or (n, 2) for binary, (n, k) for multiclass
        One binary number a row is P(y=1) or its log-odds.
    labels : integer array of shape (n,)
        All known, 0..k-1.
    task : {"binary", "multiclass"}
    score_kind : {"probabilities", "logits"}
        Never guessed from values.
    weights : array of shape (n,), optional
        Non-negative. An integer weight equals a repetition of the row; weights that sum to less
        than the number of rows count as that number where a prior or floor asks how many.
    options : mapping, optional
        ets: `loss` (log, mse). platt: `targets` (platt, hard). isotonic: `floor` (default, none),
        `interpolation` (linear, step). isotonic_centered: `floor`. histogram: `binning` (width,
        mass; required), `n_bins` (15), `smoothing` (none, laplace). dirichlet: `off_diagonal`,
        `intercept` (1e-3 each).
    uniform_mix : float in [0, 1)
        Weight of the uniform distribution in the result.
    force : bool
        Keep what was fitted where the status is `no_gain`, and fit the kinds without a formula
        (isotonic, histogram, Venn-Abers) to a constant score too.

    Returns
    -------
    Fit
        With the fitted calibrator for `ok` and `at_bound` (clamped; to be served only if forced),
        `identity` for any other status.

    Raises
    ------
    BadBatch
        With counts and first row numbers, if scores, labels or weights cannot be used.
    Unusable
        If kind or an option is unknown, or does not go with the task.

    Examples
    --------
    >>> z = np.array([-2.0, -1.0, 0.5, 1.0, -1.5, 2.0, -0.5, 1.5])
    >>> y = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    >>> found = fit("temperature", z, y, task="binary", score_kind="logits")
    >>> found.status, round(found.calibrator.params["temperature"], 4)
    ('ok', 0.8015)
    """
    if kind not in KINDS:
        raise Unusable(
            f"`method` must be one of {', '.join(KINDS)}.", [Detail("/method", "unknown")]
        )
    if task == "binary" and kind in MULTICLASS_KINDS:
        raise Unusable(
            f"`{kind}` needs more than two classes; on binary scores `platt` or `beta` do its work.",
            [Detail("/method", "needs more than two classes")],
        )
    chosen = options_of(kind, options or {})
    if not 0 <= uniform_mix < 1:
        raise Unusable(
            "`uniform_mix` must lie in [0, 1).", [Detail("/uniform_mix", "out of range")]
        )
    data = read(scores, labels, task=task, score_kind=score_kind, weights=weights)
    return fit_data(kind, data, chosen, uniform_mix=uniform_mix, force=force)


def options_of(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked options of a kind.

    Raises
    ------
    Unusable
        If an option is unknown, missing or outside its range.
    """
    allowed = RECIPES[kind].options
    if unknown := sorted(set(given) - set(allowed)):
        known = ", ".join(allowed) or "none"
        raise Unusable(
            f"`{kind}` has no such option; it has: {known}.",
            [Detail(f"/options/{len(unknown)}", "unknown")],
        )
    if kind == "histogram" and "binning" not in given:
        raise Unusable(
            "`histogram` needs `binning`: `width` or `mass`.",
            [Detail("/options/binning", "is missing")],
        )
    return {name: _option(name, value, allowed[name]) for name, value in given.items()}


def _option(name: str, value: object, allowed: tuple[Any, ...]) -> object:
    """Return one checked option."""
    pointer = f"/options/{name}"
    if isinstance(allowed[0], str):
        if type(value) is not str or value not in allowed:
            words = " or ".join(f"`{word}`" for word in allowed)
            raise Unusable(f"`{name}` must be {words}.", [Detail(pointer, "unknown word")])
        return value
    whole = isinstance(allowed[0], int)
    number = type(value) is int or (type(value) is float and not whole)
    if not number or not allowed[0] <= value <= allowed[1]:
        what = "a whole number" if whole else "a number"
        raise Unusable(
            f"`{name}` must be {what} from {allowed[0]:g} to {allowed[1]:g}.",
            [Detail(pointer, "out of range")],
        )
    return value


def fit_data(
    kind: str,
    data: Data,
    options: Mapping[str, Any],
    *,
    uniform_mix: float = 0.0,
    force: bool = False,
) -> Fit:
    """Fit one kind on rows that were read before; see `fit`."""
    before = data.loss  # refuses rows that cannot be used
    plain = identity(data.task, data.n_classes)
    recipe = RECIPES[kind]
    status: Status | None = None
    if len(data) < recipe.min_rows:
        status = "too_few_rows"
    elif kind != "identity" and not (data.labels != data.labels[0]).any():
        status = "single_class"
    elif kind != "identity" and data.constant:
        status = "unidentifiable"
    solved = status == "unidentifiable" and force and recipe.curve
    if status is not None and not solved:
        seen = Diagnostics(len(data), data.weight_sum, 0, None, before, before, rank_changed=False)
        return Fit(kind, plain, status, seen)
    solution = _solve(kind, data, options)
    if status is not None:
        solution = replace(solution, status=status)
    fitted = Calibrator(
        kind, data.task, data.n_classes, _frozen(solution.params), uniform_mix, solution.classes
    )
    found = Compiled(fitted)(data.scores, data.score_kind) if _applied(solution, fitted) else None
    after = mean_loss(found, data) if found is not None else solution.loss
    assert after is not None
    worse = after > before + 1e-12 * abs(before)
    if solution.status == "ok" and worse and kind != "identity":
        solution = replace(solution, status="no_gain")
    forced = force and solution.status in {"no_gain", "unidentifiable"} and (solved or not status)
    kept = solution.status in {"ok", "at_bound"} or forced
    changed = not solution.rank_kept if solution.rank_kept is not None else _reranked(found, data)
    notes = dict(solution.notes)
    if missing := np.flatnonzero(np.bincount(data.labels, minlength=data.n_classes) == 0).tolist():
        notes["classes_without_rows"] = missing
    seen = Diagnostics(
        len(data),
        data.weight_sum,
        solution.passes,
        solution.gradient,
        before,
        after,
        changed,
        notes,
    )
    return Fit(kind, fitted if kept else plain, solution.status, seen)


def _applied(solution: Solution, fitted: Calibrator) -> bool:
    """Whether the fitted map has to be applied to the rows to judge it."""
    return solution.loss is None or solution.rank_kept is None or fitted.uniform_mix > 0


def _solve(kind: str, data: Data, options: Mapping[str, Any]) -> Solution:
    """Solve a kind, one against the rest where it is binary and there are more classes."""
    if data.task == "binary" or kind not in BINARY_KINDS:
        return RECIPES[kind].solve(data, **options)
    members, notes, passes = [], {}, 0
    for label in range(data.n_classes):
        part = data.one_vs_rest(label)
        solvable = RECIPES[kind].curve or not part.constant
        solution = (
            RECIPES[kind].solve(part, **options) if solvable else Solution({}, "unidentifiable")
        )
        passes = max(passes, solution.passes)
        if solution.status != "ok":
            notes[str(label)] = solution.status
        usable = solution.status in {"ok", "at_bound"}
        members.append(
            Calibrator(kind, "binary", 2, _frozen(solution.params))
            if usable
            else identity("binary", 2)
        )
    stuck = len(notes) == data.n_classes
    return Solution(
        {},
        "at_bound" if stuck else "ok",
        passes,
        classes=tuple(members),
        notes={"classes_not_ok": notes} if notes else {},
    )


def _frozen(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as plain floats, texts and read-only arrays."""
    found: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, np.ndarray):
            array = np.array(value, dtype=np.float64)
            array.flags.writeable = False
            found[name] = array
        else:
            found[name] = value if isinstance(value, str) else float(value)
    return found


def row_losses(p: NDArray[np.float64], data: Data) -> NDArray[np.float64]:
    """Return each row's negative log likelihood.

    Probabilities are held to [EPS, 1 - EPS] (binary) or to at least TINY.
    """
    from calibrant.numerics.kernels import softmax

    if data.task == "binary":
        found: NDArray[np.float64] = -np.log(np.maximum(np.where(data.labels == 1, p, 1 - p), EPS))
        return found
    out = np.empty(len(data))
    softmax.row_losses(p, data.labels, TINY, out)
    return out


def mean_loss(p: NDArray[np.float64], data: Data) -> float:
    """Return the mean negative log likelihood of calibrated probabilities."""
    return float(np.average(row_losses(p, data), weights=data.weights if data.weighted else None))


def _reranked(found: NDArray[np.float64] | None, data: Data) -> bool:
    """Whether a map changed an order on these rows."""
    assert found is not None
    if data.task == "multiclass":
        return bool((found.argmax(axis=1) != data.scores.argmax(axis=1)).any())
    scores, first = np.unique(data.scores, return_index=True)
    return bool((np.diff(found[first]) <= 0).any()) and len(scores) > 1


assert tuple(sorted(RECIPES)) == tuple(sorted(schema.KINDS))

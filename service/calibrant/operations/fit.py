"""Fit a calibrator on some rows and judge it on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Detail, Unusable
from calibrant.inference.export import to_onnx
from calibrant.inference.parity import Certificate, certify
from calibrant.numerics.calibrators.auto import AutoFit, Candidate, fit_auto
from calibrant.numerics.calibrators.fit import fit
from calibrant.numerics.calibrators.model import Calibrator, SlicedCalibrator
from calibrant.numerics.calibrators.outcome import STATUS_TEXT, Diagnostics, Fit
from calibrant.numerics.calibrators.sliced import Shrinkage, SliceFit, fit_per_slice
from calibrant.numerics.predictions import Predictions
from calibrant.operations.data import Opened, ScoreKind, Task, labelled, opened
from calibrant.operations.evaluate import evaluate
from calibrant.operations.evaluate.report import IDENTITY, EvaluateSpec, Report
from calibrant.operations.holdout import Holdout, held_out
from calibrant.operations.identity import count_overlap
from calibrant.operations.overlap import refuse_overlap

ProgressCall = Callable[[int, int, str], None]

BEFORE = IDENTITY
AFTER = "fitted"
"""Names of the two candidates in a held-out report, where the second has no name of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to fit.

    Attributes
    ----------
    method : str
        `auto` or a kind of calibrator.
    per_slice : tuple of str
        Dimensions whose slices get a correction of their own, shrunk towards the pooled fit.
    force : bool
        Allow a fit at a parameter bound to be served, and keep one without gain.
    options : mapping
        Of the kind, as `numerics.calibrators.fit.fit` names them; none for `auto`.
    """

    task: Task
    score_kind: ScoreKind
    method: str = "auto"
    per_slice: tuple[str, ...] = ()
    options: Mapping[str, str | int | float] = field(default_factory=dict)
    force: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished fit.

    Attributes
    ----------
    kind : str
        Of the stored calibrator; `identity` where nothing better was found.
    status : str
        How the fit went; `text` says it in words.
    servable : bool
        Whether the status allows serving it: identity stored on purpose is servable, a
        parameter clamped at its bound is not unless forced.
    candidates : tuple of Candidate
        The table of `auto`: cross-validated log loss of every kind that was tried.
    slices : tuple of SliceFit
        How each slice was fitted, with `per_slice`.
    shrinkage : tuple of Shrinkage
        Cross-validated gain over the pooled fit for each strength of shrinkage.
    """

    calibrator: Calibrator | SlicedCalibrator
    kind: str
    status: str
    text: str
    servable: bool
    diagnostics: Diagnostics
    candidates: tuple[Candidate, ...] = ()
    slices: tuple[SliceFit, ...] = ()
    shrinkage: tuple[Shrinkage, ...] = ()


def fit_rows(rows: Predictions, recipe: Recipe, progress: ProgressCall) -> Made:
    """Fit on labelled rows.

    Raises
    ------
    BadBatch
        If scores or labels cannot be used.
    Unusable
        If the method or an option is unknown or does not suit the task.
    """
    if recipe.per_slice:
        return _per_slice(rows, recipe, progress)
    if recipe.method == "auto":
        return _auto(rows, recipe, progress)
    assert rows.labels is not None
    progress(0, 1, f"fitting {recipe.method}")
    found = fit(
        recipe.method,
        rows.scores,
        rows.labels,
        task=recipe.task,
        score_kind=recipe.score_kind,
        weights=rows.weights,
        options=recipe.options,
        force=recipe.force,
    )
    return _made(found, recipe)


def _per_slice(rows: Predictions, recipe: Recipe, progress: ProgressCall) -> Made:
    assert rows.labels is not None
    if missing := [name for name in recipe.per_slice if name not in rows.slices]:
        raise Unusable(
            "`per_slice` names columns that are not among the slices of these rows.",
            [Detail("/per_slice", f"{len(missing)} unknown: name them in `slices` too.")],
        )
    found = fit_per_slice(
        recipe.method,
        rows.scores,
        rows.labels,
        {name: rows.slices[name] for name in recipe.per_slice},
        task=recipe.task,
        score_kind=recipe.score_kind,
        weights=rows.weights,
        groups=None if rows.groups is None else rows.groups.codes,
        options=recipe.options,
        seed=recipe.seed,
        progress=progress,
    )
    made = _made(found.pooled.fit if isinstance(found.pooled, AutoFit) else found.pooled, recipe)
    return replace(
        made,
        calibrator=found.calibrator,
        kind=f"{made.kind} per slice" if found.strength is not None else made.kind,
        status=found.status,
        text=STATUS_TEXT[found.status],
        servable=_servable(found.status, recipe),
        candidates=found.pooled.table if isinstance(found.pooled, AutoFit) else (),
        slices=found.slices,
        shrinkage=found.table,
    )


def _auto(rows: Predictions, recipe: Recipe, progress: ProgressCall) -> Made:
    assert rows.labels is not None
    if recipe.options:
        raise Unusable("`options` belong to a method; `auto` has none.")
    found = fit_auto(
        rows.scores,
        rows.labels,
        task=recipe.task,
        score_kind=recipe.score_kind,
        weights=rows.weights,
        groups=None if rows.groups is None else rows.groups.codes,
        seed=recipe.seed,
        progress=progress,
    )
    return replace(_made(found.fit, recipe), candidates=found.table)


def _made(found: Fit, recipe: Recipe) -> Made:
    return Made(
        calibrator=found.calibrator,
        kind=found.calibrator.kind,
        status=found.status,
        text=found.text,
        servable=_servable(found.status, recipe),
        diagnostics=found.diagnostics,
    )


def _servable(status: str, recipe: Recipe) -> bool:
    """Say whether a status may be served: a clamped parameter only when forced, a stuck one never."""
    if status == "not_converged":
        return False
    return recipe.force or status in {"ok", "no_gain"}


def judge(made: Made, source: Opened, recipe: Recipe, *, name: str = AFTER) -> Report:
    """Report on held-out rows: scores as they came against the new calibrator, called `name`."""
    spec = EvaluateSpec(
        task=recipe.task,
        score_kind=recipe.score_kind,
        calibrator=name,
        candidates=(BEFORE, name),
        baseline=BEFORE,
    )
    return evaluate(
        source.chunks, spec, {name: made.calibrator}, n_rows=source.n_rows, seed=recipe.seed
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A fit with its proof: judged on rows it has not seen, exported, and certified.

    Attributes
    ----------
    n_fit : int
        Rows it was fitted on.
    identities : uint64 array of shape (n_fit,)
        Which rows these were.
    report : Report
        On held-out rows, scores as they came against the new calibrator.
    onnx : bytes
        The graph, and `certificate` how far engines differ on it.
    """

    made: Made
    n_fit: int
    identities: NDArray[np.uint64]
    report: Report
    onnx: bytes
    certificate: Certificate


def fit_and_judge(
    source: Opened,
    recipe: Recipe,
    *,
    holdout: Holdout,
    evaluate_on: Opened | None = None,
    name: str = AFTER,
    allow_overlap: bool = False,
    progress: ProgressCall,
) -> Outcome:
    """Fit on some rows and judge on others: those of `evaluate_on`, else rows held out.

    Raises
    ------
    FittedOnTheseRows
        If rows would be on both sides; `allow_overlap` stamps the report `optimistic` instead.
    BadBatch, Unusable
        If rows, method or options cannot be used.
    """
    progress(0, 4, "reading rows")
    rows, identities = labelled(source)
    if evaluate_on is None:
        out = held_out(rows, identities, holdout)
        judged, seen = opened(rows.take(out)), identities[out]
        rows, identities = rows.take(~out), identities[~out]
    else:
        judged, seen = evaluate_on, evaluate_on.identities()
    n_overlap = count_overlap(np.sort(identities), seen)
    refuse_overlap(n_overlap, len(seen), "this calibrator", allowed=allow_overlap)
    made = fit_rows(rows, recipe, lambda _done, _of, text: progress(1, 4, text))
    progress(2, 4, f"judging on {judged.n_rows:,} held-out rows")
    report = judge(made, judged, recipe, name=name)
    progress(3, 4, "writing and certifying the graph")
    onnx = to_onnx(made.calibrator, score_kind=recipe.score_kind)
    return Outcome(
        made=made,
        n_fit=len(rows),
        identities=identities,
        report=replace(report, optimistic=n_overlap > 0, n_overlap=n_overlap),
        onnx=onnx,
        certificate=certify(made.calibrator, onnx, score_kind=recipe.score_kind),
    )

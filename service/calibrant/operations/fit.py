"""Fit a calibrator on some rows and judge it on others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Unusable
from calibrant.numerics.predictions import Predictions
from calibrant.operations.data import Opened, ScoreKind, Task
from calibrant.operations.evaluate import evaluate
from calibrant.operations.evaluate.report import EvaluateSpec, Report
from calibrant.operations.holdout import Holdout, held_out

ProgressCall = Callable[[int, int, str], None]

BEFORE = "identity"
AFTER = "fitted"
"""Names of the two candidates in a held-out report."""


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
        Allow a fit at a parameter bound to be served, and unregularised kinds.
    """

    task: Task
    score_kind: ScoreKind
    method: str = "auto"
    per_slice: tuple[str, ...] = ()
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
    """

    calibrator: Calibrator | SlicedCalibrator
    kind: str
    status: str
    text: str
    servable: bool
    diagnostics: Diagnostics
    candidates: tuple[Candidate, ...] = ()
    slices: tuple[SliceFit, ...] = ()


def judge(made: Made, source: Opened, recipe: Recipe) -> Report:
    """Report on held-out rows: scores as they came against the new calibrator."""
    spec = EvaluateSpec(
        task=recipe.task,
        score_kind=recipe.score_kind,
        calibrator=AFTER,
        candidates=(BEFORE, AFTER),
        baseline=BEFORE,
    )
    return evaluate(source.chunks, spec, {AFTER: made.calibrator}, seed=recipe.seed)

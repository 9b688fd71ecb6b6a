"""Compile or load every kernel a request may need, before the first request comes."""

from __future__ import annotations

import numpy as np

from calibrant.numerics.calibrators import apply
from calibrant.numerics.predictions import Predictions
from calibrant.operations.data import ScoreKind, Task, opened
from calibrant.operations.evaluate import evaluate
from calibrant.operations.evaluate.report import EvaluateOptions, EvaluateSpec

_ROWS = 64


def warm() -> None:
    """Load the serving kernels, and evaluate a small batch of each form for the others."""
    apply.warm()
    draws = np.random.default_rng(0)
    labels = np.arange(_ROWS, dtype=np.int64) % 2
    binary = draws.uniform(0.1, 0.9, _ROWS)
    classes = draws.normal(size=(_ROWS, 3))
    _evaluate("binary", "probabilities", Predictions(binary, labels))
    _evaluate("multiclass", "logits", Predictions(classes, labels))


def _evaluate(task: Task, score_kind: ScoreKind, predictions: Predictions) -> None:
    spec = EvaluateSpec(task=task, score_kind=score_kind, options=EvaluateOptions())
    evaluate(opened(predictions).chunks, spec, {}, progress=lambda _done, _of, _text: None)

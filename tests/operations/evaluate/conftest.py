"""Rows for reports: calibrated, over-confident, shifted, in slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from calibrant.numerics.predictions import Category, Predictions
from calibrant.operations.evaluate import EvaluateOptions, EvaluateSpec, Gate, Report, evaluate

Make = Callable[..., Report]


def _report(
    rows: Predictions,
    *,
    task: str = "binary",
    score_kind: str = "probabilities",
    gates: tuple[Gate, ...] = (),
    candidates: tuple[str, ...] = (),
    calibrators: Any = None,
    calibrator: str | None = None,
    baseline: str | None = None,
    chunk: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Report:
    spec = EvaluateSpec(
        task=task,
        score_kind=score_kind,
        options=EvaluateOptions(**options),
        gates=gates,
        candidates=candidates,
        calibrator=calibrator,
        baseline=baseline,
    )
    size = chunk or max(len(rows), 1)

    def chunks() -> Any:
        for start in range(0, len(rows), size):
            yield rows.take(np.arange(start, min(start + size, len(rows))))

    return evaluate(chunks, spec, calibrators, n_rows=len(rows), seed=seed)


@pytest.fixture
def report() -> Make:
    """Evaluate rows."""
    return _report


@pytest.fixture
def draw(rng: np.random.Generator) -> Callable[..., Predictions]:
    """Draw binary rows whose true rate is `truth(score)`; the scores themselves by default."""

    def make(
        n: int,
        *,
        score: NDArray[np.float64] | None = None,
        truth: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
        **columns: Any,
    ) -> Predictions:
        p = rng.random(n) if score is None else score
        rate = p if truth is None else np.clip(truth(p), 0, 1)
        rows = Predictions(scores=p, labels=(rng.random(n) < rate).astype(np.int64))
        return replace(rows, **columns)

    return make


@pytest.fixture
def classes(rng: np.random.Generator) -> Callable[..., Predictions]:
    """Draw multiclass logits whose labels follow softmax(logits / temperature)."""

    def make(n: int, k: int = 4, *, temperature: float = 1.0, **columns: Any) -> Predictions:
        z = rng.normal(0, 2, (n, k))
        e = np.exp((z - z.max(axis=1, keepdims=True)) / temperature)
        cumulative = (e / e.sum(axis=1, keepdims=True)).cumsum(axis=1)
        labels = np.minimum((cumulative < rng.random((n, 1))).sum(axis=1), k - 1)
        return replace(Predictions(scores=z, labels=labels.astype(np.int64)), **columns)

    return make


@pytest.fixture
def category() -> Callable[..., Category]:
    """Encode texts."""
    return lambda texts: Category.encode(list(texts))

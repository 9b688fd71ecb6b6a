"""Pictures to test: diagrams counted from rows by hand, so that the pictures are tested without the numerics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaincinv

from calibrant.operations.draw import Figure, Series
from calibrant.operations.evaluate.report import ALL, Diagram, NoiseFloor


def _draw_rows(n: int, *, slope: float = 0.55, seed: int = 1) -> tuple[NDArray, NDArray]:
    """Return scores, and outcomes whose log-odds are `slope` times those of the scores."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.0, 1.6, n)
    return 1 / (1 + np.exp(-z)), rng.random(n) < 1 / (1 + np.exp(-slope * z + 0.1))


def _diagram_of(
    score: NDArray, outcome: NDArray, *, mass: bool = False, slice_name: str = ALL, **more
) -> Diagram:
    """Count 15 bins of equal width or equal mass."""
    edges = np.linspace(0, 1, 16)
    if mass:
        edges[1:-1] = np.quantile(score, edges[1:-1])
    bins = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, 14)
    n, p, y, v = (
        np.bincount(bins, weights, 15)
        for weights in (None, score, outcome.astype(float), score * (1 - score))
    )
    total = max(len(score), 1)
    noise = np.abs(np.random.default_rng(0).normal(0, np.sqrt(v), (500, 15))).sum(1) / total

    def per_bin(value: Callable[[int], float]) -> tuple[float | None, ...]:
        return tuple(float(value(b)) if n[b] else None for b in range(15))

    wide = 1.96 * np.sqrt(v) / np.maximum(n, 1)
    given = {
        "slice": slice_name,
        "stage": "reported",
        "binning": "equal_mass" if mass else "equal_width",
        "view": "positive",
        "edges": tuple(edges.tolist()),
        "n": tuple(n.tolist()),
        "score": per_bin(lambda b: p[b] / n[b]),
        "rate": per_bin(lambda b: y[b] / n[b]),
        "low": per_bin(lambda b: betaincinv(y[b], n[b] - y[b] + 1, 0.025) if y[b] else 0),
        "high": per_bin(lambda b: betaincinv(y[b] + 1, n[b] - y[b], 0.975) if y[b] < n[b] else 1),
        "band_low": per_bin(lambda b: max(p[b] / n[b] - wide[b], 0)),
        "band_high": per_bin(lambda b: min(p[b] / n[b] + wide[b], 1)),
        "ece": float(np.abs(p - y).sum() / total) if len(score) else None,
        "ece_noise_floor": NoiseFloor(mean=float(noise.mean()), p95=float(np.quantile(noise, 0.95)))
        if len(score)
        else None,
    }
    return Diagram(**(given | more))


@pytest.fixture
def draw_rows() -> Callable[..., tuple[NDArray, NDArray]]:
    return _draw_rows


@pytest.fixture
def diagram_of() -> Callable[..., Diagram]:
    return _diagram_of


@pytest.fixture
def figure(draw_rows: Callable, diagram_of: Callable) -> Callable[..., Figure]:
    """Make a figure of some rows: one series, or before and after."""

    def made(
        n: int = 2_000, *, title: str = "All rows", names: tuple[str, ...] = ("",), **more: object
    ) -> Figure:
        score, outcome = draw_rows(n)
        return Figure(
            title, tuple(Series(name, diagram_of(score, outcome, **more)) for name in names)
        )

    return made

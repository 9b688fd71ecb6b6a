"""The temperature solver: its four derivatives, and its error on more rows than it solves exactly."""

from __future__ import annotations

import numpy as np
import pytest

from calibrant.numerics.calibrators.fit import fit
from calibrant.numerics.calibrators.inputs import ALL
from calibrant.numerics.calibrators.temperature import EXACT_ELEMENTS
from calibrant.numerics.kernels import temperature


def drawn(z: np.ndarray, t: float, rng: np.random.Generator) -> np.ndarray:
    """Draw labels whose right temperature is t."""
    labels: np.ndarray = (z / t + rng.gumbel(size=z.shape)).argmax(axis=1)
    return labels


@pytest.mark.parametrize("k", [2, 3, 300])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_derivative_is_the_difference_of_the_one_before(
    k: int, weighted: bool, rng: np.random.Generator
) -> None:
    z = rng.normal(0, 2, (200, k))
    y = drawn(z, 1.5, rng)
    w = rng.uniform(0.5, 2, len(z)) if weighted else ALL
    sums = temperature.pass_rows
    if k == 2:
        z, sums = np.ascontiguousarray(z[:, 1] - z[:, 0]), temperature.pass_binary
    c, step = 0.8, 1e-4
    powers = c ** np.arange(5)
    up, down, at = (
        np.array(sums(z, y, w, x)) / (powers * (x / c) ** np.arange(5))
        for x in (c + step, c - step, c)
    )
    assert np.allclose((up - down)[:-1] / (2 * step), at[1:], rtol=1e-6)


@pytest.mark.parametrize("shape", ["normal", "heavy", "peaked"])
def test_many_rows_are_solved_to_a_ten_millionth(shape: str, rng: np.random.Generator) -> None:
    n, k = 400_000, 6
    z = rng.standard_t(2, (n, k)) if shape == "heavy" else rng.normal(0, 3, (n, k))
    if shape == "peaked":
        z[np.arange(n), rng.integers(0, k, n)] += 12
    y = drawn(z, 1.7, rng)
    assert z.size > EXACT_ELEMENTS
    found = fit("temperature", z, y, task="multiclass", score_kind="logits")
    t = found.calibrator.params["temperature"]
    assert isinstance(t, float)
    # Newton's method squares its error: from so near, one step is the optimum
    _, slope, curve, *_ = temperature.pass_rows(z, y, ALL, 1 / t)
    assert found.status == "ok"
    assert abs(slope / curve) <= 1e-7


def test_the_loss_without_temperature_is_the_loss_at_one(rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, (5000, 4))
    z[::7, 3] = -np.inf
    y = np.where(np.isinf(z[:, 3]), rng.integers(0, 3, 5000), rng.integers(0, 4, 5000))
    for w in (ALL, rng.uniform(0.5, 2, 5000)):
        assert temperature.survey_rows(z, y, w)[-1] == pytest.approx(
            temperature.pass_rows(z, y, w, 1.0)[0], rel=1e-13
        )

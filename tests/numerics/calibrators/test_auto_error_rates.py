"""How often `auto` changes what is right, and misses what is wrong; simulated, printed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.special import expit

from calibrant.numerics.calibrators.auto import fit_auto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def chosen(seed: int, n: int, t: float, k: int) -> str:
    rng = np.random.default_rng(seed)
    if k == 2:
        z = rng.normal(0, 2, n)
        y = (rng.random(n) < expit(z)).astype(int)
    else:
        z = rng.normal(0, 1.5, (n, k))
        y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    task = "binary" if k == 2 else "multiclass"
    return fit_auto(t * z, y, task=task, score_kind="logits", seed=seed).chosen


@pytest.mark.parametrize(
    ("k", "n", "draws"), [(2, 300, 400), (2, 2000, 400), (3, 2000, 400), (2, 12_000, 100)]
)
def test_right_scores_are_left_alone(k: int, n: int, draws: int) -> None:
    seen = Counter(chosen(seed, n, 1.0, k) for seed in range(draws))
    print(f"\n{k} classes, {n} rows, T = 1: {dict(seen)} of {draws}")
    assert draws - seen["identity"] <= 0.05 * draws


@pytest.mark.parametrize(("k", "draws"), [(2, 400), (3, 200)])
def test_a_temperature_of_1_3_is_repaired(k: int, draws: int) -> None:
    seen = Counter(chosen(seed, 2000, 1.3, k) for seed in range(draws))
    print(f"\n{k} classes, 2000 rows, T = 1.3: {dict(seen)} of {draws}")
    assert draws - seen["identity"] >= 0.9 * draws

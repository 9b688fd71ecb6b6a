from __future__ import annotations

import numpy as np
import pytest

from calibrant.numerics.smooth import CELLS, smooth_ece


def test_a_constant_score_shows_its_gap() -> None:
    # One score far from the ends: smoothing moves neither residual nor density apart.
    found = smooth_ece(np.full(2_000, 0.5), np.arange(2_000) < 1_400)
    assert found.value == pytest.approx(0.2, rel=2e-3)
    assert found.bandwidth == pytest.approx(found.value, abs=1 / 1024)


def test_calibrated_rows_show_little_and_less_with_more_rows(rng: np.random.Generator) -> None:
    values = []
    for n in (300, 3_000, 30_000):
        p = rng.random(n)
        values.append(smooth_ece(p, rng.random(n) < p).value)
    assert values[0] > values[1] > values[2]
    assert values[2] < 0.01


def test_cells_change_little(rng: np.random.Generator) -> None:
    p = rng.beta(0.6, 1.2, CELLS)
    y = rng.random(CELLS) < p**1.4
    rows = smooth_ece(p, y)
    cells = smooth_ece(np.concatenate([p, p]), np.concatenate([y, y]))
    assert cells.value == pytest.approx(rows.value, rel=1e-3)


def test_integer_weights_equal_repeated_rows(rng: np.random.Generator) -> None:
    p = rng.random(200)
    y, times = rng.random(200) < p, rng.integers(1, 4, 200)
    a = smooth_ece(p, y, times.astype(float))
    b = smooth_ece(np.repeat(p, times), np.repeat(y, times))
    assert a.value == pytest.approx(b.value, rel=1e-9)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_scores_at_an_end_are_not_counted_twice(score: float) -> None:
    y = np.arange(1_000) < 300
    gap = abs(score - 0.3)
    assert smooth_ece(np.full(1_000, score), y).value == pytest.approx(gap, rel=5e-3)


def test_without_rows_there_is_no_value() -> None:
    assert np.isnan(smooth_ece(np.zeros(0), np.zeros(0)).value)


def test_one_row_has_a_value() -> None:
    # relplot gives .29997 here.
    assert smooth_ece(np.array([0.7]), np.array([1])).value == pytest.approx(0.3, abs=2e-4)

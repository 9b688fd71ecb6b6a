from __future__ import annotations

import numpy as np
import pytest

from calibrant.numerics.predictions import Category, Predictions


def test_the_worst_slice_comes_first_with_sign_interval_and_evidence(report, draw, rng):
    where = rng.integers(0, 4, 20_000).astype(np.int32)
    shift = np.array([0.0, 0.15, -0.07, 0.0])[where]
    rows = draw(
        20_000,
        score=rng.uniform(0.3, 0.7, 20_000),
        truth=lambda p: p - shift,
        slices={"x": Category(where, ("a", "b", "c", "d"))},
    )
    worst = [w for w in report(rows).worst_slices if w.name.startswith("x=")]
    assert [w.name for w in worst] == ["x=b", "x=c"]
    assert [w.direction for w in worst] == ["too high", "too low"]
    for w, effect in zip(worst, (0.15, -0.07), strict=True):
        assert w.interval[0] <= effect <= w.interval[1]
        assert w.p_value <= w.p_adjusted < 0.05
        assert w.beyond_tolerance


def test_noise_is_not_called_worst_however_many_slices_there_are(report, draw, rng):
    codes = rng.integers(0, 400, 20_000).astype(np.int32)
    rows = draw(20_000, slices={"x": Category(codes, tuple(map(str, range(400))))})
    made = report(rows)
    gaps = [abs(s.metrics.bias) for s in made.slices if s.dimension == "x"]
    assert max(gaps) > 0.15  # a naive ranking would have shown these
    assert made.worst_slices == ()


def test_the_interval_is_wider_with_more_slices(report, draw, rng):
    where = (rng.random(10_000) < 0.2).astype(np.int32)
    many = rng.integers(0, 300, 10_000).astype(np.int32)
    rows = draw(
        10_000,
        score=rng.uniform(0.3, 0.7, 10_000),
        truth=lambda p: p - 0.2 * where,
        slices={"x": Category(where, ("a", "b"))},
    )
    few = next(w for w in report(rows).worst_slices if w.name == "x=b")
    rows.slices["y"] = Category(many, tuple(map(str, range(300))))
    wide = next(w for w in report(rows).worst_slices if w.name == "x=b")
    assert few.effect == wide.effect
    assert wide.interval[0] < few.interval[0] < few.interval[1] < wide.interval[1]


def test_two_rare_events_where_a_tenth_was_expected_are_no_proof_among_many(report):
    codes = np.repeat(np.arange(300, dtype=np.int32), 100)
    labels = np.zeros(30_000, dtype=np.int64)
    labels[[0, 1]] = 1  # six standard deviations in slice 0, yet 1 in 200 for a Poisson count
    labels[np.arange(150, 30_000, 1_000)] = 1
    rows = Predictions(
        scores=np.full(30_000, 0.001),
        labels=labels,
        slices={"x": Category(codes, tuple(map(str, range(300))))},
    )
    assert "x=0" not in {w.name for w in report(rows).worst_slices}


def test_a_confident_slice_that_is_wrong_is_found_with_few_rows(report, draw):
    codes = np.zeros(2_000, np.int32)
    codes[:20] = 1
    rows = draw(2_000, slices={"x": Category(codes, ("usual", "odd"))})
    rows.scores[:20], rows.labels[:20] = 0.97, 0
    found = report(rows).worst_slices
    assert found[0].name == "x=odd"
    assert found[0].effect == pytest.approx(0.97)


def test_multiclass_slices_are_over_or_under_confident(report, classes, rng):
    where = (rng.random(8_000) < 0.3).astype(np.int32)
    rows = classes(8_000, slices={"x": Category(where, ("a", "b"))})
    rows.scores[where == 1] *= 3
    worst = report(rows, task="multiclass", score_kind="logits").worst_slices
    assert next(w for w in worst if w.name == "x=b").direction == "over-confident"

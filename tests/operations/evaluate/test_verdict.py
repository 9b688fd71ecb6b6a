from __future__ import annotations

import numpy as np
import pytest

from calibrant.numerics.predictions import Category, Predictions


def squash(p, factor):
    """Move log-odds towards .5 by a factor."""
    odds = (p / (1 - p)) ** factor
    return odds / (1 + odds)


def test_many_calibrated_rows_are_calibrated(report, draw):
    verdict = report(draw(20_000)).verdict
    assert verdict.status == "calibrated"
    assert verdict.direction is None
    assert verdict.finding is None
    assert verdict.sentence.startswith("The probabilities are calibrated")


def test_few_calibrated_rows_are_inconclusive_and_say_what_they_cannot_see(report, draw):
    verdict = report(draw(300)).verdict
    assert verdict.status == "inconclusive"
    assert verdict.smallest_detectable == pytest.approx(0.15, abs=0.01)
    assert "300 rows cannot tell" in verdict.sentence
    assert f"{verdict.smallest_detectable:.3f}" in verdict.sentence


@pytest.mark.parametrize(
    ("truth", "direction"),
    [
        (lambda p: squash(p, 0.5), "over-confident"),
        (lambda p: squash(p, 2.0), "under-confident"),
        (lambda p: 0.8 * p, "too high"),
        (lambda p: 1 - 0.8 * (1 - p), "too low"),
    ],
)
def test_the_direction_is_named(report, draw, truth, direction):
    verdict = report(draw(20_000, truth=truth)).verdict
    assert verdict.status == "miscalibrated"
    assert direction in verdict.direction
    assert direction in verdict.sentence


def test_an_error_that_is_neither_shift_nor_slope_is_uneven(report, draw, rng):
    # bins up, down, down, up: neither level nor slope
    signs = np.array([0, 0, 0, 1, -1, -1, 1, 1, -1, -1, 1, 0, 0, 0, 0])
    verdict = report(
        draw(
            40_000,
            score=rng.uniform(0.2, 11 / 15, 40_000),
            truth=lambda p: p + 0.1 * signs[(p * 15).astype(int)],
        )
    ).verdict
    assert (verdict.status, verdict.direction) == ("miscalibrated", "uneven")
    assert verdict.sentence.startswith("The probabilities are unevenly wrong")


def test_multiclass_direction_is_about_confidence(report, classes):
    over = report(classes(10_000, temperature=2.0), task="multiclass", score_kind="logits")
    under = report(classes(10_000, temperature=0.5), task="multiclass", score_kind="logits")
    assert (over.verdict.status, over.verdict.direction) == ("miscalibrated", "over-confident")
    assert (under.verdict.status, under.verdict.direction) == ("miscalibrated", "under-confident")


def test_errors_that_cancel_are_found(report, draw, rng):
    where = rng.integers(0, 3, 30_000)
    p = rng.uniform(0.2, 0.8, 30_000)
    shift = np.array([-0.1, 0.0, 0.1])[where]
    rows = draw(
        30_000,
        score=p,
        truth=lambda q: q + shift,
        slices={"when": Category(where.astype(np.int32), ("early", "noon", "late"))},
    )
    made = report(rows)
    assert abs(made.metrics.bias) < 0.01
    assert made.verdict.status == "miscalibrated"
    assert made.verdict.finding.startswith("The errors cancel: when=early is 0.")
    assert made.verdict.direction == "too high in when=early, too low in when=late"
    assert "when=noon" not in made.verdict.finding


def test_one_bad_slice_in_a_fine_aggregate_is_found(report, draw, rng):
    where = (rng.random(60_000) < 0.03).astype(np.int32)
    rows = draw(
        60_000,
        score=rng.uniform(0.2, 0.8, 60_000),
        truth=lambda q: q - 0.2 * where,
        slices={"type": Category(where, ("usual", "odd"))},
    )
    verdict = report(rows).verdict
    assert verdict.status == "miscalibrated"
    assert verdict.finding.startswith("The aggregate hides a slice: type=odd is 0.")
    assert verdict.direction == "too high in type=odd"


def test_over_confidence_is_not_called_cancelling_because_of_score_bands(report, draw):
    made = report(draw(20_000, truth=lambda p: squash(p, 0.5)))
    assert {w.name.split("=")[0] for w in made.worst_slices} == {"score_band"}
    assert made.verdict.finding is None


def test_the_tolerance_is_what_was_asked_for(report, draw):
    rows = draw(20_000, truth=lambda p: p - 0.03)
    assert report(rows).verdict.status == "miscalibrated"
    tolerant = report(rows, tolerance=0.06).verdict
    assert (tolerant.status, tolerant.tolerance) == ("calibrated", 0.06)


def test_rare_outcomes_have_a_smaller_tolerance(report, draw, rng):
    rows = draw(40_000, score=rng.uniform(0, 0.02, 40_000), truth=lambda p: 2 * p)
    verdict = report(rows).verdict
    assert verdict.tolerance < 0.006
    assert verdict.status == "miscalibrated"


def test_a_handful_of_rare_rows_without_an_event_proves_nothing(report):
    rows = Predictions(scores=np.full(30, 0.01), labels=np.zeros(30, dtype=np.int64))
    made = report(rows)
    assert made.verdict.status == "inconclusive"
    assert made.metrics.rmsce_interval[0] == 0
    assert made.worst_slices == ()


def test_certain_and_wrong_is_miscalibrated(report):
    rows = Predictions(scores=np.ones(50), labels=np.zeros(50, dtype=np.int64))
    verdict = report(rows).verdict
    assert verdict.status == "miscalibrated"
    assert "too high" in verdict.direction

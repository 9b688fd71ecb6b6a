from __future__ import annotations

import numpy as np
import pytest

from calibrant.errors import Unusable
from calibrant.numerics.calibrators.model import Calibrator
from calibrant.numerics.predictions import Category, Predictions
from calibrant.operations.evaluate import Gate
from calibrant.operations.evaluate.gates import GATED, interval_of


def only(report):
    (result,) = report.gates
    return result


@pytest.mark.parametrize("metric", GATED)
def test_every_gated_metric_is_decided_by_its_interval(report, draw, metric):
    rows = draw(3_000)
    low, high = interval_of(report(rows).metrics, metric)
    assert low < high
    for bar, status in (
        (Gate(metric=metric, max=high + 1e-9), "pass"),
        (Gate(metric=metric, max=(low + high) / 2), "inconclusive"),
        (Gate(metric=metric, max=low - 1e-9), "fail"),
        (Gate(metric=metric, min=low - 1e-9), "pass"),
        (Gate(metric=metric, min=(low + high) / 2), "inconclusive"),
        (Gate(metric=metric, min=high + 1e-9), "fail"),
        (Gate(metric=metric, min=low - 1, max=high + 1), "pass"),
    ):
        result = only(report(rows, gates=(bar,)))
        assert (result.status, result.interval) == (status, (low, high))


def test_a_point_beyond_the_bar_does_not_fail_a_small_batch(report, draw):
    made = report(draw(200), gates=(Gate(metric="ece", max=0.03),))
    assert made.metrics.ece > 0.03
    assert only(made).status == "inconclusive"


def test_a_point_within_the_bar_does_not_pass_a_small_batch(report, draw):
    made = report(draw(200), gates=(Gate(metric="ece", max=0.1),))
    assert made.metrics.ece < 0.1
    assert only(made).status == "inconclusive"


def test_the_sentence_says_bar_and_interval(report, draw):
    result = only(report(draw(20_000), gates=(Gate(metric="ece", max=0.05),)))
    assert result.sentence.startswith("ECE on all rows must be at most 0.05: it is")
    assert f"{result.interval[1]:.4g}" in result.sentence


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("x=a",), ["x=a"]),
        (("x",), ["x=a", "x=b"]),
        (("x=b", "x"), ["x=b", "x=a"]),
        (("__all__", "x=a"), ["__all__", "x=a"]),
    ],
)
def test_a_gate_may_be_asked_of_slices(report, draw, asked, expected):
    rows = draw(400, slices={"x": Category(np.arange(400, dtype=np.int32) % 2, ("a", "b"))})
    made = report(rows, gates=(Gate(metric="accuracy", min=0.1, slices=asked),))
    assert [result.slice for result in made.gates] == expected
    assert {result.status for result in made.gates} == {"pass"}


def test_a_star_asks_every_slice(report, draw):
    made = report(draw(400), gates=(Gate(metric="bias", max=1, slices=("*",)),))
    assert [result.slice for result in made.gates] == [s.name for s in made.slices]


def test_a_slice_that_is_not_there_is_refused(report, draw):
    with pytest.raises(Unusable) as caught:
        report(draw(50), gates=(Gate(metric="ece", max=1, slices=("x=never",)),))
    assert caught.value.errors[0].pointer == "/gates/0/slices/0"


@pytest.mark.parametrize(
    ("gate", "pointer"),
    [
        (Gate(metric="ece"), "/gates/0"),
        (Gate(metric="smooth_ece", max=1), "/gates/0/metric"),
        (Gate(metric="n", max=1), "/gates/0/metric"),
        (Gate(metric="ece", min=0.2, max=0.1), "/gates/0/min"),
        (Gate(metric="ece", max=0, baseline="identity"), "/gates/0/metric"),
        (Gate(metric="nll", max=0, baseline="other"), "/gates/0/baseline"),
    ],
)
def test_a_gate_without_an_interval_to_decide_by_is_refused(report, draw, gate, pointer):
    with pytest.raises(Unusable) as caught:
        report(draw(50), gates=(gate,))
    assert pointer in {detail.pointer for detail in caught.value.errors}


def test_a_gate_on_what_cannot_be_computed_is_inconclusive(report):
    rows = Predictions(scores=np.full(50, 0.2), labels=np.zeros(50, np.int64))
    result = only(report(rows, gates=(Gate(metric="auroc", min=0.5),)))
    assert (result.status, result.interval) == ("inconclusive", None)
    assert "cannot be computed" in result.sentence


def test_a_gate_on_rows_without_labels_is_inconclusive(report):
    made = report(Predictions(scores=np.full(5, 0.2)), gates=(Gate(metric="ece", max=1),))
    assert only(made).status == "inconclusive"


def test_a_gate_against_a_baseline_uses_paired_differences(report, draw):
    rows = draw(3_000, truth=lambda p: p**2 / (p**2 + (1 - p) ** 2))
    sharper = Calibrator("temperature", "binary", 2, {"temperature": 0.5})
    gates = (Gate(metric="nll", max=0, baseline="identity"),)
    result = only(report(rows, gates=gates, calibrator="sharp:1", calibrators={"sharp:1": sharper}))
    assert (result.status, result.candidate, result.baseline) == ("pass", "sharp:1", "identity")
    assert result.interval[1] < 0
    result = only(
        report(rows, gates=gates, candidates=("sharp:1",), calibrators={"sharp:1": sharper})
    )
    assert (result.status, result.candidate) == ("pass", "sharp:1")

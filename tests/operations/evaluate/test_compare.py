from __future__ import annotations

import numpy as np
import pytest

from calibrant.errors import Unusable
from calibrant.numerics.calibrators.model import Calibrator, SlicedCalibrator
from calibrant.numerics.predictions import UNLABELLED, Category

SHARPER = Calibrator("temperature", "binary", 2, {"temperature": 0.5})
FLATTER = Calibrator("temperature", "binary", 2, {"temperature": 2.0})
BOTH = {"sharper": SHARPER, "flatter": FLATTER}


@pytest.fixture
def shy(draw):
    """Rows whose scores are under-confident: half of the true log-odds."""
    return draw(4_000, truth=lambda p: p**2 / (p**2 + (1 - p) ** 2))


def test_a_better_candidate_has_a_negative_loss_difference(report, shy):
    made = report(shy, candidates=("identity", "sharper", "flatter"), calibrators=BOTH)
    by_name = {c.name: c for c in made.comparison.candidates}
    assert made.comparison.baseline == "identity"
    assert made.comparison.best == "sharper"
    assert by_name["identity"].differences == {}
    better, worse = by_name["sharper"].differences, by_name["flatter"].differences
    for name in ("nll", "brier"):
        assert better[name].interval[1] < 0
        assert better[name].better is True
        assert worse[name].interval[0] > 0
        assert worse[name].better is False


def test_a_difference_is_the_difference_of_the_figures(report, shy):
    made = report(shy, candidates=("sharper",), calibrators=BOTH)
    alone = report(shy, calibrator="sharper", calibrators=BOTH).metrics
    own = made.comparison.candidates[1]
    assert own.metrics == alone
    for name in ("nll", "brier", "accuracy"):
        expected = getattr(alone, name) - getattr(made.metrics, name)
        assert own.differences[name].value == pytest.approx(expected, abs=1e-12)


def test_accuracy_does_not_change_under_temperature_and_is_neither_better_nor_worse(report, shy):
    own = report(shy, candidates=("sharper",), calibrators=BOTH).comparison.candidates[1]
    assert own.differences["accuracy"].value == 0
    assert own.differences["accuracy"].better is None


def test_the_baseline_wins_unless_another_is_shown_to_be_better(report, draw):
    same = {"almost": Calibrator("temperature", "binary", 2, {"temperature": 1.001})}
    made = report(draw(500), candidates=("almost",), calibrators=same)
    assert made.comparison.best == "identity"
    assert made.comparison.candidates[1].differences["nll"].better is None


def test_the_baseline_may_be_a_calibrator(report, shy):
    made = report(
        shy, candidates=("identity", "flatter"), baseline="sharper", calibrators=BOTH
    ).comparison
    assert [c.name for c in made.candidates] == ["sharper", "identity", "flatter"]
    assert made.candidates[1].differences["nll"].interval[0] > 0


def test_paired_differences_are_sharper_than_two_intervals(report, shy):
    made = report(shy, candidates=("sharper",), calibrators=BOTH).comparison
    low, high = made.candidates[1].differences["nll"].interval
    alone = made.candidates[1].metrics.intervals["nll"]
    assert high - low < 0.7 * (alone[1] - alone[0])


def test_candidates_are_compared_inside_slices(report, shy):
    shy.slices["x"] = Category(np.arange(4_000, dtype=np.int32) % 2, ("a", "b"))
    made = report(shy, candidates=("sharper",), calibrators=BOTH)
    own = {s.name: s for s in made.comparison.candidates[1].slices}
    assert set(own) == {s.name for s in made.slices}
    pooled = sum(own[f"x={v}"].differences["nll"].value * own[f"x={v}"].n for v in "ab") / 4_000
    overall = made.comparison.candidates[1].differences["nll"].value
    assert pooled == pytest.approx(overall, abs=1e-12)


def test_groups_widen_the_interval_of_a_difference(report, shy):
    plain = report(shy, candidates=("sharper",), calibrators=BOTH).comparison
    order = np.argsort(shy.scores)
    grouped = shy.take(order)
    column = Category((np.arange(4_000) // 400).astype(np.int32), tuple(map(str, range(10))))
    from dataclasses import replace

    made = report(
        replace(grouped, groups=column), candidates=("sharper",), calibrators=BOTH
    ).comparison
    width = {
        name: np.ptp(c.candidates[1].differences["nll"].interval)
        for name, c in (("plain", plain), ("grouped", made))
    }
    assert width["grouped"] > 1.5 * width["plain"]


def test_weights_count_in_differences(report, shy):
    from dataclasses import replace

    heavy = replace(shy, weights=np.where(shy.scores > 0.5, 2.0, 1.0))
    made = report(heavy, candidates=("sharper",), calibrators=BOTH)
    own = made.comparison.candidates[1]
    assert own.differences["nll"].value == pytest.approx(
        own.metrics.nll - made.metrics.nll, abs=1e-12
    )


def test_a_report_on_a_calibrator_keeps_the_picture_before(report, shy):
    made = report(shy, calibrator="sharper", calibrators=BOTH)
    raw, after = made.diagram(stage="raw"), made.diagram()
    assert raw.ece == pytest.approx(report(shy).metrics.ece, abs=1e-12)
    assert after.ece == made.metrics.ece < raw.ece
    assert made.diagram(stage="raw", binning="equal_mass") is not None
    assert made.calibrator == "sharper"


def test_a_report_on_raw_scores_has_no_picture_before(report, shy):
    assert report(shy).diagram(stage="raw") is None


def test_multiclass_candidates_are_compared(report, classes):
    rows = classes(2_000, temperature=2.0)
    cooler = Calibrator("temperature", "multiclass", 4, {"temperature": 2.0})
    made = report(
        rows,
        task="multiclass",
        score_kind="logits",
        candidates=("cooler",),
        calibrators={"cooler": cooler},
        chunk=300,
    ).comparison
    assert made.best == "cooler"
    assert made.candidates[1].metrics.accuracy == made.candidates[0].metrics.accuracy
    assert made.candidates[1].metrics.auroc is not None


def test_rows_of_a_slice_the_calibrator_never_saw_are_counted(report, shy):
    shy.slices["x"] = Category(np.arange(4_000, dtype=np.int32) % 4, ("a", "b", "c", "d"))
    sliced = SlicedCalibrator(
        SHARPER, ("x",), {("a",): Calibrator("platt", "binary", 2, {"a": 1.0, "b": 0.0})}
    )
    made = report(shy, calibrator="per", calibrators={"per": sliced})
    (note,) = [note for note in made.notes if note.code == "fallback"]
    assert "3,000 rows" in note.reason


def test_unlabelled_rows_do_not_disturb_the_pairs(report, shy):
    from dataclasses import replace

    labels = np.where(np.arange(4_000) % 5 == 0, UNLABELLED, shy.labels)
    made = report(replace(shy, labels=labels), candidates=("sharper",), calibrators=BOTH, chunk=999)
    known = report(shy.take(labels != UNLABELLED), candidates=("sharper",), calibrators=BOTH)
    assert made.comparison.candidates[1].differences == known.comparison.candidates[1].differences


@pytest.mark.parametrize(
    "asked",
    [
        {"candidates": ("unknown",)},
        {"calibrator": "unknown"},
        {"candidates": ("identity",)},
        {"baseline": "sharper", "calibrator": "sharper"},
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(report, shy, asked):
    with pytest.raises(Unusable):
        report(shy, calibrators=BOTH, **asked)

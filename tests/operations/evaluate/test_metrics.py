from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from calibrant.errors import BadBatch, Unusable
from calibrant.numerics.predictions import UNLABELLED, Predictions
from calibrant.operations.evaluate.report import OPTIONAL_FIELDS, Metrics

SCALARS = [
    f.name for f in fields(Metrics) if f.type in {"float | None", "int | None", "int", "float"}
]


def test_figures_of_four_rows_by_hand(report):
    rows = Predictions(scores=np.array([0.9, 0.8, 0.3, 0.1]), labels=np.array([1, 0, 0, 0]))
    metrics = report(rows).metrics
    assert (metrics.n, metrics.n_unlabelled, metrics.n_effective) == (4, 0, 4.0)
    assert metrics.base_rate == 0.25
    assert metrics.mean_score == pytest.approx(0.525)
    assert metrics.oe_ratio == pytest.approx(2.1)
    assert metrics.bias == pytest.approx(0.275)
    assert metrics.accuracy == 0.75
    assert metrics.ece == pytest.approx((0.1 + 0.8 + 0.3 + 0.1) / 4)
    assert metrics.brier == pytest.approx((0.01 + 0.64 + 0.09 + 0.01) / 4)
    assert metrics.nll == pytest.approx(-np.log([0.9, 0.2, 0.7, 0.9]).mean())
    assert metrics.auroc == 1.0


def test_multiclass_figures_are_of_the_top_label(report):
    rows = Predictions(scores=np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]]), labels=np.array([0, 2]))
    metrics = report(rows, task="multiclass").metrics
    assert metrics.mean_score == pytest.approx(0.6)
    assert metrics.base_rate == metrics.accuracy == 0.5
    assert metrics.bias == pytest.approx(0.1)
    assert metrics.brier == pytest.approx((0.09 + 0.04 + 0.01 + 0.01 + 0.25 + 0.36) / 2)


def test_multiclass_auroc_is_the_mean_over_classes(report, classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    rows = classes(500, 3)
    p = np.exp(rows.scores) / np.exp(rows.scores).sum(axis=1, keepdims=True)
    expected = sklearn.roc_auc_score(rows.labels, p, multi_class="ovr")
    metrics = report(rows, task="multiclass", score_kind="logits", chunk=64).metrics
    assert metrics.auroc == pytest.approx(expected, abs=1e-12)


def test_unlabelled_rows_are_counted_excluded_and_said(report, draw):
    rows = draw(400)
    hidden = np.arange(400) % 4 == 0
    labels = np.where(hidden, UNLABELLED, rows.labels)
    made = report(replace(rows, labels=labels))
    without = report(rows.take(~hidden))
    assert (made.metrics.n, made.metrics.n_unlabelled) == (300, 100)
    assert replace(made.metrics, n_unlabelled=0) == without.metrics
    assert any(note.code == "unlabelled" and "100 rows" in note.reason for note in made.notes)


def test_integer_weights_equal_repetition_for_estimates(report, draw, rng):
    rows = draw(600)
    weights = rng.integers(1, 4, 600)
    weighted = report(replace(rows, weights=weights.astype(float))).metrics
    repeated = report(rows.take(np.repeat(np.arange(600), weights))).metrics
    for name in [
        "base_rate",
        "mean_score",
        "oe_ratio",
        "accuracy",
        "nll",
        "brier",
        "ece",
        "bias",
        "calibration_slope",
        "calibration_intercept",
        "auroc",
    ]:
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), abs=1e-9), name


def test_weights_are_reliabilities_for_intervals(report, draw, rng):
    rows = draw(600)
    weighted = report(replace(rows, weights=np.where(rng.random(600) < 0.5, 3.0, 1.0))).metrics
    assert weighted.n == 600
    assert weighted.n_effective < 600
    doubled = report(replace(rows, weights=np.full(600, 2.0))).metrics
    plain = report(rows).metrics
    for name in ("nll", "bias", "accuracy"):
        assert doubled.intervals[name] == pytest.approx(plain.intervals[name], abs=1e-9), name


def test_rows_of_weight_zero_count_for_nothing(report, draw):
    rows = draw(300)
    off = np.arange(300) % 3 == 0
    made = report(replace(rows, weights=np.where(off, 0.0, 1.0)))
    assert made.metrics.n == 200
    assert made.metrics.ece == pytest.approx(report(rows.take(~off)).metrics.ece, abs=1e-9)
    assert any(note.code == "weightless" for note in made.notes)


def test_all_weights_zero_is_refused(report, draw):
    with pytest.raises(BadBatch):
        report(draw(10, weights=np.zeros(10)))


def test_ece_always_comes_with_floor_twin_and_interval(report, draw):
    made = report(draw(2_000))
    for metrics in (made.metrics, *(s.metrics for s in made.slices)):
        assert metrics.ece is not None
        assert 0 < metrics.ece_noise_floor.mean < metrics.ece_noise_floor.p95
        assert metrics.rmsce_debiased is not None
        low, high = metrics.rmsce_interval
        assert low <= metrics.rmsce_debiased <= high
        low, high = metrics.intervals["ece"]
        assert 0 <= low <= high


def test_the_interval_of_the_ece_reaches_the_truth_where_the_bootstrap_cannot(report, draw):
    # the percentile bootstrap of a calibrated model's ECE never covers 0; this interval does
    made = [report(draw(500), seed=s).metrics for s in range(20)]
    assert sum(m.intervals["ece"][0] == 0 for m in made) >= 18
    assert all(m.ece > 0 for m in made)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_rows_never_crash(report, n):
    rows = Predictions(scores=np.linspace(0.2, 0.9, n), labels=np.arange(n) % 2)
    made = report(rows, metrics=("all",))
    assert made.verdict.status == "inconclusive"
    assert made.metrics.n == n
    assert made.metrics.mce is None
    assert any(note.pointer == "/metrics/mce" for note in made.notes)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_null_with_a_reason(report, rng, label):
    rows = Predictions(scores=rng.random(100), labels=np.full(100, label))
    made = report(rows, metrics=("all",))
    reasons = {note.pointer: note.code for note in made.notes}
    assert made.metrics.auroc is None
    assert reasons["/metrics/auroc"] == "single_class"
    assert reasons["/metrics/calibration_slope"] == "single_class"
    assert made.metrics.ece is not None


def test_equal_scores_have_no_slope(report, rng):
    rows = Predictions(scores=np.full(200, 0.4), labels=(rng.random(200) < 0.4).astype(np.int64))
    made = report(rows)
    assert made.metrics.calibration_slope is None
    assert {n.pointer: n.code for n in made.notes}["/metrics/calibration_slope"] == "no_variation"
    assert made.metrics.auroc == 0.5


def test_separable_rows_have_no_finite_slope(report):
    p = np.linspace(0.05, 0.95, 40)
    made = report(Predictions(scores=p, labels=(p > 0.5).astype(np.int64)))
    assert {n.pointer: n.code for n in made.notes}["/metrics/calibration_slope"] == "separable"


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_rows_without_labels_give_an_empty_report(report, task):
    scores = np.full(5, 0.5) if task == "binary" else np.full((5, 2), 0.5)
    for labels in (None, np.full(5, UNLABELLED)):
        made = report(Predictions(scores=scores, labels=labels), task=task, metrics=("all",))
        assert (made.metrics.n, made.metrics.n_unlabelled) == (0, 5)
        assert made.metrics.ece is None
        assert made.verdict.status == "inconclusive"
        assert "No row has a label" in made.verdict.sentence


def test_no_rows_at_all_give_an_empty_report(report):
    assert report(Predictions(scores=np.zeros(0), labels=np.zeros(0, np.int64))).metrics.n == 0


def test_bad_rows_are_refused_with_the_numbers_of_the_whole_batch(report, draw):
    rows = draw(1_000)
    rows.scores[777] = 1.5
    labels = rows.labels.copy()
    labels[700] = UNLABELLED
    with pytest.raises(BadBatch) as caught:
        report(replace(rows, labels=labels), chunk=300)
    assert "777" in caught.value.errors[0].message


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_all_optional_metrics_are_there_when_asked_for(report, draw, classes, task):
    rows = draw(500) if task == "binary" else classes(500)
    kind = "probabilities" if task == "binary" else "logits"
    made = report(rows, task=task, score_kind=kind, metrics=("all",))
    assert made.optional_metrics == tuple(OPTIONAL_FIELDS)
    for names in OPTIONAL_FIELDS.values():
        for name in names:
            assert getattr(made.metrics, name) is not None, name
    assert made.slices[0].metrics.smooth_ece is not None


def test_optional_metrics_are_absent_unless_asked_for(report, draw):
    made = report(draw(100), metrics=("smooth_ece",))
    assert made.metrics.smooth_ece is not None
    assert made.metrics.spiegelhalter_z is None


def test_an_unknown_metric_is_refused(report, draw):
    with pytest.raises(Unusable, match="not known"):
        report(draw(10), metrics=("ece_bootstrap",))


def test_the_classification_report_matches_scikit_learn(report, classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    rows = classes(400, 3)
    made = report(rows, task="multiclass", score_kind="logits", metrics=("all",)).metrics
    found = made.classification_report
    predicted = rows.scores.argmax(axis=1)
    precision, recall, f1, support = sklearn.precision_recall_fscore_support(rows.labels, predicted)
    p = np.exp(rows.scores) / np.exp(rows.scores).sum(axis=1, keepdims=True)
    for k, own in enumerate(found.classes):
        assert own.precision == pytest.approx(precision[k])
        assert own.recall == pytest.approx(recall[k])
        assert own.f1 == pytest.approx(f1[k])
        assert own.support == support[k]
        area = sklearn.average_precision_score(rows.labels == k, p[:, k])
        assert own.auprc == pytest.approx(area)
    assert np.array_equal(
        np.array(found.confusion), sklearn.confusion_matrix(rows.labels, predicted)
    )


def test_the_most_confident_wrong_rows_are_found_across_chunks(report, draw):
    rows = draw(1_000, ids=np.array([f"row-{i}" for i in range(1_000)]))
    made = report(rows, metrics=("most_confident_wrong",), chunk=130)
    wrong = (rows.scores >= 0.5) != (rows.labels == 1)
    confidence = np.maximum(rows.scores, 1 - rows.scores)
    expected = sorted(np.flatnonzero(wrong), key=lambda i: (-confidence[i], i))[:10]
    assert [row.row for row in made.metrics.most_confident_wrong] == expected
    assert [row.id for row in made.metrics.most_confident_wrong] == [f"row-{i}" for i in expected]


def test_the_brier_decomposition_adds_up(report, draw):
    made = report(draw(800), metrics=("brier_decomposition",)).metrics
    parts = made.brier_decomposition
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bin
    assert total == pytest.approx(made.brier, abs=1e-9)
    total = parts.miscalibration - parts.discrimination + parts.corp_uncertainty
    assert total == pytest.approx(made.brier, abs=1e-9)


def test_the_same_seed_gives_the_same_report(report, draw):
    rows = draw(300)
    assert report(rows, seed=3) == report(rows, seed=3)

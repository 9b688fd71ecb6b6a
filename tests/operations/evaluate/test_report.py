from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest

from calibrant.numerics.calibrators.model import Calibrator
from calibrant.numerics.predictions import UNLABELLED, Category
from calibrant.operations.evaluate import Gate
from calibrant.operations.evaluate.gates import GATED, PAIRED
from calibrant.operations.evaluate.names import BY_JSON, METRICS
from calibrant.operations.evaluate.report import (
    OPTIONAL_FIELDS,
    Metrics,
    decode,
    encode,
    to_document,
)


def full(report, draw):
    rows = draw(
        400,
        slices={"x": Category(np.arange(400, dtype=np.int32) % 2, ("a", "b"))},
        time=np.datetime64("2024-01-01", "us") + np.arange(400) * np.timedelta64(1, "h"),
    )
    return report(
        rows,
        metrics=("all",),
        gates=(Gate(metric="nll", max=1, baseline="identity"), Gate(metric="ece", max=1)),
        candidates=("half",),
        calibrators={"half": Calibrator("temperature", "binary", 2, {"temperature": 2.0})},
    )


def test_a_report_survives_json_exactly(report, draw):
    made = full(report, draw)
    assert decode(encode(made)) == made


def test_the_document_has_the_designed_fields(report, draw):
    document = to_document(report(draw(50)))
    assert {
        "verdict",
        "metrics",
        "slices",
        "worst_slices",
        "gates",
        "comparison",
        "notes",
    } <= set(document)
    headline = [
        "n",
        "n_unlabelled",
        "base_rate",
        "mean_score",
        "oe_ratio",
        "accuracy",
        "nll",
        "brier",
        "ece",
        "ece_noise_floor",
        "rmsce_debiased",
        "rmsce_interval",
        "mce",
        "bias",
        "calibration_slope",
        "calibration_intercept",
        "auroc",
    ]
    assert set(headline) <= set(document["metrics"])
    assert set(document["slices"][0]["metrics"]) == set(document["metrics"])
    json.dumps(document, allow_nan=False)


def test_the_document_leaves_out_metrics_nobody_asked_for(report, draw):
    rows = draw(50)
    plain = to_document(report(rows))["metrics"]
    assert not {name for names in OPTIONAL_FIELDS.values() for name in names} & set(plain)
    some = to_document(report(rows, metrics=("spiegelhalter_z",)))["metrics"]
    assert {"spiegelhalter_z", "spiegelhalter_p"} <= set(some)
    assert "smooth_ece" not in some


def test_the_document_leaves_out_diagrams_unless_asked_for(report, draw):
    made = report(draw(50))
    assert "diagrams" not in to_document(made)
    assert to_document(made, diagrams=True)["diagrams"][0]["slice"] == "__all__"


def test_slices_have_no_empty_places_for_what_only_all_rows_have(report, draw):
    document = to_document(full(report, draw))
    assert document["metrics"]["classification_report"]
    candidates = document["comparison"]["candidates"]
    for part in (*document["slices"], *document["periods"], *candidates):
        assert "classification_report" not in part["metrics"]
        assert part["metrics"]["smooth_ece"] is not None


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("columns", list(product([False, True], repeat=4)))
def test_any_mix_of_columns_gives_a_whole_report(report, draw, classes, rng, task, columns):
    weights, groups, time, unlabelled = columns
    n = 120
    rows = draw(n) if task == "binary" else classes(n)
    labels = np.where((rng.random(n) < 0.2) & unlabelled, UNLABELLED, rows.labels)
    region = Category(rng.integers(-1, 3, n).astype(np.int32), ("a", "b", "c"))
    plan = Category(rng.integers(0, 2, n).astype(np.int32), ("x", "y"))
    rows = replace(
        rows,
        labels=labels,
        weights=rng.integers(0, 4, n).astype(float) if weights else None,
        groups=Category(rng.integers(-1, 9, n).astype(np.int32), tuple("ABCDEFGHI"))
        if groups
        else None,
        time=np.datetime64("2024-01-01", "us") + rng.integers(0, 9, n) * np.timedelta64(1, "D")
        if time
        else None,
        slices={"region": region, "plan": plan},
    )
    k = 2 if task == "binary" else 4
    made = report(
        rows,
        task=task,
        score_kind="probabilities" if task == "binary" else "logits",
        chunk=50,
        metrics=("all",),
        crosses=(("region", "plan"),),
        gates=(Gate(metric="ece", max=0.5, slices=("*",)), Gate(metric="nll", max=9)),
        candidates=("identity", "cool"),
        calibrator="cool",
        calibrators={"cool": Calibrator("temperature", task, k, {"temperature": 2.0})},
    )
    json.dumps(to_document(made, diagrams=True), allow_nan=False)
    assert decode(encode(made)) == made
    assert made.verdict.sentence
    assert (made.period is not None) == time
    known = (labels != UNLABELLED) & (rows.weights != 0 if weights else True)
    assert made.metrics.n == known.sum()


def test_no_value_is_a_nan(report, draw):
    json.dumps(to_document(full(report, draw), diagrams=True), allow_nan=False)


def test_every_metric_has_one_line_in_the_name_table():
    assert {f.name for f in fields(Metrics)} <= set(BY_JSON)
    assert set(GATED) | set(PAIRED) <= set(BY_JSON)
    for column in ("json", "prometheus", "text"):
        names = [getattr(name, column) for name in METRICS if getattr(name, column)]
        assert len(names) == len(set(names)), column


def test_the_debiased_error_is_never_called_ece():
    own = BY_JSON["rmsce_debiased"]
    assert own.prometheus == "calibrant_rmsce_debiased"
    assert "ECE" not in own.text.upper()


def test_prometheus_names_are_those_of_the_monitor():
    exported = {name.json: name.prometheus for name in METRICS if name.prometheus}
    assert exported == {
        "n": "calibrant_window_events",
        "oe_ratio": "calibrant_oe_ratio",
        "nll_clipped": "calibrant_nll_nats",
        "brier": "calibrant_brier",
        "ece": "calibrant_ece",
        "ece_noise_floor": "calibrant_ece_noise_floor",
        "rmsce_debiased": "calibrant_rmsce_debiased",
        "mce": "calibrant_mce",
        "bias": "calibrant_bias",
        "calibration_slope": "calibrant_slope",
        "calibration_intercept": "calibrant_intercept",
    }

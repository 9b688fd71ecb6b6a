"""Real flight-delay predictions: a fine aggregate whose slices err in opposite directions."""

from __future__ import annotations

import numpy as np
import pytest

from calibrant.numerics.calibrators.fit import fit
from calibrant.numerics.predictions import UNLABELLED, Category, Predictions

MONTHS = (3, 4, 5, 6)
ECE = {
    "raw": (0.0500, 0.0680, 0.0411, 0.0939),
    "temperature": (0.0474, 0.0416, 0.0480, 0.0614),
    "platt": (0.0108, 0.0547, 0.0142, 0.0839),
    "isotonic": (0.0000, 0.0557, 0.0110, 0.0851),
}


@pytest.fixture(scope="module")
def flights(shared):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(shared("data") / "flights" / "stream.parquet")
    labels = table["label"].fill_null(UNLABELLED).to_numpy().astype(np.int64)
    rows = Predictions(
        scores=table["prob_hgb"].to_numpy(),
        labels=labels,
        time=table["pred_time"].to_numpy().astype("datetime64[us]"),
        slices={
            name: Category.encode(table[name].to_pylist())
            for name in ("hour_bucket", "carrier", "origin")
        },
    )
    month = table["month"].to_numpy()
    return {m: rows.take(month == m) for m in MONTHS}


@pytest.fixture(scope="module")
def march(flights):
    """Calibrators fitted on March, in the conventions of the reference table."""
    rows = flights[3].take(flights[3].labels != UNLABELLED)
    options = {"temperature": {}, "platt": {"targets": "hard"}, "isotonic": {"floor": "none"}}
    return {
        kind: fit(
            kind,
            rows.scores.astype(np.float64),
            rows.labels,
            task="binary",
            score_kind="probabilities",
            options=own,
        ).calibrator
        for kind, own in options.items()
    }


@pytest.mark.parametrize("kind", list(ECE))
def test_each_month_shows_the_reference_error(report, flights, march, kind):
    for month, expected in zip(MONTHS, ECE[kind], strict=True):
        calibrator = None if kind == "raw" else kind
        made = report(flights[month], calibrator=calibrator, calibrators=march)
        assert made.metrics.ece == pytest.approx(expected, abs=6e-5), (kind, month)


def test_may_looks_fine_while_early_and_evening_cancel(report, flights, march):
    made = report(flights[5], calibrator="isotonic", calibrators=march)
    assert made.metrics.ece == pytest.approx(0.0110, abs=6e-5)
    by_name = {s.name: s.metrics for s in made.slices}
    assert by_name["hour_bucket=early"].bias == pytest.approx(0.1066, abs=6e-5)
    assert by_name["hour_bucket=early"].ece == pytest.approx(0.1066, abs=6e-5)
    assert by_name["hour_bucket=evening"].bias == pytest.approx(-0.0906, abs=6e-5)
    assert by_name["hour_bucket=evening"].ece == pytest.approx(0.0908, abs=6e-5)
    assert by_name["carrier=FL"].bias == pytest.approx(-0.0725, abs=6e-5)
    assert made.verdict.status == "miscalibrated"
    assert made.verdict.sentence == (
        "The aggregate looks fine (ECE 0.011), but errors cancel: hour_bucket=early is 0.107 "
        "too high and hour_bucket=evening is 0.091 too low."
    )
    assert made.verdict.finding.startswith("The errors cancel: hour_bucket=early is 0.107 too high")
    assert [w.name for w in made.worst_slices[:2]] == ["hour_bucket=early", "hour_bucket=evening"]


def test_june_is_too_low_and_needs_no_slices_to_be_seen(report, flights, march):
    verdict = report(flights[6], calibrator="isotonic", calibrators=march).verdict
    assert verdict.status == "miscalibrated"
    assert "too low" in verdict.direction


def test_in_may_isotonic_beats_the_raw_scores(report, flights, march):
    made = report(
        flights[5], candidates=("temperature", "platt", "isotonic"), calibrators=march
    ).comparison
    found = {c.name: c.differences for c in made.candidates}
    assert found["isotonic"]["nll"].better
    assert found["platt"]["nll"].better
    assert made.best in {"isotonic", "platt"}

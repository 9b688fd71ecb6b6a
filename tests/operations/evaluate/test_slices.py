from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from calibrant.errors import Unusable
from calibrant.numerics.predictions import UNLABELLED, Category, Predictions
from calibrant.numerics.table import BinTable
from calibrant.operations.evaluate.report import Metrics


def names(report):
    return [s.name for s in report.slices]


def assert_same(one: Metrics, other: Metrics):
    for f in fields(Metrics):
        a, b = getattr(one, f.name), getattr(other, f.name)
        if isinstance(a, float):
            assert a == pytest.approx(b, abs=1e-9), f.name
        elif f.name == "intervals":
            assert set(a) == set(b)
            for name, ends in a.items():
                assert ends == pytest.approx(b[name], abs=1e-8), name
        elif f.name not in {"ece_noise_floor", "rmsce_interval"}:
            assert a == b, f.name


@pytest.fixture
def sliced(draw, rng):
    region = Category.encode([("eu", "us", None)[i] for i in rng.integers(0, 3, 900)])
    plan = Category.encode([("free", "paid")[i] for i in rng.integers(0, 2, 900)])
    return draw(900, slices={"region": region, "plan": plan})


def test_slices_are_named_by_dimension_and_value(report, sliced):
    made = report(sliced)
    assert {n for n in names(made) if n.startswith(("region", "plan"))} == {
        "region=eu",
        "region=us",
        "region=__missing__",
        "plan=free",
        "plan=paid",
    }


def test_score_bands_are_always_there(report, draw):
    made = report(draw(500))
    assert names(made) == [f"score_band={i / 10:.1f}-{(i + 1) / 10:.1f}" for i in range(10)]
    assert sum(s.metrics.n for s in made.slices) == 500


def test_score_bands_are_the_ten_bins_of_the_table(report):
    # edges as everywhere: 0.3 lies just below its edge, 0.3 in float32 just above
    p = np.concatenate([np.arange(101) / 100, np.float64(np.float32(np.arange(101) / 100))])
    p = np.clip(p, 0, 1)
    made = report(Predictions(scores=p, labels=np.ones(202, np.int64)))
    bins = BinTable.from_rows(p, np.ones(202, np.bool_)).bins(10)
    assert [s.metrics.n for s in made.slices] == bins.n[0].tolist()


def test_a_slice_reports_what_its_rows_alone_report(report, sliced):
    made = report(sliced)
    for name in ("region=eu", "plan=paid"):
        dimension, value = name.split("=")
        column = sliced.slices[dimension]
        alone = report(sliced.take(column.codes == column.values.index(value)))
        assert_same(next(s.metrics for s in made.slices if s.name == name), alone.metrics)


def test_a_multiclass_slice_reports_what_its_rows_alone_report(report, classes, rng):
    where = rng.integers(0, 2, 600).astype(np.int32)
    rows = classes(600, slices={"side": Category(where, ("left", "right"))})
    made = report(rows, task="multiclass", score_kind="logits")
    alone = report(rows.take(where == 1), task="multiclass", score_kind="logits")
    assert_same(next(s.metrics for s in made.slices if s.name == "side=right"), alone.metrics)


def test_optional_metrics_of_a_slice_are_those_of_its_rows(report, sliced):
    made = report(sliced, metrics=("all",))
    column = sliced.slices["plan"]
    alone = report(sliced.take(column.codes == column.values.index("free")), metrics=("all",))
    own = next(s.metrics for s in made.slices if s.name == "plan=free")
    for name in ("smooth_ece", "ecce_mad", "ecce_mad_p", "spiegelhalter_z", "ece_equal_mass"):
        assert getattr(own, name) == pytest.approx(getattr(alone.metrics, name), abs=1e-12)


def test_unlabelled_rows_are_counted_in_their_slice(report, sliced):
    labels = sliced.labels.copy()
    labels[:300] = UNLABELLED
    made = report(replace(sliced, labels=labels))
    for name in ("region", "plan", "score_band"):
        own = [s.metrics for s in made.slices if s.dimension == name]
        assert sum(m.n for m in own) == 600
        assert sum(m.n_unlabelled for m in own) == 300


def test_a_cross_holds_the_combinations_that_occur(report, sliced):
    made = report(sliced, crosses=(("region", "plan"),))
    own = {s.name: s.metrics.n for s in made.slices if s.dimension == "region,plan"}
    region, plan = sliced.slices["region"], sliced.slices["plan"]
    both = (region.codes == region.values.index("eu")) & (plan.codes == plan.values.index("free"))
    assert own["region=eu,plan=free"] == both.sum()
    assert len(own) == 6
    assert "region=__missing__,plan=paid" in own


@pytest.mark.parametrize("cross", [("region",), ("region", "region"), ("region", "colour")])
def test_a_cross_of_what_is_not_there_is_refused(report, sliced, cross):
    with pytest.raises(Unusable):
        report(sliced, crosses=(cross,))


def test_the_rarest_slices_are_folded_counted_and_said(report, draw):
    codes = np.minimum(np.arange(2_000) // 300, 40).astype(np.int32)
    codes[1_800:] = 6 + np.arange(200) // 10
    values = tuple(f"v{i}" for i in range(41))
    made = report(draw(2_000, slices={"x": Category(codes, values)}), max_slices=17)
    own = {s.name: s.metrics.n for s in made.slices if s.dimension == "x"}
    assert own == {**{f"x=v{i}": 300 for i in range(6)}, "x=__other__": 200}
    assert len(made.slices) == 17
    (note,) = [note for note in made.notes if note.code == "folded"]
    assert "20 slices of x with 200 rows" in note.reason


def test_a_limit_that_cannot_hold_the_dimensions_is_refused(report, sliced):
    with pytest.raises(Unusable, match="max_slices"):
        report(sliced, max_slices=11)


def test_a_dimension_named_like_the_score_bands_is_refused(report, draw):
    column = Category(np.zeros(10, np.int32), ("a",))
    with pytest.raises(Unusable, match="score_band"):
        report(draw(10, slices={"score_band": column}))


def test_a_value_without_rows_makes_no_slice(report, draw):
    column = Category(np.zeros(50, np.int32), ("a", "never"))
    assert "x=never" not in names(report(draw(50, slices={"x": column})))


def test_each_slice_has_reliability_data(report, sliced):
    made = report(sliced)
    for slice_ in made.slices:
        drawn = made.diagram(slice_.name)
        assert sum(drawn.n) == slice_.metrics.n
        assert drawn.ece == slice_.metrics.ece
        assert len(drawn.edges) == len(drawn.n) + 1


def test_all_rows_have_reliability_data_of_equal_width_and_mass(report, sliced):
    made = report(sliced)
    wide, mass = made.diagram(), made.diagram(binning="equal_mass")
    assert sum(wide.n) == sum(mass.n) == 900
    assert max(mass.n) - min(mass.n) <= 1
    for drawn in (wide, mass):
        for n, rate, low, high in zip(drawn.n, drawn.rate, drawn.low, drawn.high, strict=True):
            if n:
                assert low <= rate <= high
            else:
                assert rate is None

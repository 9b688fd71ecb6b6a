"""Predictions out of a canonical table."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibrant.errors import BadBatch, TooLarge, Unusable
from calibrant.numerics.predictions import Predictions
from calibrant.storage.tables import ColumnMapping


@pytest.fixture
def load(tables):
    """Write columns as an upload and read it."""

    def write(**columns: Any) -> Any:
        sink = io.BytesIO()
        size = max(map(len, columns.values()))
        columns.setdefault("p", [0.5] * size)
        pq.write_table(pa.table(columns), sink)
        tables.read(sink.getvalue())
        return tables

    return write


def whole(source: Any, batch_rows: int = 65_536) -> Predictions:
    return Predictions.concat(list(source.chunks(batch_rows)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_keep_their_precision(load, rng, dtype):
    scores = rng.random(1000).astype(dtype)
    found = whole(load(p=scores).source()).scores
    assert found.dtype == dtype
    assert np.array_equal(found, scores)


def test_scores_of_mixed_precision_and_whole_numbers_are_double(load):
    tables = load(a=np.zeros(3, np.float32), b=np.ones(3), c=np.array([1, 2, 3]))
    found = whole(tables.source("multiclass", "logits", scores=("a", "b", "c"))).scores
    assert found.dtype == np.float64
    assert found.tolist() == [[0, 1, 1], [0, 1, 2], [0, 1, 3]]


def test_columns_of_scores_come_in_the_order_of_the_mapping(load, rng):
    z = rng.normal(size=(1000, 3)).astype(np.float32)
    tables = load(**{f"z{i}": z[:, i] for i in range(3)})
    found = whole(tables.source("multiclass", "logits", scores=("z2", "z0", "z1")), 100)
    assert np.array_equal(found.scores, z[:, [2, 0, 1]])


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, None],
        [False, True, None],
        [0.0, 1.0, float("nan")],
        [0.0, 1.0, None],
        pa.array([0, 1, None], pa.uint8()),
        pa.array([0, 1, None], pa.uint64()),
        pa.array([0, 1, None], pa.float32()),
    ],
)
def test_labels_are_whole_numbers_booleans_or_whole_floats(load, labels):
    found = whole(load(y=labels).source(labels="y")).labels
    assert found is not None
    assert found.dtype == np.int64
    assert found.tolist() == [0, 1, -1]


def test_a_column_of_nothing_is_all_unlabelled(load):
    found = whole(load(y=pa.nulls(3)).source(labels="y")).labels
    assert found is not None
    assert found.tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 2, -1, 1], "outside 0 to 1: 2 rows, first 1, 2"),
        ([0.0, 0.5, 1.5, 1.0], "not whole numbers: 2 rows, first 1, 2"),
        ([0.0, float("inf"), 1.0, 1.0], "outside 0 to 1: row 1"),
        (pa.array([0, 1, 2**63, 1], pa.uint64()), "outside 0 to 1: row 2"),
    ],
)
def test_labels_that_are_no_class_are_counted(load, labels, says):
    with pytest.raises(BadBatch, match=says):
        whole(load(y=labels).source(labels="y"))


def test_bad_rows_are_counted_over_the_whole_table(load):
    labels = np.zeros(200_000, np.int64)
    labels[[70_000, 150_000, 199_999]] = 7
    source = load(y=labels).source(labels="y")
    chunks = source.chunks()
    assert len(next(chunks)) == 65_536
    with pytest.raises(BadBatch, match="3 rows, first 70000, 150000, 199999") as caught:
        next(chunks)
    assert caught.value.errors[0].pointer == "y"


def test_labels_as_text_need_the_names_of_the_classes(load):
    with pytest.raises(Unusable, match=r"`y` cannot be `labels`.*`classes`"):
        load(y=["no", "yes"]).source(labels="y")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["no", "yes", None], ("no", "yes")),
        ([-1, 1, None], ("-1", "1")),
        ([False, True, None], ("false", "true")),
        ([1.0, 2.0, float("nan")], ("1", "2")),
    ],
)
def test_named_classes_are_compared_as_text(load, labels, classes):
    found = whole(load(y=labels).source(labels="y", classes=classes)).labels
    assert found is not None
    assert found.tolist() == [0, 1, -1]


def test_labels_that_are_not_among_the_classes_are_counted(load, canary):
    source = load(y=["no", canary, "yes", canary]).source(labels="y", classes=("no", "yes"))
    with pytest.raises(BadBatch, match="`y` holds labels that are not among") as caught:
        whole(source)
    assert canary not in caught.value.detail


@pytest.mark.parametrize(
    ("classes", "says"), [(("a",), "2 classes"), (("a", "a"), "twice"), (("a", "b", "c"), "2")]
)
def test_the_classes_must_fit_the_scores(load, classes, says):
    with pytest.raises(Unusable, match=says):
        load(y=["a", "b"]).source(labels="y", classes=classes)


@pytest.mark.parametrize("ids", [[1, 2, 3], ["1", "2", "3"], pa.array([1, 2, 3], pa.uint64())])
def test_a_number_and_its_digits_are_the_same_id(load, ids):
    found = whole(load(i=ids).source(ids="i")).ids
    assert found is not None
    assert found.tolist() == ["1", "2", "3"]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1_362_106_800] * 2, pa.timestamp("s")),
        pa.array([1_362_106_800_000] * 2, pa.timestamp("ms", tz="America/New_York")),
        pa.array([1_362_106_800_000_000_000] * 2, pa.timestamp("ns", tz="UTC")),
        ["2013-03-01 03:00:00", "2013-03-01T03:00:00.000"],
        ["2013-03-01T03:00:00Z", "2013-03-01 04:00:00+01:00"],
        ["2013-02-28T22:00:00-0500", "2013-03-01T03:00"],
    ],
)
def test_times_of_any_unit_and_zone_become_utc(load, times):
    found = whole(load(t=times).source(time="t")).time
    assert found is not None
    assert found.dtype == np.dtype("M8[us]")
    assert found.tolist() == np.array(["2013-03-01T03"] * 2, "M8[us]").tolist()


def test_dates_are_the_beginning_of_their_day(load):
    found = whole(load(t=["2013-03-01"]).source(time="t")).time
    assert found is not None
    assert str(found[0]) == "2013-03-01T00:00:00.000000"


def test_times_that_cannot_be_read_are_counted(load, canary):
    times = ["2013-03-01", canary, "2013-02-31", "01/03/2013"]
    with pytest.raises(BadBatch, match="not ISO 8601: 3 rows, first 1, 2, 3") as caught:
        whole(load(t=times).source(time="t"))
    assert canary not in caught.value.detail


@pytest.mark.parametrize(
    ("role", "mapping"),
    [
        ("score", {"scores": ("x",)}),
        ("weight", {"weights": "x"}),
        ("id", {"ids": "k"}),
        ("time", {"time": "t"}),
        ("group", {"groups": "k"}),
    ],
)
def test_rows_that_lack_what_every_row_needs_are_counted(load, role, mapping):
    tables = load(
        x=[0.5, None, 0.5, None],
        k=["a", None, "b", None],
        t=pa.array([0, None, 0, None], pa.timestamp("s")),
    )
    with pytest.raises(BadBatch, match=f"has no {role}: 2 rows, first 1, 3"):
        whole(tables.source(**mapping))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (["eu", "us", None, "eu"], ("eu", "us")),
        ([7, 3, None, 7], ("7", "3")),
        ([7.0, 3.0, float("nan"), 7.0], ("7", "3")),
        ([True, False, None, True], ("true", "false")),
        (pa.array(["b", "a", None, "b"]).dictionary_encode(), ("b", "a")),
    ],
)
def test_slices_are_text_whole_numbers_or_booleans(load, column, values):
    found = whole(load(s=column).source(slices=("s",))).slices["s"]
    assert found.values == values
    assert found.codes.dtype == np.int32
    assert found.codes.tolist() == [0, 1, -1, 0]


def test_a_slice_of_nothing_is_all_missing(load):
    found = whole(load(s=pa.nulls(2)).source(slices=("s",))).slices["s"]
    assert found.codes.tolist() == [-1, -1]
    assert found.values == ()


def test_fractions_are_no_slices(load):
    with pytest.raises(BadBatch, match="`s` holds numbers that are not whole: row 1"):
        whole(load(s=[1.0, 0.5]).source(slices=("s",)))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=60),
    upload=st.integers(1, 60),
    sizes=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_a_value_has_the_same_code_in_every_chunk(tables, texts, upload, sizes):
    sink = io.BytesIO()
    pq.write_table(pa.table({"p": [0.5] * len(texts), "s": texts}), sink, row_group_size=upload)
    tables.read(sink.getvalue())
    source = tables.source(slices=("s",))
    for size in sizes:
        seen: list[str | None] = []
        known: tuple[str, ...] = ()
        for chunk in source.chunks(size):
            column = chunk.slices["s"]
            assert column.values[: len(known)] == known
            known = column.values
            seen += [None if code < 0 else column.values[code] for code in column.codes]
        assert seen == texts
        assert known == tuple(dict.fromkeys(text for text in texts if text is not None))


def test_values_that_only_the_dictionary_of_the_upload_has_are_not_there(load):
    array = pa.DictionaryArray.from_arrays([2, 0], ["a", "never", "c"])
    assert whole(load(s=array).source(slices=("s",))).slices["s"].values == ("c", "a")


def test_too_many_values_of_a_slice_are_refused_by_column(load):
    with pytest.raises(TooLarge, match=r"`s` has more than 100,000"):
        whole(load(s=np.arange(100_001)).source(slices=("s",)))


@pytest.mark.parametrize(
    ("mapping", "says"),
    [({"slices": ("s",)}, "128"), ({"groups": "s"}, "256"), ({"ids": "s"}, "256")],
)
def test_long_values_are_counted(load, mapping, says):
    with pytest.raises(BadBatch, match=f"more than {says} bytes: row 1"):
        whole(load(s=["ok", "ü" * 129, "ok"]).source(**mapping))


@pytest.mark.parametrize(
    ("role", "mapping"),
    [
        ("scores", {"scores": ("s",)}),
        ("scores", {"scores": ("b",)}),
        ("weights", {"weights": "s"}),
        ("ids", {"ids": "p"}),
        ("ids", {"ids": "b"}),
        ("time", {"time": "n"}),
        ("slices", {"slices": ("t",)}),
        ("groups", {"groups": "t"}),
        ("labels", {"labels": "t"}),
    ],
)
def test_a_column_of_another_type_than_its_role_needs_is_refused(load, role, mapping):
    tables = load(s=["a"], b=[True], n=[1], t=pa.array([0], pa.timestamp("s")))
    with pytest.raises(Unusable, match=f"cannot be `{role}`") as caught:
        tables.source(**mapping)
    assert caught.value.errors[0].pointer == f"/columns/{role}"


def test_a_column_that_is_not_there_is_refused_with_those_that_are(load):
    with pytest.raises(Unusable, match="There is no such column; the table has `y`, `p`") as caught:
        load(y=[1]).source(scores=("prob",))
    assert caught.value.errors[0].pointer == "/columns/scores"


@pytest.mark.parametrize(
    ("task", "scores", "says"),
    [
        ("binary", ("a", "b"), "one column"),
        ("multiclass", ("a",), "at least two"),
        ("multiclass", ("a", "a"), "twice"),
    ],
)
def test_the_number_of_score_columns_must_fit_the_task(load, task, scores, says):
    with pytest.raises(Unusable, match=says):
        load(a=[0.5], b=[0.5]).source(task, scores=scores)


def test_a_column_may_have_two_roles(load):
    found = whole(load(g=["a", "b"]).source(slices=("g",), groups="g"))
    assert found.groups is not None
    assert found.groups.codes.tolist() == found.slices["g"].codes.tolist() == [0, 1]


def test_only_what_is_mapped_is_given(load):
    found = whole(load(y=[1]).source())
    assert found.labels is None
    assert found.weights is None
    assert found.ids is None
    assert found.time is None
    assert found.groups is None
    assert found.slices == {}


def test_a_source_knows_its_rows_and_classes(load):
    source = load(a=np.zeros(70_000), b=np.zeros(70_000)).source("multiclass", scores=("a", "b"))
    assert source.n_rows == 70_000
    assert source.n_classes == 2
    assert [len(chunk) for chunk in source.chunks(40_000)] == [40_000, 30_000]


def test_a_mapping_survives_a_process():
    mapping = ColumnMapping(scores=("a", "b"), labels="y", slices=("s",), classes=("x", "z"))
    assert msgspec.json.decode(msgspec.json.encode(mapping), type=ColumnMapping) == mapping

"""What columns look like: proposed with reasons, never applied."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calibrant.storage.tables import ColumnMapping, Proposal, TableSource, propose, take_sample

N = 400


@pytest.fixture
def look(tables):
    def at(columns: dict[str, Any], rows: int = 2_000) -> Proposal:
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        info = tables.read(sink.getvalue())
        return propose(info, take_sample(tables.out, rows))

    return at


@pytest.fixture
def binary(rng):
    p = rng.random(N)
    return {"prob": p, "label": (rng.random(N) < p).astype(np.int64)}


@pytest.fixture
def simplex(rng):
    z = np.exp(rng.normal(size=(N, 3)))
    return z / z.sum(axis=1, keepdims=True)


def test_one_column_of_probabilities_and_one_of_labels_are_clear(look, binary):
    found = look(binary)
    assert found.mapping == ColumnMapping(scores=("prob",), labels="label")
    assert (found.task, found.score_kind) == ("binary", "probabilities")
    assert found.is_clear
    assert found.missing == ()


def test_the_reason_for_every_guess_is_said(look, binary):
    lines = look(binary).lines()
    assert lines == [
        "scores: prob (high): numbers in [0, 1] in a column called like scores",
        "labels: label (high): whole numbers from 0 to 1 in a column called like labels",
        "task: binary, score_kind: probabilities",
    ]


def test_two_columns_that_look_alike_are_not_clear_and_both_are_named(look, binary):
    found = look({**binary, "prob_b": binary["prob"][::-1]})
    (scores, *_) = found.guesses
    assert (scores.columns, scores.others, scores.confidence) == (("prob",), ("prob_b",), "low")
    assert not found.is_clear
    assert "  it could also be prob_b" in found.lines()


def test_numbered_columns_that_sum_to_one_are_probabilities_of_classes(look, simplex, rng):
    columns = {f"p_{i}": simplex[:, i] for i in (2, 0, 1)}
    found = look({**columns, "y": rng.integers(0, 3, N)})
    assert found.mapping == ColumnMapping(scores=("p_0", "p_1", "p_2"), labels="y")
    assert (found.task, found.score_kind) == ("multiclass", "probabilities")
    assert found.is_clear


def test_ten_and_more_classes_come_in_numeric_order(look, rng):
    z = rng.normal(size=(N, 12))
    found = look({f"logit_{i}": z[:, i] for i in range(12)} | {"y": rng.integers(0, 12, N)})
    assert found.mapping is not None
    assert found.mapping.scores == tuple(f"logit_{i}" for i in range(12))
    assert (found.task, found.score_kind) == ("multiclass", "logits")


def test_named_classes_are_proposed_with_their_names(look, simplex, rng):
    names = ("cat", "dog", "eel")
    columns: dict[str, Any] = {f"p_{name}": simplex[:, i] for i, name in enumerate(names)}
    found = look({**columns, "animal": [names[i] for i in rng.integers(0, 3, N)]})
    assert found.mapping == ColumnMapping(
        scores=("p_cat", "p_dog", "p_eel"), labels="animal", classes=names
    )


def test_classes_numbered_from_one_keep_their_numbers(look, simplex, rng):
    columns = {f"p_{i + 1}": simplex[:, i] for i in range(3)}
    found = look({**columns, "y": rng.integers(1, 4, N)})
    assert found.mapping == ColumnMapping(
        scores=("p_1", "p_2", "p_3"), labels="y", classes=("1", "2", "3")
    )


def test_of_two_complementary_columns_class_one_is_proposed(look, binary):
    found = look({"p_0": 1 - binary["prob"], "p_1": binary["prob"], "y": binary["label"]})
    assert found.mapping == ColumnMapping(scores=("p_1",), labels="y")
    assert found.task == "binary"
    assert found.is_clear


def test_of_two_complementary_columns_without_numbers_neither_is_clear(look, binary):
    found = look({"p_home": 1 - binary["prob"], "p_away": binary["prob"], "y": binary["label"]})
    assert found.task == "binary"
    assert not found.is_clear
    assert found.guesses[0].others == ("p_away",)


def test_numbers_beyond_one_in_a_column_called_like_logits_are_logits(look, binary, rng):
    found = look({"logit": rng.normal(size=N) * 3, "y": binary["label"]})
    assert found.mapping == ColumnMapping(scores=("logit",), labels="y")
    assert found.score_kind == "logits"


def test_the_range_is_that_of_all_rows_not_of_the_sample(look, rng):
    p = rng.random(300_000)
    p[150_001] = 1.5
    found = look({"score": p, "y": rng.integers(0, 2, 300_000)}, rows=100)
    assert found.mapping is None
    assert "scores" in found.missing[0]


def test_ids_times_weights_groups_and_slices_are_proposed(look, binary):
    start = datetime(2013, 3, 1, tzinfo=UTC)
    found = look(
        {
            **binary,
            "event_id": np.arange(N),
            "at": [start + timedelta(hours=i) for i in range(N)],
            "weight": np.full(N, 2.0),
            "cluster": np.arange(N) // 2,
            "region": ["eu", "us"] * (N // 2),
            "night": [True, False] * (N // 2),
            "month": [3, 4] * (N // 2),
            "comment": [f"text {i}" for i in range(N)],
        }
    )
    assert found.mapping == ColumnMapping(
        scores=("prob",),
        labels="label",
        weights="weight",
        ids="event_id",
        time="at",
        groups="cluster",
        slices=("region", "night", "month"),
    )


def test_a_proposed_mapping_can_be_read(tables, look, binary):
    found = look({**binary, "day": ["2013-03-01", "2013-03-02"] * (N // 2)})
    assert found.mapping is not None
    assert found.mapping.time == "day"
    source = TableSource(tables.out, found.mapping, "binary", "probabilities", "ab" * 32)
    assert sum(map(len, source.chunks())) == N


def test_labels_with_gaps_are_still_labels(look, binary):
    labels: list[Any] = binary["label"].tolist()
    labels[3] = None
    assert look({**binary, "label": labels}).is_clear
    assert look({**binary, "label": [np.nan if y is None else float(y) for y in labels]}).is_clear


def test_a_table_without_scores_or_labels_says_what_was_looked_for(look):
    found = look({"name": ["a", "b", "c"] * 30, "size": np.arange(90) * 7})
    assert found.mapping is None
    assert (found.task, found.score_kind) == (None, None)
    assert [line.partition(":")[0] for line in found.missing] == ["scores", "labels"]
    assert not found.is_clear


def test_the_flights_are_recognised(tables, shared):
    info = tables.read(shared("data") / "flights" / "stream.parquet", "stream.parquet")
    found = propose(info, take_sample(tables.out))
    assert found.mapping == ColumnMapping(
        scores=("prob_hgb",),
        labels="label",
        ids="id",
        time="pred_time",
        slices=("carrier", "origin", "hour_bucket", "month"),
    )
    assert found.guesses[0].others == ("prob_mlp",)
    assert not found.is_clear

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from calibrant.errors import CalibrantError, Unusable
from calibrant.wire.decode import decode
from calibrant.wire.requests import EvaluateRequest, FitRequest, KeyRequest

INLINE = {"task": "binary", "score_kind": "probabilities", "scores": [0.2, 0.7], "labels": [0, 1]}
STORED = {
    "task": "binary",
    "score_kind": "probabilities",
    "dataset": "ds_1",
    "columns": {"scores": ["p"], "labels": "y"},
}


def evaluate(fields: dict[str, Any]) -> EvaluateRequest:
    return decode(EvaluateRequest, msgspec.json.encode(fields))


def test_inline_rows_become_columns():
    columns = evaluate(
        INLINE
        | {
            "weights": [1, 2.5],
            "ids": ["a", 7],
            "time": ["2013-05-01T00:00:00Z", "2013-05-01T02:00:00+02:00"],
            "groups": ["g", None],
            "slices": {"region": ["eu", None]},
        }
    ).inline()
    assert columns is not None
    assert columns.ids == ["a", "7"]
    assert columns.time is not None
    assert columns.time[0] == columns.time[1]
    assert columns.slices == {"region": ["eu", None]}


def test_a_data_set_has_no_inline_rows():
    assert evaluate(STORED).inline() is None


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({**STORED, "scores": [0.5]}, "/scores"),
        ({key: value for key, value in STORED.items() if key != "columns"}, "/columns"),
        ({key: value for key, value in INLINE.items() if key != "scores"}, "/scores"),
        ({**INLINE, "columns": {"scores": ["p"]}}, "/dataset"),
    ],
)
def test_rows_come_from_one_place(fields, pointer):
    with pytest.raises(Unusable) as caught:
        evaluate(fields).inline()
    assert caught.value.errors[0].pointer == pointer


@pytest.mark.parametrize("missing", ["task", "score_kind"])
def test_nothing_is_guessed(missing):
    with pytest.raises(Unusable):
        evaluate({key: value for key, value in INLINE.items() if key != missing})


@pytest.mark.parametrize(
    "more",
    [
        {"scores": []},
        {"time": ["2013-05-01T00:00:00", "2013-05-01T00:00:00"]},
        {"slices": {"a=b": ["x", "y"]}},
        {"slices": {"": ["x", "y"]}},
        {"slices": {"r": [True, False]}},
        {"options": {"tolerance": 0}},
        {"options": {"metrics": "some"}},
        {"gates": [{"max": 0.1}]},
        {"allow_overlap": 1},
        {"labels": [0.0, 1.0]},
        {"labels": [False, True]},
    ],
)
def test_what_does_not_fit_is_refused(more):
    with pytest.raises(CalibrantError):
        evaluate(INLINE | more).inline()


def test_a_fit_needs_no_method():
    assert decode(FitRequest, msgspec.json.encode(INLINE)).method == "auto"


def test_a_key_needs_a_known_scope():
    for scopes in ([], ["root"]):
        with pytest.raises(Unusable):
            decode(KeyRequest, msgspec.json.encode({"scopes": scopes}))

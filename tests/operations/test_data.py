from __future__ import annotations

import time

import numpy as np

from calibrant.numerics.predictions import Category, Predictions
from calibrant.operations.data import keep_inline, open_data


def rows() -> Predictions:
    return Predictions(
        np.array([0.25, 0.5, 0.75]),
        np.array([0, 1, 1]),
        ids=np.array(["a", "b", "ü"], dtype=np.object_),
        slices={"region": Category.encode(["eu", None, "us"])},
    )


def test_an_inline_batch_comes_back_as_it_was(context, caller):
    data = keep_inline(context, rows(), task="binary", score_kind="probabilities")
    (found,) = open_data(context, caller.tenant, data).chunks()
    assert found.scores.tolist() == [0.25, 0.5, 0.75]
    assert found.labels.tolist() == [0, 1, 1]
    assert found.ids.tolist() == ["a", "b", "ü"]
    assert found.slices["region"].values == rows().slices["region"].values
    assert found.slices["region"].codes.tolist() == rows().slices["region"].codes.tolist()
    assert found.weights is None


def test_the_same_rows_are_the_same_blob_whenever_they_are_kept(context):
    first = keep_inline(context, rows(), task="binary", score_kind="probabilities")
    time.sleep(2.1)  # a zip archive counts time in steps of two seconds
    assert keep_inline(context, rows(), task="binary", score_kind="probabilities") == first

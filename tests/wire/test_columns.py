from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from calibrant.errors import BadBatch
from calibrant.wire.columns import label_array, score_array, texts, time_array


@pytest.mark.parametrize("n", [1, 3, 500])
def test_one_number_a_row_is_a_vector(n):
    scores = score_array([0.25] * n)
    assert (scores.dtype, scores.shape) == (np.float64, (n,))


@pytest.mark.parametrize("n", [1, 3, 500])
def test_rows_of_k_numbers_are_a_matrix(n):
    rows = [[float(row), 1.0, 2.0] for row in range(n)]
    np.testing.assert_array_equal(score_array(rows), np.array(rows))


@pytest.mark.parametrize(
    ("scores", "row"),
    [([[1.0, 2.0], [1.0]], 1), ([[1.0], 2.0], 1), ([1.0, [2.0]], 1), ([[]], 0), ([[], []], 0)],
)
def test_ragged_rows_are_named(scores, row):
    with pytest.raises(BadBatch) as caught:
        score_array(scores)
    assert caught.value.errors[0].pointer == f"/scores/{row}"


def test_ragged_rows_are_counted_and_at_most_twenty_are_named():
    with pytest.raises(BadBatch, match="500 of 1000") as caught:
        score_array([[1.0, 2.0], [1.0]] * 500)
    assert len(caught.value.errors) == 20


def test_a_null_label_is_minus_one():
    assert label_array([1, None, 0]).tolist() == [1, -1, 0]


def test_instants_are_microseconds_in_utc():
    offset = timezone(timedelta(hours=2))
    times = [datetime(2013, 5, 1, 2, 0, 0, 7, tzinfo=offset), datetime(1969, 1, 1, tzinfo=UTC)]
    expected = np.array(["2013-05-01T00:00:00.000007", "1969-01-01"], dtype="datetime64[us]")
    np.testing.assert_array_equal(time_array(times), expected)


def test_integers_are_texts_and_null_stays():
    assert texts(["a", 7, None], "/ids") == ["a", "7", None]


def test_texts_are_bounded_in_bytes_not_in_characters():
    assert texts(["é" * 64], "/ids") == ["é" * 64]
    with pytest.raises(BadBatch) as caught:
        texts(["ok", "é" * 65], "/ids")
    assert caught.value.errors[0].pointer == "/ids/1"

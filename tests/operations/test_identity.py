"""Rows are the same by id or by place, never by content."""

from __future__ import annotations

import numpy as np

from calibrant.numerics.predictions import Predictions
from calibrant.operations.identity import batch_digest, count_overlap, row_identities

SOURCE, OTHER = "ab" * 32, "cd" * 32


def rows(n: int, ids: list[object] | None = None) -> Predictions:
    known = None if ids is None else np.array(ids, dtype=np.object_)
    return Predictions(np.full(n, 0.5), np.ones(n, dtype=np.int64), ids=known)


def test_equal_content_at_other_places_is_not_the_same_row() -> None:
    all_rows = row_identities(rows(1_000), source=SOURCE)
    assert len(np.unique(all_rows)) == 1_000
    first, second = np.sort(all_rows[:500]), all_rows[500:]
    assert count_overlap(first, second) == 0


def test_the_same_place_in_another_data_set_is_another_row() -> None:
    fitted = np.sort(row_identities(rows(100), source=SOURCE))
    assert count_overlap(fitted, row_identities(rows(100), source=OTHER)) == 0


def test_places_count_over_chunks() -> None:
    whole = row_identities(rows(10), source=SOURCE)
    parts = [row_identities(rows(5), source=SOURCE, first_row=start) for start in (0, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_an_id_is_the_same_row_wherever_it_comes_from() -> None:
    fitted = np.sort(row_identities(rows(3, ["a", "b", "c"]), source=SOURCE))
    again = row_identities(rows(3, ["c", "x", "a"]), source=OTHER)
    assert count_overlap(fitted, again) == 2


def test_a_number_and_its_text_are_one_id() -> None:
    as_number = row_identities(rows(1, [7]), source=SOURCE)
    assert as_number == row_identities(rows(1, ["7"]), source=OTHER)


def test_nothing_overlaps_with_no_rows() -> None:
    nothing = np.empty(0, dtype=np.uint64)
    assert count_overlap(nothing, row_identities(rows(3), source=SOURCE)) == 0


def test_the_order_of_an_inline_batch_is_part_of_its_digest() -> None:
    one = Predictions(np.array([0.1, 0.2]), np.array([0, 1]))
    assert batch_digest(one) == batch_digest(one)
    assert batch_digest(one) != batch_digest(one.take(np.array([1, 0])))

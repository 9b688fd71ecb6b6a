"""Held-out rows are chosen by identity, time or group, the same ones every time."""

from __future__ import annotations

import numpy as np
import pytest

from calibrant.errors import Unusable
from calibrant.numerics.predictions import Category, Predictions
from calibrant.operations.holdout import Holdout, held_out
from calibrant.operations.identity import row_identities

N = 4_000
SOURCE = "0f" * 32


@pytest.fixture
def rows(rng: np.random.Generator) -> Predictions:
    start = np.datetime64("2013-03-01", "us")
    names = [f"g{number}" for number in rng.integers(0, 200, N)]
    return Predictions(
        rng.random(N),
        rng.integers(0, 2, N),
        time=start + rng.integers(0, 10**9, N).astype("timedelta64[us]"),
        groups=Category.encode(names),
    )


def split(rows: Predictions, rule: Holdout) -> np.ndarray:
    return held_out(rows, row_identities(rows, source=SOURCE), rule)


@pytest.mark.parametrize("by", ["hash", "time", "group"])
def test_about_the_fraction_is_held_out_and_again_the_same(rows: Predictions, by: str) -> None:
    rule = Holdout(fraction=0.3, by=by)  # type: ignore[arg-type]
    mask = split(rows, rule)
    assert abs(mask.mean() - 0.3) < 0.06
    np.testing.assert_array_equal(mask, split(rows, rule))


def test_by_time_the_latest_rows_are_held_out_and_an_instant_is_never_cut(
    rows: Predictions,
) -> None:
    mask = split(rows, Holdout(fraction=0.25, by="time"))
    assert rows.time is not None
    assert rows.time[~mask].max() < rows.time[mask].min()


def test_by_group_no_group_is_parted(rows: Predictions) -> None:
    mask = split(rows, Holdout(fraction=0.3, by="group"))
    assert rows.groups is not None
    assert not set(rows.groups.codes[mask]) & set(rows.groups.codes[~mask])


def test_a_larger_fraction_holds_out_the_same_rows_and_more(rows: Predictions) -> None:
    small, large = (split(rows, Holdout(fraction=f)) for f in (0.2, 0.5))
    assert not (small & ~large).any()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_fraction_outside_of_0_to_1_is_refused(rows: Predictions, fraction: float) -> None:
    with pytest.raises(Unusable, match="fraction"):
        split(rows, Holdout(fraction=fraction))


@pytest.mark.parametrize("by", ["time", "group"])
def test_the_column_that_a_rule_needs_must_be_there(by: str) -> None:
    bare = Predictions(np.array([0.1, 0.2]), np.array([0, 1]))
    with pytest.raises(Unusable, match=by):
        split(bare, Holdout(by=by))  # type: ignore[arg-type]


def test_a_split_that_leaves_one_side_empty_is_refused() -> None:
    one = Predictions(np.array([0.1]), np.array([0]))
    with pytest.raises(Unusable, match="no rows on one side"):
        split(one, Holdout(fraction=0.5))

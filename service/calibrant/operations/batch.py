"""Inline columns to predictions: one length for all of them, and within the limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadBatch, Detail, TooLarge
from calibrant.numerics.predictions import Category, Predictions
from calibrant.settings import Settings

Texts = Sequence[str | None]


def predictions_from(
    *,
    scores: NDArray[np.float64],
    labels: NDArray[np.int64] | None = None,
    weights: NDArray[np.float64] | None = None,
    ids: Sequence[str] | None = None,
    time: NDArray[np.datetime64] | None = None,
    groups: Texts | None = None,
    slices: Mapping[str, Texts] | None = None,
    limits: Settings,
) -> Predictions:
    """Build predictions from inline columns.

    Parameters
    ----------
    scores : float64 array of shape (n,) or (n, k)
    labels : int64 array of shape (n,) or None
        `UNLABELLED` where a label is not known.
    slices : mapping of dimension to n texts
        None stands for a missing value.
    limits : Settings
        Bounds rows and classes.

    Raises
    ------
    BadBatch
        If columns differ in length; each one is named with its count.
    TooLarge
        If there are more rows or classes than allowed.
    """
    check_limits(scores, limits)
    slices = slices or {}
    columns: dict[str, Any] = {
        "labels": labels,
        "weights": weights,
        "ids": ids,
        "time": time,
        "groups": groups,
        **{f"slices/{name}": values for name, values in slices.items()},
    }
    check_lengths(len(scores), columns)
    return Predictions(
        scores=scores,
        labels=labels,
        weights=weights,
        ids=None if ids is None else np.array(ids, dtype=np.object_),
        time=time,
        groups=None if groups is None else Category.encode(groups),
        slices={name: Category.encode(values) for name, values in slices.items()},
    )


def check_lengths(n_rows: int, columns: Mapping[str, Any]) -> None:
    """Raise `BadBatch` unless every given column has `n_rows` values."""
    wrong = [
        Detail(f"/{name}", f"{len(column):,} values for {n_rows:,} rows.")
        for name, column in columns.items()
        if column is not None and len(column) != n_rows
    ]
    if wrong:
        raise BadBatch(
            f"Columns differ in length: `scores` has {n_rows:,} rows, {len(wrong)} other "
            f"column{'s have' if len(wrong) > 1 else ' has'} not.",
            wrong,
        )


def check_slices(slices: Mapping[str, Texts], n_rows: int) -> None:
    """Raise `BadBatch` unless every slice column has `n_rows` values."""
    if slices:
        check_lengths(n_rows, {f"slices/{name}": values for name, values in slices.items()})


def check_limits(scores: NDArray[Any], limits: Settings) -> None:
    """Raise `TooLarge` if scores have more rows or classes than allowed."""
    if len(scores) > limits.max_rows:
        raise TooLarge(f"A batch has at most {limits.max_rows:,} rows.")
    if scores.ndim == 2 and scores.shape[1] > limits.max_classes:
        raise TooLarge(f"`scores` have at most {limits.max_classes:,} classes.")

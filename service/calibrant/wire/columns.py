"""Inline rows as columns: JSON lists to arrays, with messages that name the field and the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from calibrant.errors import BadBatch, Detail

MAX_TEXT_BYTES = 128
MAX_LABEL = 2**31 - 1
_NO_LABEL = -1
_MANY_ROWS = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Scores = Annotated[
    list[float | list[float]],
    Meta(
        min_length=1,
        description="One number a row for binary (class 1), or rows of k numbers for multiclass.",
    ),
]
Label = Annotated[int, Meta(ge=0, le=MAX_LABEL)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_BYTES)]
Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f=]{1,64}$",
        description="Name of a slice dimension: up to 64 characters, no `=`, no control characters.",
    ),
]
Key = Annotated[Text | Number, Meta(description="Up to 128 bytes; an integer counts as its text.")]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Rows as they came over the network, reduced to arrays and texts.

    Attributes
    ----------
    scores : float64 array of shape (n,) or (n, k)
    labels : int64 array of shape (n,) or None
        -1 where the label is `null`.
    weights : float64 array of shape (n,) or None
    ids : sequence of str or None
    time : datetime64[us] array of shape (n,) or None
        UTC.
    groups : sequence of str or None, or None
    slices : mapping of dimension to a sequence of str or None
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    ids: Sequence[str] | None = None
    time: NDArray[np.datetime64] | None = None
    groups: Sequence[str | None] | None = None
    slices: Mapping[str, Sequence[str | None]] = field(default_factory=dict)


def score_array(scores: Sequence[float | Sequence[float]]) -> NDArray[np.float64]:
    """Return scores as an array of shape (n,) or (n, k).

    Raises
    ------
    BadBatch
        If rows differ in length; the first row numbers are named.
    """
    first = scores[0]
    width = len(first) if isinstance(first, list) else None
    try:
        if len(scores) > _MANY_ROWS:
            return _matrix(scores, width) if width else np.fromiter(scores, np.float64)
        array = np.array(scores, dtype=np.float64)
    except (ValueError, TypeError):  # a row is longer than another, or no row at all
        raise _ragged(scores, width) from None
    if not array.size:
        raise _ragged(scores, width)
    return array


def _matrix(scores: Sequence[Any], width: int) -> NDArray[np.float64]:
    """Read rows through one flat iterator: faster than nested ones, once there are a few."""
    if set(map(len, scores)) != {width}:
        raise ValueError
    flat = np.fromiter(chain.from_iterable(scores), np.float64, len(scores) * width)
    return flat.reshape(len(scores), width)


def _ragged(scores: Sequence[Any], width: int | None) -> BadBatch:
    if width == 0:
        return BadBatch("A row of `scores` is empty.", [Detail("/scores/0", "An empty row.")])
    try:
        widths = np.fromiter(map(len, scores), np.int64, len(scores))
    except TypeError:  # a bare number has no length
        widths = np.fromiter(map(_width, scores), np.int64, len(scores))
    odd = np.flatnonzero(widths != (-1 if width is None else width))
    form = "one number" if width is None else f"{width} numbers"
    return BadBatch(
        f"{len(odd)} of {len(scores)} rows of `scores` differ in length from the first, which has "
        f"{form}.",
        [Detail(f"/scores/{row}", f"Expected {form}, as in the first row.") for row in odd[:20]],
    )


def _width(row: Any) -> int:
    return len(row) if type(row) is list else -1


def label_array(labels: Sequence[int | None]) -> NDArray[np.int64]:
    """Return labels, -1 where there is none."""
    try:
        return np.array(labels, dtype=np.int64)
    except TypeError:  # has null
        known = (_NO_LABEL if label is None else label for label in labels)
        return np.fromiter(known, np.int64, len(labels))


def time_array(times: Sequence[datetime]) -> NDArray[np.datetime64]:
    """Return instants as microseconds in UTC."""
    ticks = ((time - _EPOCH) // _MICROSECOND for time in times)
    return np.fromiter(ticks, np.int64, len(times)).astype("datetime64[us]")


def texts(values: Sequence[str | int | None], pointer: str) -> list[str | None]:
    """Return keys as texts of at most 128 bytes.

    Raises
    ------
    BadBatch
        If one is longer; JSON Schema can bound characters only.
    """
    as_text = [value if value is None or type(value) is str else str(value) for value in values]
    if not all(map(_short, as_text)):
        rows = [row for row, value in enumerate(as_text) if not _short(value)]
        raise BadBatch(
            f"{len(rows)} texts are longer than {MAX_TEXT_BYTES} bytes.",
            [Detail(f"{pointer}/{row}", "Longer than 128 bytes in UTF-8.") for row in rows[:20]],
        )
    return as_text


def _short(value: str | None) -> bool:
    # only a text beyond a quarter of the bound can pass it in bytes
    return (
        value is None or len(value) <= MAX_TEXT_BYTES // 4 or len(value.encode()) <= MAX_TEXT_BYTES
    )

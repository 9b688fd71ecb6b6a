"""Columns of the canonical table as the arrays of `Predictions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Detail, TooLarge, Unusable
from calibrant.numerics.predictions import UNLABELLED, Category
from calibrant.storage.tables.faults import Faults, shown

MAX_VALUE_BYTES = {"slices": 128, "groups": 256, "ids": 256}
MAX_VALUES = {"slices": 100_000, "groups": 2_000_000}


def score_matrix(columns: Sequence[Any], dtype: Any) -> NDArray[Any]:
    """Return score columns as an array of shape (n,) or (n, k); nulls are NaN."""
    if len(columns) == 1:
        return _floats(columns[0], dtype)
    scores = np.empty((len(columns[0]), len(columns)), dtype)
    for place, column in enumerate(columns):
        scores[:, place] = _floats(column, dtype)
    return scores


def _floats(column: Any, dtype: Any) -> NDArray[Any]:
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype == np.object_:  # Arrow's way with a column that is all null
        return np.full(len(values), np.nan, dtype)
    return np.asarray(values, dtype)


def weight_array(column: Any) -> NDArray[np.float64]:
    """Return weights."""
    return _floats(column, np.float64)


def whole_labels(
    column: Any, *, name: str, n_classes: int, faults: Faults, first_row: int
) -> NDArray[np.int64]:
    """Return labels 0 to k - 1; null and NaN mean that the label is not known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    if pa.types.is_null(column.type):
        return np.full(len(column), UNLABELLED, np.int64)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values = pc.fill_null(column, pa.scalar(0, column.type)).to_numpy(zero_copy_only=False)
    values = np.where(missing, values.dtype.type(0), values)
    if values.dtype.kind == "f":
        fractions = values != np.floor(values)
        faults.add(name, "holds labels that are not whole numbers", fractions, first_row)
        values = np.where(fractions, values.dtype.type(0), values)
    outside = (values < 0) | (values >= n_classes)
    faults.add(name, f"holds labels outside 0 to {n_classes - 1}", outside, first_row)
    labels: NDArray[np.int64] = np.where(outside, values.dtype.type(0), values).astype(np.int64)
    labels[missing | outside] = UNLABELLED
    return labels


class NamedLabels:
    """Turns names of classes into 0 to k - 1."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._codes = {text: code for code, text in enumerate(classes)}

    def __call__(
        self, column: Any, *, name: str, faults: Faults, first_row: int
    ) -> NDArray[np.int64]:
        """Return the labels of a batch."""
        codes, values = _encoded(column, name=name, faults=faults, first_row=first_row)
        lookup = np.array([self._codes.get(text, -2) for text in values] + [UNLABELLED], np.int64)
        labels = lookup[codes]
        faults.add(name, "holds labels that are not among `classes`", labels == -2, first_row)
        return labels


class Texts:
    """Encodes a column of names; a name keeps its code over all batches of a table."""

    def __init__(self, name: str, role: str) -> None:
        self._name, self._role = name, role
        self._codes: dict[str, int] = {}
        self._values: tuple[str, ...] = ()

    def __call__(self, column: Any, *, faults: Faults, first_row: int) -> Category:
        """Return a batch, its values in order of first appearance in the table."""
        local, values = _encoded(column, name=self._name, faults=faults, first_row=first_row)
        most = MAX_VALUE_BYTES[self._role]
        long = np.array([len(text.encode()) > most for text in values] + [False])
        faults.add(self._name, f"holds values of more than {most} bytes", long[local], first_row)
        known = [self._codes.get(text, -1) for text in values]
        for place in _by_appearance(local, known):
            known[place] = self._codes.setdefault(values[place], len(self._codes))
        if len(self._codes) > MAX_VALUES[self._role]:
            raise TooLarge(
                f"Column `{shown(self._name)}` has more than {MAX_VALUES[self._role]:,} "
                f"different values; that is too many for {self._role}."
            )
        if len(self._codes) > len(self._values):
            self._values = tuple(self._codes)
        lookup = np.array([*known, -1], np.int32)
        return Category(lookup[local], self._values)


def _by_appearance(codes: NDArray[np.int32], known: Sequence[int]) -> list[int]:
    """Return the places in the dictionary that are new and used, in order of appearance."""
    new = np.array([*known, 0]) < 0
    if not new.any():
        return []
    first = np.full(len(new), len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    places = np.flatnonzero(new & (first < len(codes)))
    return [int(place) for place in places[np.argsort(first[places], kind="stable")]]


def _encoded(
    column: Any, *, name: str, faults: Faults, first_row: int
) -> tuple[NDArray[np.int32], list[str]]:
    """Return codes into a list of texts; the code of a missing value is -1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(column.type):
        return np.full(len(column), -1, np.int32), []
    if pa.types.is_floating(column.type):
        column = _whole(column, name=name, faults=faults, first_row=first_row)
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = pc.fill_null(encoded.indices.cast(pa.int32()), -1).to_numpy(zero_copy_only=False)
    return codes, encoded.dictionary.cast(pa.string()).to_pylist()


def _whole(column: Any, *, name: str, faults: Faults, first_row: int) -> Any:
    """Return floats as integers: a column of these with gaps is often written as floats."""
    import pyarrow as pa

    values = _floats(column, np.float64)
    missing = np.isnan(values)
    odd = ~missing & ((values != np.floor(values)) | (np.abs(values) >= 2.0**63))
    faults.add(name, "holds numbers that are not whole", odd, first_row)
    return pa.array(np.where(missing | odd, 0, values).astype(np.int64), mask=missing)


def id_texts(column: Any, *, name: str, faults: Faults, first_row: int) -> NDArray[np.object_]:
    """Return ids as text, so that a number and its digits are the same id."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        most = MAX_VALUE_BYTES["ids"]
        codes, values = _encoded(column, name=name, faults=faults, first_row=first_row)
        long = np.array([len(text.encode()) > most for text in values] + [False])
        faults.add(name, f"holds ids of more than {most} bytes", long[codes], first_row)
        if long.any():  # repeated over many rows, they would take what a bomb takes
            return np.full(len(column), "", np.object_)
        column = column.dictionary_decode()
    texts: NDArray[np.object_] = column.cast(pa.string()).to_numpy(zero_copy_only=False)
    return texts


def utc_times(column: Any, *, name: str, faults: Faults, first_row: int) -> NDArray[Any]:
    """Return times in UTC; text is ISO 8601, and UTC where it names no zone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        values = _parsed(column.dictionary)
        times = pc.take(values, column.indices)
        unread = times.is_null().to_numpy(zero_copy_only=False)
        unread &= column.is_valid().to_numpy(zero_copy_only=False)
        faults.add(name, "holds times that are not ISO 8601", unread, first_row)
        column = times
    plain = column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    return np.asarray(plain, "datetime64[us]")


def _parsed(values: Any) -> Any:
    """Return texts as times, null where one cannot be read."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zoned = pc.match_substring_regex(values, r"[T ]\d\d.*(Z|[+-]\d\d(:?\d\d)?)$")
    nothing = pa.scalar(None, pa.string())
    utc = pa.timestamp("us", tz="UTC")
    return pc.coalesce(
        _times(pc.if_else(zoned, values, nothing), utc),
        _times(pc.if_else(zoned, nothing, values), pa.timestamp("us")).cast(utc),
    )


def _times(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        return pa.array([_time(value, kind) for value in values], kind)


def _time(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    try:
        return value.cast(kind).as_py()
    except pa.ArrowInvalid:
        return None


def check_role(name: str, role: str, found: Any) -> None:
    """Refuse a column whose type cannot play a role.

    Raises
    ------
    Unusable
        With what the role needs.
    """
    import pyarrow as pa

    kinds = pa.types
    number = kinds.is_integer(found) or kinds.is_floating(found)
    text, empty = kinds.is_string(found), kinds.is_null(found)
    whole = kinds.is_integer(found)
    fits, needs = {
        "scores": (number, "numbers"),
        "labels": (number or kinds.is_boolean(found) or empty, "whole numbers or booleans"),
        "weights": (number, "numbers"),
        "ids": (whole or text, "whole numbers or text"),
        "time": (kinds.is_timestamp(found) or text, "timestamps or ISO 8601 text"),
    }.get(role, (number or text or empty or kinds.is_boolean(found), "text or whole numbers"))
    if not fits:
        hint = " Name the classes in `classes`." if role == "labels" and text else ""
        message = f"Column `{shown(name)}` cannot be `{role}`: it must hold {needs}.{hint}"
        raise Unusable(message, [Detail(f"/columns/{role}", message)])

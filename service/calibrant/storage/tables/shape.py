"""What is known about a table, what of it is used, and how large it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["csv", "ndjson", "json", "parquet", "arrow", "npz"]
Coding = Literal["gzip", "zstd"]
Task = Literal["binary", "multiclass"]
ScoreKind = Literal["probabilities", "logits"]

BATCH_ROWS = 65_536
"""Rows that are in memory at a time."""

BATCH_BYTES = 64 * 2**20
"""Largest batch of a wide table; it then has fewer rows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an uploaded table may be; beyond it `TooLarge`.

    Attributes
    ----------
    max_bytes : int
        Of the upload, of what it decompresses to, and of its decoded columns.
    max_rows, max_columns : int
    max_json_bytes : int
        Of one JSON document, which is read whole; NDJSON is not limited by it.
    max_block_bytes : int
        Of one record batch of an Arrow file, which is decoded whole.
    max_cell_bytes : int
        Of one text cell, in UTF-8.
    """

    max_bytes: int = 4 * 2**30
    max_rows: int = 50_000_000
    max_columns: int = 2_000
    max_json_bytes: int = 128 * 2**20
    max_block_bytes: int = 256 * 2**20
    max_cell_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One column of a table.

    Attributes
    ----------
    type : str
        `bool`, `int8` to `uint64`, `float`, `double`, `string`, `timestamp[us, tz=UTC]`, or `null`
        where no row has a value.
    n_null : int
        Rows without a value.
    """

    name: str
    type: str
    n_null: int


@dataclass(frozen=True, slots=True)
class TableInfo:
    """What is known about an uploaded table.

    Attributes
    ----------
    n_rows : int
    columns : tuple of ColumnInfo
    bytes : int
        Size of the upload as it came.
    sha256 : str
        Hex digest of the upload as it came.
    format : str
        What it was read as.
    coding : str or None
        How it was compressed.
    """

    n_rows: int
    columns: tuple[ColumnInfo, ...]
    bytes: int
    sha256: str
    format: Format
    coding: Coding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Which columns of a table hold what.

    Attributes
    ----------
    scores : tuple of str
        One column for binary, k in the order of the classes for multiclass.
    classes : tuple of str, or None
        Names of the classes in order; labels are then these names (as text, whatever their type)
        instead of 0 to k - 1.
    """

    scores: tuple[str, ...]
    labels: str | None = None
    weights: str | None = None
    ids: str | None = None
    time: str | None = None
    slices: tuple[str, ...] = ()
    groups: str | None = None
    classes: tuple[str, ...] | None = None

    def used(self) -> tuple[str, ...]:
        """Return the columns that are read, each once."""
        single = (self.labels, self.weights, self.ids, self.time, self.groups)
        named = (*self.scores, *(name for name in single if name is not None), *self.slices)
        return tuple(dict.fromkeys(named))

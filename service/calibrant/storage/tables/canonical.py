"""Any upload into one Parquet file of ours, so that everything later reads one format.

It is written in row groups of some 65,536 rows, text as dictionaries, compressed with LZ4: against
no compression it is half as large for double precision and reads in 0.02 us a value (zstd: 20 %
smaller, four times the reading time).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from calibrant.errors import BadRequest, TooLarge, Unusable
from calibrant.storage.tables.arrow import read_arrow
from calibrant.storage.tables.columns import batch_rows, is_text, settled_batches
from calibrant.storage.tables.damage import guarded
from calibrant.storage.tables.delimited import Cells, Delimited
from calibrant.storage.tables.npz import read_npz
from calibrant.storage.tables.parquet import read_parquet
from calibrant.storage.tables.records import Document, Lines, Values
from calibrant.storage.tables.shape import (
    Coding,
    ColumnInfo,
    Limits,
    TableInfo,
)
from calibrant.storage.tables.sniffing import Sniffed, sniff
from calibrant.storage.tables.streams import digest, plain_file


def canonical(
    path: Path,
    media_type: str | None,
    out_path: Path,
    limits: Limits,
    *,
    name: str | None = None,
    coding: Coding | None = None,
) -> TableInfo:
    """Write an uploaded table of any format as the Parquet file that everything later reads.

    Parameters
    ----------
    path : Path
        The upload: CSV, NDJSON, JSON, Parquet, Arrow or NPZ, plain or as gzip or zstd.
    media_type : str or None
        `Content-Type` of the upload; without one its `name` and its bytes decide.
    out_path : Path
        Where to write; its folder also takes temporary files. Removed again on failure.
    limits : Limits
    name : str, optional
        What the sender calls it.
    coding : str, optional
        Declared content coding; an undeclared one is found by its first bytes.

    Returns
    -------
    TableInfo

    Raises
    ------
    UnsupportedMedia, BadRequest, Unusable, TooLarge
        If it is not read, damaged, holds what is not read, or is too large. Messages name the
        column or row and never hold a value.

    Notes
    -----
    Memory is bounded by a batch, whatever the size of the table; a JSON document and a compressed
    Arrow record batch are held whole and have limits of their own.
    """
    size = path.stat().st_size
    if size > limits.max_bytes:
        raise TooLarge(f"The table is {size:,} bytes long; at most {limits.max_bytes:,} go.")
    found = sniff(path, name, media_type, coding=coding)
    try:
        n_rows, columns = _rewrite(path, found, out_path, limits)
    except BaseException:
        out_path.unlink(missing_ok=True)
        raise
    return TableInfo(n_rows, columns, size, digest(path), found.format, found.coding)


def _rewrite(
    path: Path, found: Sniffed, out_path: Path, limits: Limits
) -> tuple[int, tuple[ColumnInfo, ...]]:
    if found.format in {"ndjson", "json"}:
        reader = Lines if found.format == "ndjson" else Document
        source = reader(path, found.coding, limits)
        return _write_learned(source, Values(limits), out_path, limits)
    with plain_file(path, found.coding, limits.max_bytes, out_path.parent) as plain:
        if found.format == "csv":
            return _write_learned(Delimited(plain, limits), Cells(), out_path, limits)
        opened = _TYPED[found.format](plain, limits, out_path.parent)
        with opened as (schema, batches), _Writer(out_path, schema, limits) as writer:
            for batch in batches:
                writer.write(batch)
            return writer.finish()


_Opened = contextlib.AbstractContextManager[tuple[Any, Iterator[Any]]]
_TYPED: dict[str, Callable[[Path, Limits, Path], _Opened]] = {
    "parquet": lambda path, limits, _folder: read_parquet(path, limits),
    "arrow": lambda path, limits, _folder: read_arrow(path, limits),
    "npz": read_npz,
}


def _write_learned(
    source: Any, learner: Any, out_path: Path, limits: Limits
) -> tuple[int, tuple[ColumnInfo, ...]]:
    """Write a format without types of its own.

    The first batch says what the columns hold. Where a later one knows better, the rest is only
    learned from, and the table is written from its beginning once more: everything is known then.
    """
    for _ in range(2):
        batches = _typed(source, learner, limits)
        first = next(batches, None)
        if first is None:
            raise Unusable("The table has no rows.")
        known = dict(learner.kinds)
        with _Writer(out_path, first.schema, limits) as writer:
            for batch in _settled_batches_after(first, batches, learner, known, limits):
                writer.write(batch)
            if learner.kinds == known:
                return writer.finish()
    raise AssertionError("the second reading of a file differs from the first")


def _typed(source: Any, learner: Any, limits: Limits) -> Iterator[Any]:
    n_rows = 0
    for raw in guarded(source.batches()):
        batch = learner.take(raw, n_rows)
        n_rows += batch.num_rows
        if n_rows > limits.max_rows:
            raise TooLarge(f"The table has more than {limits.max_rows:,} rows.")
        yield batch


def _settled_batches_after(
    first: Any, batches: Iterator[Any], learner: Any, known: dict[str, str], limits: Limits
) -> Iterator[Any]:
    def stable() -> Iterator[Any]:
        yield first
        for batch in batches:
            if learner.kinds == known:
                yield batch

    return guarded(settled_batches(stable(), first.schema, limits))


class _Writer:
    """Collects batches into row groups of a Parquet file."""

    def __init__(self, path: Path, schema: Any, limits: Limits) -> None:
        import pyarrow.parquet as pq

        if not schema.names:
            raise BadRequest("The table has no columns.")
        texts = [each.name for each in schema if is_text(each.type)]
        numbers = [each.name for each in schema if not is_text(each.type)]
        self._schema, self._limits = schema, limits
        self._writer = pq.ParquetWriter(
            path,
            _encoded(schema),
            compression="lz4",
            use_dictionary=texts or False,
            write_statistics=numbers or False,
            store_schema=False,  # dictionaries are a matter of writing, not of the table
        )
        self._group: list[Any] = []
        self._group_rows = self._n_rows = 0
        self._most = batch_rows(schema)
        self._n_null = [0] * len(schema)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_error: object) -> None:
        # a file that is not finished is removed: what closing it says does not matter
        with contextlib.suppress(Exception):
            self._writer.close()

    def write(self, batch: Any) -> None:
        """Add a batch."""
        self._n_rows += batch.num_rows
        if self._n_rows > self._limits.max_rows:
            raise TooLarge(f"The table has more than {self._limits.max_rows:,} rows.")
        for place, column in enumerate(batch.columns):
            self._n_null[place] += column.null_count
        self._group.append(batch)
        self._group_rows += batch.num_rows
        if self._group_rows >= self._most:
            self._flush()

    def finish(self) -> tuple[int, tuple[ColumnInfo, ...]]:
        """Close the file; return its number of rows and its columns."""
        if not self._n_rows:
            raise Unusable("The table has no rows.")
        self._flush()
        self._writer.close()
        columns = tuple(
            ColumnInfo(each.name, str(each.type), n_null)
            for each, n_null in zip(self._schema, self._n_null, strict=True)
        )
        return self._n_rows, columns

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._group_rows:
            return
        table = pa.Table.from_batches(self._group).unify_dictionaries().combine_chunks()
        self._writer.write_table(table, row_group_size=max(self._group_rows, 1))
        self._group, self._group_rows = [], 0


def _encoded(schema: Any) -> Any:
    import pyarrow as pa

    code = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([each.with_type(code) if is_text(each.type) else each for each in schema])

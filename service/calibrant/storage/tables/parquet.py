"""Parquet files of strangers, a batch at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calibrant.errors import BadRequest, TooLarge
from calibrant.storage.tables.columns import (
    batch_rows,
    check_names,
    check_size,
    is_text,
    settled_batches,
    settled_schema,
)
from calibrant.storage.tables.damage import damaged, guarded
from calibrant.storage.tables.shape import Limits

_BUFFERS = 32 * 2**20  # of all columns together
_FOOTER = 64 * 2**20  # a footer grows to many times its size in memory


@contextlib.contextmanager
def read_parquet(path: Path, limits: Limits) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Give the canonical schema and record batches of a Parquet file.

    Raises
    ------
    BadRequest
        If the file is damaged.
    Unusable
        If a column has a type or a value that is not read.
    TooLarge
        By its declared rows and types before decoding, and by what it decodes to.
    """
    with damaged():
        _check_footer(path)
        plain = _open(path, (), _BUFFERS)
        check_names(plain.schema_arrow.names, limits)
        schema = settled_schema(plain.schema_arrow, limits)
        check_size(plain.metadata.num_rows, schema, limits)
        _check_groups(plain.metadata, limits)
        plain.close()
    texts = [each.name for each in schema if is_text(each.type)]
    with damaged():
        file = _open(path, texts, buffer_bytes(len(schema)))
    with contextlib.closing(file):
        batches = file.iter_batches(batch_size=batch_rows(schema), use_threads=False)
        yield schema, guarded(settled_batches(batches, schema, limits))


def buffer_bytes(n_columns: int) -> int:
    """Return how much to read ahead in each of the columns that are read together."""
    return max(2**14, min(2**18, _BUFFERS // max(1, n_columns)))


def _open(path: Path, texts: Any, buffer: int) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        path,
        pre_buffer=False,
        buffer_size=buffer,
        read_dictionary=texts,
        coerce_int96_timestamp_unit="us",
        thrift_string_size_limit=_FOOTER,
        thrift_container_size_limit=_FOOTER // 16,
        arrow_extensions_enabled=False,
    )


def _check_footer(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        tail = file.read(8)
    if size < 12 or tail[4:] != b"PAR1":
        raise BadRequest("The Parquet file ends early: it has no footer.")
    if int.from_bytes(tail[:4], "little") > _FOOTER:
        raise TooLarge(f"The footer of the Parquet file is larger than {_FOOTER:,} bytes.")


def _check_groups(metadata: Any, limits: Limits) -> None:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    if any(group.num_rows < 0 or group.total_byte_size < 0 for group in groups):
        raise BadRequest("The Parquet file declares a negative size.")
    if sum(group.total_byte_size for group in groups) > limits.max_bytes:
        raise TooLarge(f"The Parquet file holds more than {limits.max_bytes:,} bytes.")
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        raise BadRequest("The row groups of the Parquet file do not add up to its rows.")

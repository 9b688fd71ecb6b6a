"""A table with columns appended, in the format that its name asks for."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import UnsupportedMedia, Unusable
from calibrant.storage.tables.columns import batch_rows, check_names
from calibrant.storage.tables.faults import shown
from calibrant.storage.tables.shape import Limits
from calibrant.storage.tables.sniffing import Sniffed, format_of
from calibrant.storage.tables.source import TableSource

Pieces = Iterator[NDArray[Any]]


def write_columns(
    path_out: Path, source: TableSource | Path, appended: Mapping[str, Pieces]
) -> None:
    """Write all columns of a table, and new ones after them.

    Parameters
    ----------
    path_out : Path
        Its suffix says the format: `.csv`, `.tsv`, `.ndjson`, `.jsonl`, `.parquet`, `.arrow`,
        `.arrows` (a stream), `.npz`, with `.gz` or `.zst` after it to compress. It appears when it
        is complete; a file of that name is replaced.
    source : TableSource or Path
        A table that `canonical` wrote.
    appended : mapping of name to iterator of arrays
        The new columns in pieces of any lengths that together have one entry per row. Pieces of
        shape (n, k) become the columns `name_0` to `name_{k-1}` (one array `name` in NPZ). A table
        without new columns is written as it is, in another format.

    Raises
    ------
    UnsupportedMedia
        If the suffix names no format that is written.
    Unusable
        If a name is taken, or a column has fewer or more rows than the table.

    Notes
    -----
    Missing values are empty in CSV and null in the others, except that NPZ has none: there they
    are NaN, NaT or empty text. NDJSON has no NaN; it becomes null.
    """
    found = format_of(path_out.name)
    if found is None or found.format == "json":
        raise UnsupportedMedia(
            "Tables are written as CSV, NDJSON, Parquet, Arrow or NPZ: say so in the file name."
        )
    path = source if isinstance(source, Path) else source.path
    write = _write_npz if found.format == "npz" else _write_batches
    part = path_out.with_name(path_out.name + ".part")
    try:
        with contextlib.closing(_open(path)) as file, _sink(part, found) as sink:
            columns = {name: _Feed(name, pieces) for name, pieces in appended.items()}
            new = [name for name, feed in columns.items() for name in feed.names(name)]
            check_names([*file.schema_arrow.names, *new], Limits(max_columns=2**31))
            write(sink, file, columns, _suffix(path_out))
            for feed in columns.values():
                feed.finish()
        part.replace(path_out)
    finally:
        part.unlink(missing_ok=True)


def _open(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, pre_buffer=False, buffer_size=2**16)


def _suffix(path: Path) -> str:
    last = path.suffix.lower()
    return Path(path.stem).suffix.lower() if last in {".gz", ".zst", ".zstd"} else last


@contextlib.contextmanager
def _sink(path: Path, found: Sniffed) -> Iterator[Any]:
    import pyarrow as pa

    with path.open("wb") as file:
        if found.coding is None:
            yield file
            return
        with pa.CompressedOutputStream(pa.PythonFile(file, "w"), found.coding) as stream:
            yield stream


class _Feed:
    """A new column, given in other pieces than it comes in."""

    def __init__(self, name: str, pieces: Pieces) -> None:
        self._name, self._pieces = name, pieces
        self._held: NDArray[Any] = next(pieces, np.empty(0))
        self.dtype = self._held.dtype
        self.width = 0 if self._held.ndim == 1 else self._held.shape[1]

    def names(self, name: str) -> list[str]:
        return [f"{name}_{place}" for place in range(self.width)] if self.width else [name]

    def take(self, rows: int) -> NDArray[Any]:
        """Return the next rows."""
        parts, count = [self._held], len(self._held)
        while count < rows:
            piece = next(self._pieces, None)
            if piece is None:
                raise self._wrong("fewer")
            parts.append(piece)
            count += len(piece)
        joined = np.concatenate(parts) if len(parts) > 1 else self._held
        self._held = joined[rows:]
        return joined[:rows]

    def columns(self, rows: int) -> list[NDArray[Any]]:
        """Return the next rows, column by column."""
        piece = self.take(rows)
        if not self.width:
            return [piece]
        return [np.ascontiguousarray(piece[:, place]) for place in range(self.width)]

    def finish(self) -> None:
        """Refuse rows that are left over."""
        if len(self._held) or any(len(piece) for piece in self._pieces):
            raise self._wrong("more")

    def _wrong(self, how: str) -> Unusable:
        return Unusable(f"Column `{shown(self._name)}` has {how} rows than the table.")


def _write_batches(sink: Any, file: Any, appended: Mapping[str, _Feed], suffix: str) -> None:
    schema, batches = _joined(file, appended)
    with _BATCH_WRITERS[suffix](sink, schema) as writer:
        for batch in batches:
            writer.write(batch)


def _joined(file: Any, appended: Mapping[str, _Feed]) -> tuple[Any, Iterator[Any]]:
    import pyarrow as pa

    fields = list(file.schema_arrow.remove_metadata())
    for name, feed in appended.items():
        kind = pa.from_numpy_dtype(feed.dtype) if feed.dtype.kind in "biufM" else pa.string()
        fields += [pa.field(each, kind) for each in feed.names(name)]
    schema = pa.schema(fields)

    def batches() -> Iterator[Any]:
        rows = batch_rows(schema)
        for batch in file.iter_batches(batch_size=rows, use_threads=False):
            columns = list(batch.columns)
            for feed in appended.values():
                columns += feed.columns(len(batch))
            arrays = [
                pa.array(column, each.type) if isinstance(column, np.ndarray) else column
                for column, each in zip(columns, schema, strict=True)
            ]
            yield pa.record_batch(arrays, schema=schema)

    return schema, batches()


def _csv(sink: Any, schema: Any, *, delimiter: str = ",") -> Any:
    import pyarrow.csv

    options = pyarrow.csv.WriteOptions(delimiter=delimiter)
    return pyarrow.csv.CSVWriter(sink, schema, write_options=options)


def _parquet(sink: Any, schema: Any) -> Any:
    import pyarrow.parquet as pq

    return _ParquetRows(pq.ParquetWriter(sink, schema, compression="zstd"))


class _ParquetRows:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def __enter__(self) -> _ParquetRows:
        return self

    def __exit__(self, *_error: object) -> None:
        self._writer.close()

    def write(self, batch: Any) -> None:
        self._writer.write_batch(batch)


def _arrow_file(sink: Any, schema: Any) -> Any:
    import pyarrow as pa

    return pa.ipc.new_file(sink, schema)


def _arrow_stream(sink: Any, schema: Any) -> Any:
    import pyarrow as pa

    return pa.ipc.new_stream(sink, schema)


class _NdjsonRows:
    def __init__(self, sink: Any, schema: Any) -> None:
        self._sink, self._names = sink, schema.names

    def __enter__(self) -> _NdjsonRows:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def write(self, batch: Any) -> None:
        import orjson

        columns = map(_json_values, batch.columns)
        rows = (dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True))
        lines = [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows]
        self._sink.write(b"".join(lines))


def _json_values(column: Any) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    if column.null_count or not pa.types.is_primitive(column.type):
        values: list[Any] = column.to_pylist()
        return values
    # a plain array is ten times as fast as one object per value
    plain: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return plain


_BATCH_WRITERS: dict[str, Any] = {
    ".csv": _csv,
    ".txt": _csv,
    ".tsv": lambda sink, schema: _csv(sink, schema, delimiter="\t"),
    ".ndjson": _NdjsonRows,
    ".jsonl": _NdjsonRows,
    ".parquet": _parquet,
    ".pq": _parquet,
    ".arrow": _arrow_file,
    ".feather": _arrow_file,
    ".ipc": _arrow_file,
    ".arrows": _arrow_stream,
}


def _write_npz(sink: Any, file: Any, appended: Mapping[str, _Feed], _suffix: str) -> None:
    """Write one array after the other: a column is read from the table when its turn comes."""
    n_rows = file.metadata.num_rows
    with zipfile.ZipFile(_Forward(sink), "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name in file.schema_arrow.names:
            dtype = _npz_dtype(file, name)
            with _member(archive, name, dtype, (n_rows,)) as member:
                for column in _column_pieces(file, name):
                    member.write(_plain(column, dtype).tobytes())
        for name, feed in appended.items():
            dtype = _without_objects(feed.dtype, name)
            shape = (n_rows, feed.width) if feed.width else (n_rows,)
            with _member(archive, name, dtype, shape) as member:
                for start in range(0, n_rows, 65_536):
                    member.write(feed.take(min(65_536, n_rows - start)).astype(dtype).tobytes())


class _Forward(io.RawIOBase):
    """A sink that cannot go back, so that the archive is written in one go."""

    def __init__(self, sink: Any) -> None:
        super().__init__()
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sink.write(bytes(data))
        return len(data)


@contextlib.contextmanager
def _member(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Iterator[Any]:
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        yield member


def _without_objects(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    if dtype.hasobject:
        raise Unusable(f"Column `{shown(name)}` holds Python objects, which NPZ cannot keep.")
    return dtype


def _column_pieces(file: Any, name: str) -> Iterator[Any]:
    for batch in file.iter_batches(batch_size=65_536, columns=[name], use_threads=False):
        yield batch.column(0)


def _npz_dtype(file: Any, name: str) -> np.dtype[Any]:
    """Return the array type of a column; numbers with gaps become floats."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = file.schema_arrow.field(name).type
    if pa.types.is_timestamp(kind):
        return np.dtype("M8[us]")
    if pa.types.is_string(kind):
        longest = max(
            pc.max(pc.utf8_length(each)).as_py() or 1 for each in _column_pieces(file, name)
        )
        return np.dtype(f"U{max(1, longest)}")
    if pa.types.is_null(kind):
        return np.dtype(np.float64)
    gaps = any(each.null_count for each in _column_pieces(file, name))
    dtype = np.dtype(kind.to_pandas_dtype())
    return np.dtype(np.float64) if gaps and dtype.kind in "biu" else dtype


def _plain(column: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if dtype.kind == "U":
        return np.array(pc.fill_null(column, "").to_pylist(), dtype)
    if dtype.kind == "M":
        return np.asarray(column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False), dtype)
    if dtype.kind == "f" and pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype)

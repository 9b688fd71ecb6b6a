"""NPZ files of strangers: zip directory and array headers first, then rows in pieces, no pickles."""

from __future__ import annotations

import contextlib
import tempfile
import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadRequest, Detail, TooLarge, Unusable
from calibrant.storage.tables.columns import (
    batch_rows,
    check_names,
    check_size,
    not_utf8,
    settled_batches,
    settled_schema,
)
from calibrant.storage.tables.damage import damaged, guarded
from calibrant.storage.tables.faults import Faults, shown
from calibrant.storage.tables.shape import Limits

_MAX_HEADER = 10_000
_PIECE = 2**20
_BAD_HEADER = (
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
    OverflowError,
)


@dataclass(frozen=True, slots=True)
class _Member:
    """One array of the file: its name, header, and where its data begins."""

    name: str
    entry: zipfile.ZipInfo
    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype[Any]
    begin: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns: a two-dimensional array has one per place in a row."""
        if len(self.shape) == 1:
            return (self.name,)
        return tuple(f"{self.name}_{place}" for place in range(self.shape[1]))


@contextlib.contextmanager
def read_npz(path: Path, limits: Limits, folder: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Give the canonical schema and record batches of an NPZ file.

    A two-dimensional array `name` becomes the columns `name_0` to `name_{k-1}`. An array that is
    stored by columns and not by rows is copied to `folder` while it is read.

    Raises
    ------
    BadRequest
        If the file is damaged or its arrays differ in length.
    Unusable
        If an array is not numbers, text, booleans or dates with one or two dimensions.
    TooLarge
        By its headers, before any data is read.
    """
    import pyarrow as pa

    with damaged():
        archive = zipfile.ZipFile(path)
    with archive, contextlib.ExitStack() as stack:
        members = _members(archive, limits)
        names = [name for member in members for name in member.columns]
        check_names(names, limits)
        found = pa.schema(
            [pa.field(name, _arrow_type(each)) for each in members for name in each.columns]
        )
        schema = settled_schema(found, limits)
        n_rows = members[0].shape[0]
        check_size(n_rows, schema, limits)
        rows = _rows_at_a_time(members, schema)
        with tempfile.TemporaryDirectory(dir=folder, prefix="npz-") as spill:
            readers = [_reader(archive, each, Path(spill), stack) for each in members]
            batches = _batches(readers, names, n_rows, rows)
            yield schema, guarded(settled_batches(batches, schema, limits))


def _members(archive: zipfile.ZipFile, limits: Limits) -> list[_Member]:
    entries = archive.infolist()
    if not entries:
        raise BadRequest("The NPZ file holds no arrays.")
    if len(entries) > limits.max_columns:
        raise TooLarge(
            f"The NPZ file holds {len(entries):,} arrays; at most {limits.max_columns:,} go."
        )
    if sum(entry.file_size for entry in entries) > limits.max_bytes:
        raise TooLarge(f"The decoded table would take more than {limits.max_bytes:,} bytes.")
    members = [_header(archive, entry) for entry in entries]
    width = sum(len(each.shape) == 1 or each.shape[1] for each in members)
    if width > limits.max_columns:
        raise TooLarge(f"The table has {width:,} columns; at most {limits.max_columns:,} go.")
    lengths = {each.shape[0] for each in members}
    if len(lengths) > 1:
        odd = next(each.name for each in members if each.shape[0] != members[0].shape[0])
        raise BadRequest(
            f"Arrays `{shown(members[0].name)}` and `{shown(odd)}` differ in length; all arrays "
            "of a table have one entry per row."
        )
    return members


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _Member:
    name = entry.filename.removesuffix(".npy")
    if name == entry.filename or entry.flag_bits & 0x1:
        raise BadRequest(f"Member `{shown(name)}` of the NPZ file is not a plain NPY array.")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise BadRequest(f"Member `{shown(name)}` of the NPZ file is not stored or deflated.")
    with damaged(), archive.open(entry) as file:
        shape, by_columns, dtype = _read_header(file, name)
        begin = file.tell()
    _check_array(name, shape, dtype)
    cells = int(np.prod(shape, dtype=object))
    if begin + cells * dtype.itemsize != entry.file_size:
        raise BadRequest(f"Array `{shown(name)}` is not as long as its header says.")
    return _Member(name, entry, shape, by_columns and len(shape) == 2, dtype, begin)


def _read_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    form = np.lib.format
    try:
        version = form.read_magic(file)
        read = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}[version]
        return read(file, max_header_size=_MAX_HEADER)
    except KeyError:
        reason = "has a header version that is not read"
    except _BAD_HEADER:
        reason = "has a damaged header"
    raise BadRequest(f"Array `{shown(name)}` {reason}.")


def _check_array(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    reason = None
    if dtype.hasobject:
        reason = "holds Python objects, which are never read"
    elif dtype.fields or dtype.subdtype or dtype.kind not in "biufUSM" or not _has_size(dtype):
        reason = "holds neither numbers, text, booleans nor dates"
    elif dtype.kind == "f" and dtype.itemsize > 8:
        reason = "holds floats of more than 64 bits"
    elif len(shape) not in {1, 2}:
        reason = f"has {len(shape)} dimensions; one or two are read"
    elif min(shape) < 0:
        reason = "declares a negative length"
    elif len(shape) == 2 and shape[1] == 0:
        reason = "has no columns"
    if reason:
        raise Unusable(f"Array `{shown(name)}` {reason}.", [Detail(shown(name), f"It {reason}.")])


def _has_size(dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "M" and np.datetime_data(dtype)[0] == "generic":
        return False
    return dtype.itemsize > 0


def _arrow_type(member: _Member) -> Any:
    import pyarrow as pa

    if member.dtype.kind in "US":
        return pa.string()
    if member.dtype.kind == "M":
        return pa.timestamp("us")
    return pa.from_numpy_dtype(member.dtype.newbyteorder("="))


def _rows_at_a_time(members: list[_Member], schema: Any) -> int:
    widest = max(each.dtype.itemsize for each in members)
    return max(1, min(batch_rows(schema), 16 * 2**20 // widest))


class _ByRows:
    """Gives an array from the zip member as it is decompressed; it only goes forward."""

    def __init__(self, file: IO[bytes], member: _Member) -> None:
        self._file, self._member = file, member
        self._width = 1 if len(member.shape) == 1 else member.shape[1]
        file.read(member.begin)

    def columns(self, _start: int, rows: int) -> list[NDArray[Any]]:
        dtype = self._member.dtype
        wanted = rows * self._width * dtype.itemsize
        data = self._file.read(wanted)
        if len(data) != wanted:
            raise BadRequest(f"Array `{shown(self._member.name)}` ends early.")
        table = np.frombuffer(data, dtype).reshape(rows, self._width)
        return [np.ascontiguousarray(table[:, place]) for place in range(self._width)]

    def finish(self) -> None:
        self._file.read(1)  # the checksum is compared at the end of the member


class _ByColumns:
    """Gives an array that is stored column by column, from a plain copy of it."""

    def __init__(self, file: IO[bytes], member: _Member, copy: Path) -> None:
        file.read(member.begin)
        with copy.open("wb") as spill:
            while piece := file.read(_PIECE):
                spill.write(piece)
        n_rows, width = member.shape
        self._table: NDArray[Any] = (
            np.memmap(copy, member.dtype, mode="r", shape=(n_rows, width), order="F")
            if n_rows
            else np.empty((n_rows, width), member.dtype)
        )

    def columns(self, start: int, rows: int) -> list[NDArray[Any]]:
        piece = self._table[start : start + rows]
        return [np.array(piece[:, place]) for place in range(piece.shape[1])]

    def finish(self) -> None:
        pass  # the checksum was compared when the copy was made


def _reader(
    archive: zipfile.ZipFile, member: _Member, spill: Path, stack: contextlib.ExitStack
) -> _ByRows | _ByColumns:
    with damaged():
        file = stack.enter_context(archive.open(member.entry))
        if member.by_columns:
            return _ByColumns(file, member, spill / f"{member.entry.header_offset}")
        return _ByRows(file, member)


def _batches(
    readers: list[_ByRows | _ByColumns], names: list[str], n_rows: int, rows: int
) -> Iterator[Any]:
    import pyarrow as pa

    for start in range(0, n_rows, rows):
        count = min(rows, n_rows - start)
        arrays: list[Any] = []
        for reader in readers:
            for column in reader.columns(start, count):
                arrays.append(_arrow_array(column, names[len(arrays)], start))
        yield pa.record_batch(arrays, names=names)
    for reader in readers:
        reader.finish()


def _arrow_array(column: NDArray[Any], name: str, start: int) -> Any:
    import pyarrow as pa

    column = column.astype(column.dtype.newbyteorder("="), copy=False)
    if column.dtype.kind == "M":
        return pa.array(_microseconds(column, name, start))
    if column.dtype.kind == "U":
        _check_letters(column, name, start)
        return pa.array(column.tolist(), pa.string())
    if column.dtype.kind == "S":
        return _decoded(column, name, start)
    return pa.array(column)


def _microseconds(column: NDArray[Any], name: str, start: int) -> NDArray[Any]:
    exact = column.astype("M8[us]")
    finer = np.datetime_data(column.dtype)[0] in {"ns", "ps", "fs", "as"}
    changed = np.asarray(exact.astype(column.dtype) != column) & ~np.isnat(column)
    if not finer and changed.any():
        faults = Faults(so_far=True)
        faults.add(name, "holds times that do not fit", changed, start)
        raise faults.error(Unusable)
    return exact


def _check_letters(column: NDArray[Any], name: str, start: int) -> None:
    letters = np.ascontiguousarray(column).view(np.uint32).reshape(len(column), -1)
    bad = (letters > 0x10FFFF) | ((letters >= 0xD800) & (letters <= 0xDFFF))
    if bad.any():
        faults = Faults(so_far=True)
        faults.add(name, "holds what is not a character", np.any(bad, axis=1), start)
        raise faults.error(Unusable)


def _decoded(column: NDArray[Any], name: str, start: int) -> Any:
    import pyarrow as pa

    raw = pa.array(column.tolist(), pa.binary())
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid as error:
        faults = Faults(so_far=True)
        faults.add(name, "is not UTF-8", not_utf8(raw), start)
        raise faults.error(Unusable) from error

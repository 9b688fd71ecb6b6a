"""Arrow IPC files and streams of strangers: measured message by message, then decoded.

A compressed record batch of a few kilobytes may decode to gigabytes, and Arrow decodes it whole.
So a first pass walks over the messages and adds up what their buffers will take, from the metadata
(a flatbuffer, read here with bounds checked) and the length that precedes each compressed buffer.
A file is read as the stream that it contains, so what its footer points to does not matter.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from calibrant.errors import BadRequest, TooLarge
from calibrant.storage.tables.columns import check_size, settled_batches, settled_schema
from calibrant.storage.tables.damage import damaged, guarded
from calibrant.storage.tables.shape import Limits

_MAGIC = b"ARROW1"
_CONTINUES = 0xFFFFFFFF
_MAX_METADATA = 32 * 2**20
_KEPT = 16  # batches between giving pages back
_DICTIONARY, _RECORDS = 2, 3  # kinds of message


@contextlib.contextmanager
def read_arrow(path: Path, limits: Limits) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Give the canonical schema and record batches of an Arrow file or stream.

    Raises
    ------
    BadRequest
        If the file is damaged.
    Unusable
        If a column has a type or a value that is not read.
    TooLarge
        By what the messages declare, before decoding, and by what they decode to.
    """
    import pyarrow as pa

    with damaged(), path.open("rb") as file:
        start = _stream_start(file)
        n_rows = _measure(file, start, limits)
    mapped = _map(path)
    with damaged():
        source = pa.BufferReader(pa.py_buffer(mapped))
        source.seek(start)
        stream = pa.ipc.open_stream(source)
        schema = settled_schema(stream.schema, limits)
    check_size(n_rows, schema, limits)
    yield schema, _dropping(mapped, guarded(settled_batches(stream, schema, limits)))


def _map(path: Path) -> mmap.mmap:
    # what is not compressed is not copied either: rows stay in the file until they are needed
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _dropping(mapped: mmap.mmap, batches: Iterator[Any]) -> Iterator[Any]:
    """Give the same batches, and now and then the pages of the file back to the system."""
    advice = getattr(mmap, "MADV_DONTNEED", None)  # not everywhere; without it they are counted
    for count, batch in enumerate(batches, start=1):
        yield batch
        if advice is not None and count % _KEPT == 0:
            mapped.madvise(advice)


def _stream_start(file: BinaryIO) -> int:
    if file.read(len(_MAGIC)) != _MAGIC:
        return 0
    file.seek(-len(_MAGIC), 2)
    if file.read() != _MAGIC:
        raise BadRequest("The Arrow file ends early: it has no footer.")
    return 8


def _measure(file: BinaryIO, start: int, limits: Limits) -> int:
    """Return the number of rows, having checked what every message will take."""
    size = file.seek(0, 2)
    file.seek(start)
    n_rows = total = 0
    while (message := _next_message(file, size)) is not None:
        body = file.tell()
        if message.kind in {_DICTIONARY, _RECORDS}:
            taken = sum(_buffer_bytes(file, body, message))
            total += taken
            n_rows += message.n_rows if message.kind == _RECORDS else 0
            _check_taken(taken, total, message, limits)
        file.seek(body + message.body)
    return n_rows


def _check_taken(taken: int, total: int, message: _Message, limits: Limits) -> None:
    # uncompressed buffers are used where they lie, compressed ones are decoded whole
    if message.compressed and taken > limits.max_block_bytes:
        raise TooLarge(
            f"One compressed record batch takes more than {limits.max_block_bytes:,} bytes; "
            "write smaller batches."
        )
    if total > limits.max_bytes:
        raise TooLarge(f"The decoded table would take more than {limits.max_bytes:,} bytes.")


@dataclass(frozen=True, slots=True)
class _Message:
    kind: int
    body: int
    n_rows: int = 0
    compressed: bool = False
    buffers: tuple[tuple[int, int], ...] = ()


def _next_message(file: BinaryIO, size: int) -> _Message | None:
    prefix = file.read(4)
    if len(prefix) < 4:
        raise BadRequest("The Arrow stream ends early: it has no end mark.")
    length = int.from_bytes(prefix, "little")
    if length == _CONTINUES:
        length = int.from_bytes(file.read(4), "little")
    if length == 0:
        return None
    if length > min(_MAX_METADATA, size - file.tell()):
        raise BadRequest("The Arrow stream is damaged or ends early.")
    message = _parse(file.read(length))
    if not 0 <= message.body <= size - file.tell():
        raise BadRequest("The Arrow stream is damaged or ends early.")
    return message


def _parse(metadata: bytes) -> _Message:
    try:
        root = _Table.root(metadata)
        kind, body = root.number(1, "B"), root.number(3, "q")
        if kind not in {_DICTIONARY, _RECORDS}:
            return _Message(kind, body)
        records = root.table(2)
        if kind == _DICTIONARY and records is not None:
            records = records.table(1)
        if records is None:
            raise BadRequest("An Arrow message has no header.")
        return _Message(
            kind,
            body,
            n_rows=records.number(0, "q"),
            compressed=records.table(3) is not None,
            buffers=records.pairs(2),
        )
    except struct.error as error:
        raise BadRequest("The metadata of an Arrow message is damaged.") from error


def _buffer_bytes(file: BinaryIO, body: int, message: _Message) -> Iterator[int]:
    if message.n_rows < 0:
        raise BadRequest("An Arrow message declares a negative number of rows.")
    for offset, length in message.buffers:
        if min(offset, length) < 0 or offset + length > message.body:
            raise BadRequest("An Arrow message points outside itself.")
        plain = length
        if message.compressed and length >= 8:
            file.seek(body + offset)
            (declared,) = struct.unpack("<q", file.read(8))
            if declared < -1:
                raise BadRequest("An Arrow message declares a negative size.")
            plain = length if declared == -1 else declared
        yield plain


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a flatbuffer; every access is checked against the bytes by `struct`."""

    data: bytes
    place: int

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, _unpack("I", data, 0))

    def number(self, slot: int, form: str) -> int:
        """Return a scalar; 0 where it is left out, as the format says."""
        place = self._field(slot)
        return _unpack(form, self.data, place) if place else 0

    def table(self, slot: int) -> _Table | None:
        place = self._field(slot)
        return _Table(self.data, place + _unpack("I", self.data, place)) if place else None

    def pairs(self, slot: int) -> tuple[tuple[int, int], ...]:
        """Return a vector of structs of two 64-bit integers."""
        place = self._field(slot)
        if not place:
            return ()
        vector = place + _unpack("I", self.data, place)
        count = _unpack("I", self.data, vector)
        if count > len(self.data) // 16:
            raise BadRequest("The metadata of an Arrow message is damaged.")
        numbers = struct.unpack_from(f"<{2 * count}q", self.data, vector + 4)
        return tuple(zip(numbers[::2], numbers[1::2], strict=True))

    def _field(self, slot: int) -> int:
        vtable = self.place - _unpack("i", self.data, self.place)
        if vtable < 0:
            raise BadRequest("The metadata of an Arrow message is damaged.")
        entry = 4 + 2 * slot
        if entry + 2 > _unpack("H", self.data, vtable):
            return 0
        offset = _unpack("H", self.data, vtable + entry)
        return self.place + offset if offset else 0


def _unpack(form: str, data: bytes, place: int) -> int:
    (value,) = struct.unpack_from("<" + form, data, place)
    return int(value)

"""Bytes of an upload: hashed, and decompressed with a count."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from calibrant.errors import BadRequest, TooLarge
from calibrant.storage.tables.shape import Coding

_PIECE = 2**20
_MAGIC: dict[bytes, Coding] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def coding_of(head: bytes) -> Coding | None:
    """Return the content coding that the first bytes of a file announce."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Counted(io.RawIOBase):
    """A stream that ends in `TooLarge` once it has given more than `limit` bytes.

    Damage of the compressed data becomes `BadRequest`.
    """

    def __init__(self, source: Any, limit: int) -> None:
        super().__init__()
        self._source, self._limit, self._given = source, limit, 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the source."""
        piece = self._next(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _next(self, size: int) -> bytes:
        try:
            piece: bytes = self._source.read(size)
        except OSError as error:
            raise BadRequest("The compressed data is damaged or ends early.") from error
        self._given += len(piece)
        if self._given > self._limit:
            raise TooLarge(f"The table is larger than {self._limit:,} bytes once decompressed.")
        return piece

    def close(self) -> None:
        """Close the source too."""
        if not self.closed:
            self._source.close()
        super().close()


def open_counted(path: Path, coding: Coding | None, limit: int) -> BinaryIO:
    """Open a file for reading from its beginning, decompressed and counted.

    Raises
    ------
    TooLarge
        While reading, past `limit` bytes.
    BadRequest
        While reading, where the compressed data is damaged or ends early.
    """
    if coding is None:
        source: Any = path.open("rb", buffering=0)
    else:
        import pyarrow as pa

        source = pa.input_stream(str(path), compression=coding)
    return io.BufferedReader(Counted(source, limit), _PIECE)


@contextlib.contextmanager
def plain_file(path: Path, coding: Coding | None, limit: int, folder: Path) -> Iterator[Path]:
    """Give the decompressed file, for formats that are read from both ends.

    A compressed one is decompressed into `folder` and removed afterwards.
    """
    if coding is None:
        yield path
        return
    with tempfile.NamedTemporaryFile(dir=folder, prefix="plain-") as spill:
        with open_counted(path, coding, limit) as source:
            while piece := source.read(_PIECE):
                spill.write(piece)
        spill.flush()
        yield Path(spill.name)

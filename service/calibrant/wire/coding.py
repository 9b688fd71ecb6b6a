"""Content codings, decompressed with a count: a bomb is cut off at the limit."""

from __future__ import annotations

import zlib
from typing import Protocol

import zstandard

from calibrant.errors import BadRequest, TooLarge, UnsupportedMedia

CODINGS = ("gzip", "zstd")
_WINDOW = 8 * 2**20  # RFC 9659: the largest window of the content coding zstd
_SLICE = 1024  # zstd expands at most some 30,000 times, so one slice stays below 32 MiB


class Decoder(Protocol):
    """Turns pieces of a coded body into pieces of the body."""

    def feed(self, piece: bytes) -> bytes:
        """Decode the next piece."""

    def finish(self) -> None:
        """Raise `BadRequest` if the body ended in the middle."""


def coding_decoder(coding: str, limit: int, *, remedy: str = "") -> Decoder:
    """Return a decoder that gives at most `limit` bytes.

    Raises
    ------
    UnsupportedMedia
        If nobody here reads the coding.
    """
    name = coding.strip().lower()
    if name in {"", "identity"}:
        return _Identity(limit, remedy)
    if name in {"gzip", "x-gzip"}:
        return _Gzip(limit, remedy)
    if name == "zstd":
        return _Zstd(limit, remedy)
    raise UnsupportedMedia("`Content-Encoding` must be `gzip` or `zstd`, and only one of them.")


def decompress(body: bytes, coding: str, limit: int, *, remedy: str = "") -> bytes:
    """Decode a whole body.

    Raises
    ------
    TooLarge
        If it is longer than `limit` once decoded.
    BadRequest
        If it is damaged or ends early.
    """
    decoder = coding_decoder(coding, limit, remedy=remedy)
    decoded = decoder.feed(body)
    decoder.finish()
    return decoded


def too_large(limit: int, remedy: str = "") -> TooLarge:
    """Say that a body is over its limit, and what to do instead."""
    return TooLarge(f"The body is larger than {limit:,} bytes.{' ' + remedy if remedy else ''}")


class _Counted:
    def __init__(self, limit: int, remedy: str) -> None:
        self._limit, self._left, self._remedy = limit, limit, remedy

    def _count(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            raise too_large(self._limit, self._remedy)
        return piece


class _Identity(_Counted):
    def feed(self, piece: bytes) -> bytes:
        return self._count(piece)

    def finish(self) -> None:
        return


class _Gzip(_Counted):
    def __init__(self, limit: int, remedy: str) -> None:
        super().__init__(limit, remedy)
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, piece: bytes) -> bytes:
        parts = []
        try:
            while piece:
                if self._member.eof:  # a body may be several gzip members in a row
                    self._member = zlib.decompressobj(wbits=31)
                # one byte above the limit is enough to see that it is passed
                part = self._member.decompress(piece, self._left + 1)
                parts.append(self._count(part))
                piece = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error:
            raise _damaged("gzip") from None
        return b"".join(parts)

    def finish(self) -> None:
        if not self._member.eof:
            raise _damaged("gzip")


class _Zstd(_Counted):
    def __init__(self, limit: int, remedy: str) -> None:
        super().__init__(limit, remedy)
        self._format = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._frame = self._format.decompressobj()

    def feed(self, piece: bytes) -> bytes:
        parts = []
        try:
            for start in range(0, len(piece), _SLICE):
                rest = piece[start : start + _SLICE]
                while rest:
                    if self._frame.eof:
                        self._frame = self._format.decompressobj()
                    parts.append(self._count(self._frame.decompress(rest)))
                    rest = self._frame.unused_data
        except zstandard.ZstdError:
            raise _damaged("zstd") from None
        return b"".join(parts)

    def finish(self) -> None:
        if not self._frame.eof:
            raise _damaged("zstd")


def _damaged(coding: str) -> BadRequest:
    return BadRequest(f"The {coding} body is damaged or ends early.")

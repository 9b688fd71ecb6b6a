"""What crosses the pipes between worker, zygote and child: length-prefixed JSON, never pickle."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import msgspec

MAX_FRAME = 256 * 2**20
_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 16


class FrameError(Exception):
    """The other side sent something that is not a frame."""


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The zygote has loaded what it preloads and takes requests."""


class Start(msgspec.Struct, tag="start", frozen=True):
    """Fork a child for this run; the file descriptor that comes along is its line to the worker."""

    run: int


class Kill(msgspec.Struct, tag="kill", frozen=True):
    """Kill the child of this run and whatever it started."""

    run: int


class Exited(msgspec.Struct, tag="exited", frozen=True):
    """The child of this run is gone: exit status, or minus the signal that ended it."""

    run: int
    status: int


class Request(msgspec.Struct, tag="request", frozen=True):
    """What a child is to compute."""

    operation: str
    payload: str


class Progress(msgspec.Struct, tag="progress", frozen=True):
    """How far a computation is: `done` of `of`, and what it does."""

    done: int
    of: int
    text: str = ""


class Reply(msgspec.Struct, tag="reply", frozen=True):
    """The result of a computation."""

    text: str


class Finding(msgspec.Struct, frozen=True):
    """One entry of `errors` of a failure."""

    pointer: str
    message: str


class Failure(msgspec.Struct, tag="failure", frozen=True):
    """An expected failure, as data: never tried again."""

    code: str
    detail: str
    errors: tuple[Finding, ...] = ()


class Crash(msgspec.Struct, tag="crash", frozen=True):
    """An accident: only its kind travels, the trace is in the log of the worker."""

    reason: str
    code: str = "crashed"


Frame = Ready | Start | Kill | Exited | Request | Progress | Reply | Failure | Crash

_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


def pack(frame: Frame) -> bytes:
    """Write a frame with its length in front.

    Raises
    ------
    FrameError
        If it is larger than 256 MiB or holds text that UTF-8 cannot write.
    """
    try:
        body = _encoder.encode(frame)
    except UnicodeEncodeError:
        raise FrameError("a frame holds text that is not Unicode") from None
    if len(body) > MAX_FRAME:
        raise FrameError(f"a frame of {len(body)} bytes is larger than {MAX_FRAME}")
    return _LENGTH.pack(len(body)) + body


class FrameBuffer:
    """Collect bytes as they come and give back the frames that are complete."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes; give every frame that is complete now."""
        self._bytes += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        """Cut the first frame off, if all of it is here."""
        if len(self._bytes) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._bytes)
        if length > MAX_FRAME:
            raise FrameError("a frame claims to be larger than the limit")
        end = _LENGTH.size + length
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[_LENGTH.size : end])
        del self._bytes[:end]
        try:
            return _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FrameError("a frame cannot be read") from error


def read_frame(line: socket.socket) -> Frame | None:
    """Wait for one frame; None if the other side closed the line."""
    buffer = FrameBuffer()
    while data := line.recv(_CHUNK):
        for frame in buffer.feed(data):
            return frame
    return None

"""Request bodies: received within a deadline, within a limit, decompressed with a count."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Generator, Mapping
from functools import partial
from types import CoroutineType, coroutine
from typing import Any, BinaryIO, TypeVar

from starlette.types import Receive

from calibrant.errors import BadRequest, CalibrantError, TooSlow
from calibrant.wire.coding import coding_decoder, decompress, too_large

T = TypeVar("T")

OFF_LOOP_BYTES = 256 * 1024  # above it, work on a body leaves the event loop
_SLOWEST = 64 * 1024  # bytes a second that an upload must keep up
JSON_REMEDY = "Upload the rows as a data set (`POST /v1/datasets`) and name it instead."


class Disconnected(CalibrantError):
    """The caller went away in the middle of its request; nobody reads this answer."""

    status, code, title = 499, "disconnected", "Disconnected"


async def read_body(
    receive: Receive,
    headers: Mapping[bytes, bytes],
    *,
    limit: int,
    deadline: float,
    remedy: str = "",
) -> bytes:
    """Return the whole body, decompressed.

    Raises
    ------
    TooLarge
        If it is longer than `limit`, said, sent or decompressed.
    TooSlow
        If it has not arrived after `deadline` seconds.
    BadRequest
        If its content coding is damaged.
    """
    declared = headers.get(b"content-length")
    if declared is not None:
        _check_declared(declared, limit, remedy)
    body, more = await _first(receive, deadline)
    if more:
        body = await _rest(receive, body, limit=limit, deadline=deadline, remedy=remedy)
    elif len(body) > limit:
        raise too_large(limit, remedy)
    coding = headers.get(b"content-encoding")
    if coding is None:
        return body
    if len(body) < OFF_LOOP_BYTES // 16:
        return decompress(body, coding.decode("latin-1"), limit, remedy=remedy)
    return await asyncio.to_thread(decompress, body, coding.decode("latin-1"), limit, remedy=remedy)


async def save_body(
    receive: Receive,
    headers: Mapping[bytes, bytes],
    target: BinaryIO,
    *,
    limit: int,
    deadline: float,
) -> str:
    """Write a body to a file, decompressed, and return the SHA-256 of what was written.

    A large upload may take its time, but not dawdle: `deadline` seconds, and one more for each
    64 KiB that have arrived.

    Raises
    ------
    TooLarge, TooSlow, BadRequest
        As `read_body`.
    """
    if b"content-length" in headers:
        _check_declared(headers[b"content-length"], limit, "")
    decoder = coding_decoder(headers.get(b"content-encoding", b"").decode("latin-1"), limit)
    digest = hashlib.sha256()

    def keep(piece: bytes) -> None:
        decoded = decoder.feed(piece)
        digest.update(decoded)
        target.write(decoded)

    clock = asyncio.get_running_loop().time
    more, received, start = True, 0, clock()
    while more:
        try:
            async with asyncio.timeout_at(start + deadline + received / _SLOWEST):
                piece, more = _piece(await receive())
        except TimeoutError:
            raise TooSlow("The body arrives too slowly.") from None
        received += len(piece)
        if piece:
            await asyncio.to_thread(keep, piece)
    decoder.finish()
    return digest.hexdigest()


async def _first(receive: Receive, deadline: float) -> tuple[bytes, bool]:
    """Return the first piece; a timer is set only where it has not arrived yet.

    A timer costs as much as the rest of reading, and a small body has nearly always arrived
    together with its head: so the first step of `receive` is made by hand.
    """
    waiting_for = receive()
    if not isinstance(waiting_for, CoroutineType):
        return _piece(await _in_time(waiting_for, deadline))
    try:
        waiting = waiting_for.send(None)
    except StopIteration as done:
        return _piece(done.value)
    return _piece(await _in_time(_resumed(waiting_for, waiting), deadline))


async def _rest(
    receive: Receive, first: bytes, *, limit: int, deadline: float, remedy: str
) -> bytes:
    """Collect what follows the first piece, up to a little more than the limit."""
    pieces, size, more = [first], len(first), True

    async def collect() -> None:
        nonlocal size, more
        while more and size <= limit:
            piece, more = _piece(await receive())
            pieces.append(piece)
            size += len(piece)

    await _in_time(collect(), deadline)
    if size > limit:
        raise too_large(limit, remedy)
    return b"".join(pieces)


async def _in_time(work: Awaitable[T], deadline: float) -> T:
    try:
        async with asyncio.timeout(deadline):
            return await work
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {deadline:g} seconds.") from None


@coroutine
def _resumed(begun: CoroutineType[Any, Any, T], waiting: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that already waits for something: what `await` does from there."""
    while True:
        try:
            yield waiting
        except BaseException as error:  # noqa: BLE001 - a cancellation belongs to the coroutine
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, None)
        try:
            waiting = step()
        except StopIteration as done:
            result: T = done.value
            return result


def _piece(message: Any) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise Disconnected("The caller went away.")
    return message.get("body", b""), message.get("more_body", False)


def _check_declared(declared: bytes, limit: int, remedy: str) -> None:
    if not declared.isdigit() or len(declared) > 18:
        raise BadRequest("`Content-Length` is not a number.")
    if int(declared) > limit:
        raise too_large(limit, remedy)

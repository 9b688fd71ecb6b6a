"""Answers as raw ASGI messages: one place for the headers that all of them carry."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Mapping
from typing import NamedTuple

from starlette.types import Send

from calibrant.errors import CalibrantError, TooBusy, Unauthorized
from calibrant.wire import problem

JSON = b"application/json"
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
PAGE_SECURITY = (
    *SECURITY,
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        b"base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_PREFIX = secrets.token_hex(6)
_COUNTER = itertools.count(1)


class Answer(NamedTuple):
    """A whole answer: small enough to be sent in one piece."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """Return the caller's request id if it is usable, else a fresh one."""
    given = headers.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return f"{_PREFIX}-{next(_COUNTER):x}"


async def send_answer(send: Send, answer: Answer, request: str) -> None:
    """Send an answer to a program: what browsers need to be told is left out of hot answers."""
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.content_type),
                (b"content-length", b"%d" % len(answer.body)),
                (b"x-request-id", request.encode("ascii")),
                *answer.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


def failure(error: CalibrantError, request: str, *, path: str) -> Answer:
    """Return the answer to a failure: a problem, or the inference protocol's form under `/v2`."""
    headers = tuple(failure_headers(error, path))
    if path == "/v2" or path.startswith("/v2/"):
        status = problem.inference_status(error.status)
        return Answer(problem.render_inference(error), status, JSON, headers)
    return Answer(
        problem.render(error, request), error.status, problem.MEDIA_TYPE.encode(), headers
    )


def failure_headers(error: CalibrantError, path: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that a failure calls for."""
    if isinstance(error, TooBusy):
        return [(b"retry-after", b"%d" % error.retry_after)]
    if isinstance(error, Unauthorized):
        # a browser can ask for the key itself; a program should not be asked by one
        page = path == "/" or path == "/ui" or path.startswith("/ui/")
        return [(b"www-authenticate", b'Basic realm="calibrant"' if page else b"Bearer")]
    return []

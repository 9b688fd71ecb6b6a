"""What route handlers ask for: the service, the context, the caller, a typed body, how long to wait."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request

from calibrant.api.body import JSON_REMEDY, OFF_LOOP_BYTES, read_body
from calibrant.api.hot import check_json
from calibrant.api.service import Service
from calibrant.errors import BadRequest
from calibrant.operations.context import Caller, Context
from calibrant.wire.decode import decode

T = TypeVar("T")
MAX_WAIT = 300.0
_WAIT = re.compile(r"wait\s*=\s*(\d{1,6})")


def service(request: Request) -> Service:
    """Return the state of this process."""
    found: Service = request.app.state.service
    return found


async def context(request: Request) -> Context:
    """Return the opened parts that operations work with."""
    return service(request).runtime.context


def needs(scope: str) -> Callable[[Request], Awaitable[Caller]]:
    """Return a dependency: the caller, who must hold `scope`."""

    async def caller(request: Request) -> Caller:
        found = await service(request).auth.caller(
            dict(request.headers.raw), request.state.request_id
        )
        found.need(scope)
        return found

    caller.scope = scope  # type: ignore[attr-defined]  # the OpenAPI document reads it
    return caller


def body(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """Return a dependency: the JSON body, decoded and checked as `kind`."""

    async def decoded(request: Request) -> T:
        headers = dict(request.headers.raw)
        check_json(headers)
        settings = service(request).settings
        content = await read_body(
            request.receive,
            headers,
            limit=settings.max_json_bytes,
            deadline=settings.receive_timeout,
            remedy=JSON_REMEDY,
        )
        request.state.body = content
        if len(content) <= OFF_LOOP_BYTES:
            return decode(kind, content)
        return await asyncio.to_thread(decode, kind, content)

    decoded.kind = kind  # type: ignore[attr-defined]  # the OpenAPI document reads it
    return decoded


@dataclass(frozen=True, slots=True)
class Preference:
    """How long a caller wants to wait (`Prefer`, RFC 7240).

    Attributes
    ----------
    respond_async : bool
        Whether a job is wanted instead of a result.
    wait : float or None, seconds
    """

    respond_async: bool
    wait: float | None

    def patience(self, default: float) -> float:
        """Return how many seconds to wait for a job."""
        if self.wait is not None:
            return self.wait
        return 0.0 if self.respond_async else default


async def preference(request: Request) -> Preference:
    """Return what the caller prefers.

    Raises
    ------
    BadRequest
        If `wait` is longer than five minutes.
    """
    text = ",".join(request.headers.getlist("prefer")).lower()
    found = _WAIT.search(text)
    wait = None if found is None else float(found.group(1))
    if wait is not None and wait > MAX_WAIT:
        raise BadRequest(f"`Prefer: wait` is at most {MAX_WAIT:g} seconds.")
    return Preference("respond-async" in text, wait)


ServiceDep = Annotated[Service, Depends(service)]
ContextDep = Annotated[Context, Depends(context)]
Reader = Annotated[Caller, Depends(needs("read"))]
Ingester = Annotated[Caller, Depends(needs("ingest"))]
Fitter = Annotated[Caller, Depends(needs("fit"))]
Promoter = Annotated[Caller, Depends(needs("promote"))]
Admin = Annotated[Caller, Depends(needs("admin"))]
Prefer = Annotated[Preference, Depends(preference)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]
Cursor = Annotated[
    str | None,
    Query(min_length=1, max_length=64, description="The `next` of the page before this one."),
]


def state_body(request: Request) -> bytes:
    """Return the bytes that `body` has read."""
    found: Any = request.state.body
    return bytes(found)

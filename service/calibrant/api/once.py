"""`Idempotency-Key`: the same POST sent twice happens once and is answered alike."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from fastapi import Request
from starlette.responses import Response

from calibrant.api.deps import service, state_body
from calibrant.errors import Conflict
from calibrant.operations.context import Caller

if TYPE_CHECKING:
    from calibrant.storage.metadata.idempotency import StoredResponse

_KEPT_HEADERS = ("content-type", "location")


async def once(
    request: Request,
    caller: Caller,
    work: Callable[[str | None], Awaitable[Response]],
    *,
    digest: str | None = None,
    keep: bool = True,
) -> Response:
    """Do `work`, or give the answer it was given before under the same key.

    `work` gets what names the order if it becomes a job: should this process die before the answer
    is kept, the next call finds the job of the first instead of making another.

    A failure is not kept: the same key may try again. `digest` stands for a body that was not read
    into memory. With `keep=False` the body is not kept, as it holds a secret: a repeated call is then
    refused.

    Raises
    ------
    StillRunning
        If the first call with this key is at work.
    Conflict
        If the answer to the first call was not kept.
    KeyReused
        If the key came with another path or body.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return await work(None)
    keys = service(request).runtime.context.metadata.idempotency
    called = f"{request.method} {request.url.path}?{request.url.query}"
    digest = digest or hashlib.sha256(state_body(request)).hexdigest()
    found = await asyncio.to_thread(
        keys.claim, caller.tenant, key, request=called, body_sha256=digest
    )
    if hasattr(found, "status"):
        stored = cast("StoredResponse", found)
        if not keep:
            raise Conflict("This was done before; its answer held a secret and was not kept.")
        headers = {**stored.headers, "idempotency-replayed": "true"}
        return Response(stored.body, stored.status, headers)
    try:
        order = hashlib.sha256(f"{key}\n{called}\n{digest}".encode(errors="surrogatepass"))
        answer = await work(order.hexdigest())
    except BaseException:
        await asyncio.shield(asyncio.to_thread(keys.release, found))
        raise
    kept = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
    await asyncio.to_thread(
        keys.store,
        found,
        status=answer.status_code,
        headers=kept,
        body=bytes(answer.body) if keep else b"",
    )
    return answer

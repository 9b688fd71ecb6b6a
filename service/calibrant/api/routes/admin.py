"""Keys and the audit trail."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from calibrant.api.deps import Admin, ContextDep, Cursor, Limit, body
from calibrant.api.documenting import fails, gives, page_of, ref, takes
from calibrant.api.once import once
from calibrant.api.waiting import encoded
from calibrant.operations import audit, keys
from calibrant.wire import responses
from calibrant.wire.requests import KeyRequest

router = APIRouter(tags=["administration"])


@router.get("/v1/audit", responses=gives(page_of(responses.AuditEntry), "Newest first."))
def list_audit(
    context: ContextDep, caller: Admin, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List what was done, by whom and when; newest first."""
    found = audit.page(context, caller, limit=limit, cursor=cursor)
    items = [responses.of(responses.AuditEntry, one) for one in found.items]
    return encoded({"items": items, "next": found.next})


@router.post(
    "/v1/keys",
    status_code=201,
    openapi_extra=takes(KeyRequest),
    responses={
        **gives(ref(responses.NewKey), "The key, and its secret, this once.", status=201),
        **fails(409),
    },
)
async def create_key(
    request: Request,
    context: ContextDep,
    caller: Admin,
    asked: Annotated[KeyRequest, Depends(body(KeyRequest))],
) -> Response:
    """Make an API key of this tenant; a repeated `Idempotency-Key` does not show the secret again."""

    def make() -> Response:
        made = keys.create(
            context.metadata,
            caller.tenant,
            label=asked.label,
            scopes=asked.scopes,
            days=asked.days,
            actor=caller.actor,
        )
        return encoded(responses.of(responses.NewKey, made), 201)

    return await once(request, caller, lambda _: asyncio.to_thread(make), keep=False)


@router.get("/v1/keys", responses=gives(page_of(responses.Key), "Newest first."))
def list_keys(
    context: ContextDep, caller: Admin, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the API keys of this tenant, revoked ones included."""
    found = keys.page(context.metadata, caller.tenant, limit=limit, cursor=cursor)
    items = [responses.of(responses.Key, one) for one in found.items]
    return encoded({"items": items, "next": found.next})


@router.delete(
    "/v1/keys/{key_id}", responses={**gives(ref(responses.Key), "The key."), **fails(404)}
)
def revoke_key(context: ContextDep, caller: Admin, key_id: str) -> Response:
    """Make an API key useless for good."""
    found = keys.revoke(context.metadata, caller.tenant, key_id, actor=caller.actor)
    return encoded(responses.of(responses.Key, found))

"""Probes, the description of the API, and a page to read it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from calibrant.api.deps import ServiceDep
from calibrant.api.documenting import TEXT, gives
from calibrant.api.reading import docs_page
from calibrant.api.service import Service
from calibrant.api.waiting import MEDIA_TYPE, encoded
from calibrant.errors import CalibrantError, Unavailable

router = APIRouter(tags=["service"])
_STATE = {"type": "object", "properties": {"status": {"type": "string"}}}


@router.get("/livez", responses=gives(_STATE, "The process answers."))
async def live() -> Response:
    """Say that the process answers."""
    return encoded({"status": "live"})


@router.get(
    "/readyz",
    responses={
        **gives(_STATE, "Requests may come."),
        503: {"description": "Not yet, or a part is down."},
    },
)
async def ready(service: ServiceDep) -> Response:
    """Say whether requests may come: kernels are warm, and what is down."""
    if not service.ready:
        raise Unavailable("The service is starting.")
    return encoded({"status": "ready", "metadata": await metadata_state(service)})


async def metadata_state(service: Service) -> str:
    """Return `up`, or `down` while the database is gone; serving goes on without it."""
    metadata = service.runtime.context.metadata
    try:
        await asyncio.to_thread(metadata.jobs.page, "default", limit=1)
    except CalibrantError:
        return "down"
    return "up"


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return Response(request.app.state.described(), media_type=MEDIA_TYPE)


@router.get("/docs", responses=gives(TEXT, "A page to read.", media="text/html"))
async def docs(request: Request) -> Response:
    """Show the API as one page; it needs no script and loads nothing."""
    page = docs_page(request.app.state.described())
    headers = {"content-security-policy": page.policy}
    return Response(page.html, headers=headers, media_type="text/html")

"""Calibrators: fit, look, fetch, promote."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request
from starlette.responses import Response

from calibrant.api.deps import (
    ContextDep,
    Cursor,
    Fitter,
    Limit,
    Prefer,
    Promoter,
    Reader,
    ServiceDep,
    body,
)
from calibrant.api.documenting import BINARY, fails, gives, page_of, ref, takes
from calibrant.api.fitting import fit_spec
from calibrant.api.once import once
from calibrant.api.waiting import MEDIA_TYPE, encoded, outcome
from calibrant.errors import NotAcceptable
from calibrant.operations import calibrators, fits
from calibrant.wire import responses
from calibrant.wire.requests import AliasRequest, FitRequest

router = APIRouter(tags=["calibrators"])
ONNX = "application/onnx"
_VERSION = ref(responses.CalibratorVersion)
_MOVE = ref(responses.AliasMove)
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of a version.")]


@router.post(
    "/v1/calibrators/{name}/versions",
    status_code=201,
    openapi_extra=takes(FitRequest),
    responses={
        **gives(_VERSION, "The new version.", status=201, location=True),
        **gives(ref(responses.Job), "It is being fitted.", status=202, location=True),
        **fails(404, 408, 409, 413, 415),
    },
)
async def create_version(
    request: Request,
    service: ServiceDep,
    context: ContextDep,
    caller: Fitter,
    prefer: Prefer,
    name: str,
    asked: Annotated[FitRequest, Depends(body(FitRequest))],
) -> Response:
    """Fit a calibrator and judge it on rows it has not seen; the result is a new version."""
    if asked.alias is not None:
        caller.need("promote")

    async def work(order: str | None) -> Response:
        job_id = await asyncio.to_thread(
            lambda: fits.submit(
                context, caller, fit_spec(context, name, asked), idempotency_key=order
            )
        )

        async def made(result: Mapping[str, Any]) -> Response:
            found = await asyncio.to_thread(
                calibrators.version, context, caller, result["name"], result["version"]
            )
            await asyncio.to_thread(service.runtime.serving.refresh, caller.tenant, name)
            fitted = responses.of(responses.CalibratorVersion, found)
            return encoded(fitted, 201, location=result["location"])

        patience = prefer.patience(service.settings.job_wait)
        return await outcome(context, caller, job_id, patience, made)

    return await once(request, caller, work)


@router.get("/v1/calibrators", responses=gives(page_of(responses.Calibrator), "By name."))
def list_calibrators(
    context: ContextDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List calibrators with their aliases."""
    found = calibrators.page(context, caller, limit=limit, cursor=cursor)
    items = [responses.of(responses.Calibrator, one) for one in found.items]
    return encoded({"items": items, "next": found.next})


@router.get(
    "/v1/calibrators/{name}",
    responses={**gives(ref(responses.Calibrator), "The name."), **fails(404)},
)
def get_calibrator(context: ContextDep, caller: Reader, name: str) -> Response:
    """Return a name: its newest version and its aliases."""
    return encoded(responses.of(responses.Calibrator, calibrators.get(context, caller, name)))


@router.get(
    "/v1/calibrators/{name}/versions",
    responses={**gives(page_of(responses.CalibratorVersion), "Newest first."), **fails(404)},
)
def list_versions(
    context: ContextDep, caller: Reader, name: str, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the versions of a name, newest first."""
    found = calibrators.versions(context, caller, name, limit=limit, cursor=cursor)
    items = [responses.of(responses.CalibratorVersion, one) for one in found.items]
    return encoded({"items": items, "next": found.next})


@router.get(
    "/v1/calibrators/{name}/versions/{version}",
    responses={**gives(_VERSION, "The version."), **fails(404)},
)
def get_version(context: ContextDep, caller: Reader, name: str, version: Number) -> Response:
    """Return one version: status, candidates, held-out before and after."""
    found = calibrators.version(context, caller, name, version)
    return encoded(responses.of(responses.CalibratorVersion, found))


@router.get(
    "/v1/calibrators/{name}/versions/{version}/artifact",
    responses={
        200: {
            "description": "The parameters, or the graph.",
            "content": {MEDIA_TYPE: {"schema": {"type": "object"}}, ONNX: {"schema": BINARY}},
        },
        **fails(404, 406),
    },
)
def get_artifact(
    context: ContextDep,
    caller: Reader,
    name: str,
    version: Number,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
) -> Response:
    """Return the artifact: JSON parameters, or an ONNX graph with `Accept: application/onnx`."""
    media = accepted(accept, (MEDIA_TYPE, ONNX))
    fetch = calibrators.artifact if media == MEDIA_TYPE else calibrators.onnx
    headers = {"vary": "accept"}
    return Response(fetch(context, caller, name, version), 200, headers, media)


@router.put(
    "/v1/calibrators/{name}/aliases/{alias}",
    openapi_extra=takes(AliasRequest),
    responses={**gives(_MOVE, "The version before and now."), **fails(404, 409)},
)
async def put_alias(
    service: ServiceDep,
    context: ContextDep,
    caller: Promoter,
    name: str,
    alias: str,
    asked: Annotated[AliasRequest, Depends(body(AliasRequest))],
) -> Response:
    """Let an alias name a version: promote, or roll back."""
    move = await asyncio.to_thread(
        calibrators.set_alias, context, caller, name, alias, asked.version
    )
    await asyncio.to_thread(service.runtime.serving.refresh, caller.tenant, name)
    return encoded(responses.of(responses.AliasMove, move))


@router.delete(
    "/v1/calibrators/{name}/aliases/{alias}",
    responses={**gives(_MOVE, "The version before; none now."), **fails(404)},
)
def delete_alias(
    service: ServiceDep, context: ContextDep, caller: Promoter, name: str, alias: str
) -> Response:
    """Remove an alias."""
    move = calibrators.drop_alias(context, caller, name, alias)
    service.runtime.serving.refresh(caller.tenant, name)
    return encoded(responses.of(responses.AliasMove, move))


def accepted(accept: str, offers: tuple[str, ...]) -> str:
    """Return the offer that an `Accept` header likes best; the first of equals.

    Raises
    ------
    NotAcceptable
        If it likes none of them.
    """
    wishes = [_wish(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]

    def weight(offer: str) -> float:
        patterns = (offer, f"{offer.partition('/')[0]}/*", "*/*")
        for pattern in patterns:  # the most specific wish counts
            found = [quality for media, quality in wishes if media == pattern]
            if found:
                return max(found)
        return 0.0

    best = max(offers, key=weight)
    if weight(best) <= 0:
        raise NotAcceptable(f"This is made as {' or '.join(offers)}.")
    return best


def _wish(part: str) -> tuple[str, float]:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media, float(parameter[2:])
            except ValueError:
                return media, 0.0
    return media, 1.0

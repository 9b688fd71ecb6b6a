"""The Open Inference Protocol beside `infer`: health and metadata."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from calibrant import __version__
from calibrant.api.deps import ContextDep, Reader, ServiceDep
from calibrant.api.documenting import fails, gives, ref
from calibrant.api.hot import SUFFIX, reference
from calibrant.api.service import Service
from calibrant.api.waiting import encoded
from calibrant.errors import Unavailable
from calibrant.operations import calibrators
from calibrant.operations.calibrate import Servable
from calibrant.operations.context import Caller, Context
from calibrant.wire import responses

router = APIRouter(tags=["inference protocol"])
_MODEL = ref(responses.ModelMetadata)
_READY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ready": {"type": "boolean"}},
}
_LIVE = {"type": "object", "properties": {"live": {"type": "boolean"}}}


@router.get("/v2", responses=gives(ref(responses.ServerMetadata), "The server."))
async def server_metadata() -> Response:
    """Describe the server."""
    made = responses.ServerMetadata(
        name="calibrant", version=__version__, extensions=["binary_tensor_data"]
    )
    return encoded(made)


@router.get("/v2/health/live", responses=gives(_LIVE, "The process answers."))
async def server_live() -> Response:
    """Say that the process answers."""
    return encoded({"live": True})


@router.get(
    "/v2/health/ready",
    responses={**gives(_LIVE, "Requests may come."), 503: {"description": "Not yet."}},
)
async def server_ready(service: ServiceDep) -> Response:
    """Say whether requests may come; both readings of the protocol find their key."""
    if not service.ready:
        raise Unavailable("The service is starting.")
    return encoded({"ready": True, "live": True})


@router.get("/v2/models/{model}", responses={**gives(_MODEL, "The calibrator."), **fails(404)})
async def model_metadata(
    service: ServiceDep, context: ContextDep, caller: Reader, model: str
) -> Response:
    """Describe the champion of a calibrator."""
    return await _metadata(service, context, caller, model, None)


@router.get(
    "/v2/models/{model}/versions/{version}",
    responses={**gives(_MODEL, "The calibrator."), **fails(404)},
)
async def version_metadata(
    service: ServiceDep, context: ContextDep, caller: Reader, model: str, version: str
) -> Response:
    """Describe a version of a calibrator."""
    return await _metadata(service, context, caller, model, version)


@router.get(
    "/v2/models/{model}/ready", responses={**gives(_READY, "It can be served."), **fails(404)}
)
async def model_ready(service: ServiceDep, caller: Reader, model: str) -> Response:
    """Say that the champion of a calibrator is served."""
    await _servable(service, caller, model, None)
    return encoded({"name": model, "ready": True})


@router.get(
    "/v2/models/{model}/versions/{version}/ready",
    responses={**gives(_READY, "It can be served."), **fails(404)},
)
async def version_ready(service: ServiceDep, caller: Reader, model: str, version: str) -> Response:
    """Say that a version of a calibrator can be served."""
    await _servable(service, caller, model, version)
    return encoded({"name": model, "ready": True})


async def _servable(service: Service, caller: Caller, model: str, version: str | None) -> Servable:
    serving = service.runtime.serving
    return await asyncio.to_thread(serving.resolve, caller.tenant, reference(model, version))


async def _metadata(
    service: Service, context: Context, caller: Caller, model: str, version: str | None
) -> Response:
    found = await _servable(service, caller, model, version)
    name = model.removesuffix(SUFFIX)
    known = await asyncio.to_thread(
        calibrators.versions, context, caller, name, limit=100, cursor=None
    )
    shape = [-1, 1 if found.task == "binary" else found.n_classes]
    tensor = responses.TensorMetadata
    made = responses.ModelMetadata(
        name=model,
        versions=[str(one.version) for one in reversed(known.items)],
        platform="calibrant",
        inputs=[
            tensor(name="logits", datatype="FP64", shape=shape),
            tensor(name="probabilities", datatype="FP64", shape=shape),
            *(tensor(name=one, datatype="BYTES", shape=[-1]) for one in found.dimensions),
        ],
        outputs=[tensor(name="calibrated", datatype="FP64", shape=shape)],
    )
    return encoded(made)

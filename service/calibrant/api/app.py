"""Put the API together: hot routes in front, FastAPI behind, the runtime in the lifespan."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from operator import attrgetter

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from calibrant import __version__
from calibrant.api.answers import Answer, failure
from calibrant.api.auth import Authenticator
from calibrant.api.describing import described
from calibrant.api.front import Front, not_allowed, unexpected
from calibrant.api.pages import router as pages_router
from calibrant.api.routes import admin, calibrators, datasets, evaluations, health, inference, jobs
from calibrant.api.service import Service
from calibrant.errors import (
    BadRequest,
    CalibrantError,
    Detail,
    NotFound,
    Unusable,
)
from calibrant.operations import keys
from calibrant.operations.context import Caller
from calibrant.runtime import Runtime, open_runtime, use_kernel_cache, warm
from calibrant.settings import Settings

DESCRIPTION = (
    "Measure, repair, serve and watch the calibration of predicted probabilities. Failures are "
    "`application/problem+json` (RFC 9457); under `/v2` they are those of the Open Inference "
    "Protocol. Of duplicate keys in a JSON object the last one wins."
)
_COLLECT_AFTER = 20_000  # allocations; Python's own is 700
ROUTERS = (
    datasets.router,
    evaluations.router,
    calibrators.router,
    jobs.router,
    admin.router,
    inference.router,
    health.router,
    pages_router,
)


def create_app(settings: Settings) -> Front:
    """Return the API as an ASGI application.

    Nothing is opened before its lifespan starts; kernels are warm before `/readyz` says so.
    """
    service = Service(settings)
    app = FastAPI(
        title="calibrant",
        version=__version__,
        description=DESCRIPTION,
        lifespan=partial(_lifespan, service),
        openapi_url=None,  # ours merges the schemas of msgspec in
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=attrgetter("name"),
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.service = service
    app.state.described = partial(described, app)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(CalibrantError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, partial(_http, app))
    app.add_exception_handler(Exception, _unexpected)
    return Front(service, app)


@asynccontextmanager
async def _lifespan(service: Service, app: FastAPI) -> AsyncIterator[None]:
    del app
    use_kernel_cache(service.settings)
    with open_runtime(service.settings) as runtime:
        service.opened = runtime
        service.auth = Authenticator(_look_up(runtime))
        warm()
        calm_collector()
        service.ready = True
        try:
            yield
        finally:
            service.ready = False
            service.opened = None


def calm_collector() -> None:
    """Let the garbage collector pass over what lives as long as the process, and run less often.

    A body of half a million short rows otherwise starts it some 700 times while it is decoded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def _look_up(runtime: Runtime) -> partial[Caller] | None:
    if runtime.settings.auth == "off":
        return None
    return partial(keys.authenticate, runtime.context.metadata)


async def _expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, CalibrantError)
    return _response(failure(error, request.state.request_id, path=request.url.path))


async def _unexpected(request: Request, error: Exception) -> Response:
    """Say that something went wrong, and nothing else; `Front` logs what."""
    del error
    return await _expected(request, unexpected())


async def _invalid(request: Request, error: Exception) -> Response:
    """Answer parameters that do not fit: where and why, never what was sent."""
    assert isinstance(error, RequestValidationError)
    found = [
        Detail("/" + "/".join(map(str, one["loc"])), str(one["msg"]))
        for one in error.errors()[: CalibrantError.max_errors]
    ]
    refusal = Unusable("A parameter of the request is not as described.", found)
    return await _expected(request, refusal)


async def _http(app: FastAPI, request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path, or a method it does not have."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        methods = sorted(_methods(app, request))
        return _response(not_allowed(request.state.request_id, request.url.path, methods))
    if error.status_code == 404:
        return await _expected(request, NotFound("There is nothing at this path; see `/docs`."))
    return await _expected(request, BadRequest("The request cannot be read."))


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Return the methods of all routes at this path; each route knows its own only."""
    found: set[str] = set()
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in app.router.routes):
            found.add(method)
    return found


def _response(answer: Answer) -> Response:
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, answer.content_type.decode())

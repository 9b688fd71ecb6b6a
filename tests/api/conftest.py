"""A whole API in this process, with a worker beside it that runs jobs as they come."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal

from calibrant.api import create_app
from calibrant.api.front import Front
from calibrant.errors import CalibrantError
from calibrant.jobs.queue import prepare
from calibrant.operations import verbs
from calibrant.operations.context import Context
from calibrant.runtime import open_metadata
from calibrant.settings import Settings

# kernels compiled once for all runs, beside their source, not once for each temporary folder
os.environ.setdefault("NUMBA_CACHE_DIR", "")


class Api:
    """Calls the application from synchronous tests."""

    def __init__(self, app: Front, context: Context, call: Callable[..., Any]) -> None:
        self.app, self.context, self.call = app, context, call
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://calibrant.test"
        )

    def __call__(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self.call(partial(self._client.request, method, path, **given))

    def post(self, path: str, body: Any, **given: Any) -> httpx.Response:
        return self("POST", path, json=body, **given)

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self("GET", path, **given)


@asynccontextmanager
async def lifespan(app: Front):
    """Start and stop an application as a server does."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    started = await outbox.get()
    assert started["type"] == "lifespan.startup.complete", started
    yield
    await inbox.put({"type": "lifespan.shutdown"})
    await task


@contextmanager
def running(settings: Settings, *, worker: bool = True) -> Iterator[Api]:
    """Run an API, and a worker unless it is to be down."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with open_metadata(settings):
        prepare(settings.jobs_url)
    app = create_app(settings)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(lifespan(app)):
        context = app.inner.state.service.runtime.context
        with working(context) if worker else _nothing():
            yield Api(app, context, portal.call)


@contextmanager
def working(context: Context) -> Iterator[None]:
    """Run accepted jobs in a thread: what a worker and its children do, without the processes."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            for job in context.metadata.jobs.unfinished():
                try:
                    reply = verbs.compute(context, job.operation, job.spec.decode(), _silent)
                    verbs.commit(context.metadata, job.id, job.operation, reply)
                except CalibrantError as error:
                    found = {
                        "code": error.code,
                        "detail": error.detail,
                        "errors": msgspec.to_builtins(error.errors),
                    }
                    context.metadata.jobs.fail(job.tenant, job.id, found)
                except Exception as error:  # noqa: BLE001 - the test that waits shall see it
                    found = {"code": "internal", "detail": repr(error), "errors": []}
                    context.metadata.jobs.fail(job.tenant, job.id, found)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _silent(done: int, of: int, text: str) -> None:
    del done, of, text


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give an API without keys; tests use names of their own."""
    with running(
        Settings(data_dir=tmp_path_factory.mktemp("open"), auth="off", job_wait=8)
    ) as made:
        yield made


@pytest.fixture(scope="session")
def rows() -> dict[str, Any]:
    """Give 2,000 binary rows whose scores are too extreme."""
    rng = np.random.default_rng(7)
    logits = rng.normal(size=2000)
    labels = (rng.uniform(size=2000) < 1 / (1 + np.exp(-logits))).astype(int)
    return {
        "task": "binary",
        "score_kind": "logits",
        "scores": (2.5 * logits).round(6).tolist(),
        "labels": labels.tolist(),
        "slices": {"region": ["eu" if row % 2 else "us" for row in range(2000)]},
    }


@pytest.fixture(scope="session")
def flights(api: Api, rows: dict[str, Any]) -> str:
    """Give the name of a calibrator with a champion."""
    made = api.post("/v1/calibrators/flights/versions", {**rows, "method": "temperature"})
    assert made.status_code == 201, made.text
    moved = api("PUT", "/v1/calibrators/flights/aliases/champion", json={"version": 1})
    assert moved.status_code == 200, moved.text
    return "flights"


@pytest.fixture(scope="session")
def run_api() -> Callable[..., AbstractContextManager[Api]]:
    """Give what runs an API with other settings."""
    return running

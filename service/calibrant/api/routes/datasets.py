"""Data sets: upload, list, look, remove."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from calibrant.api.body import save_body
from calibrant.api.deps import (
    ContextDep,
    Cursor,
    Ingester,
    Limit,
    Prefer,
    Reader,
    ServiceDep,
)
from calibrant.api.documenting import BINARY, fails, gives, page_of, ref
from calibrant.api.once import once
from calibrant.api.waiting import encoded, outcome
from calibrant.errors import Unusable
from calibrant.operations import datasets
from calibrant.wire import responses

if TYPE_CHECKING:
    from calibrant.storage.metadata import Dataset

router = APIRouter(tags=["data sets"])
MEDIA_TYPES = (
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.file",
    "application/vnd.apache.arrow.stream",
    "application/x-npz",
)
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {media: {"schema": BINARY} for media in MEDIA_TYPES},
    }
}
_DATASET = ref(responses.Dataset)


@router.post(
    "/v1/datasets",
    status_code=201,
    openapi_extra=_UPLOAD,
    responses={
        **gives(_DATASET, "The data set.", status=201, location=True),
        **gives(ref(responses.Job), "It is being read.", status=202, location=True),
        **fails(408, 409, 413, 415),
    },
)
async def create_dataset(
    request: Request,
    service: ServiceDep,
    context: ContextDep,
    caller: Ingester,
    prefer: Prefer,
    name: Annotated[str | None, Query(max_length=63, description="A name, for lists.")] = None,
) -> Response:
    """Upload a table; a worker reads it, and proposes which column holds what."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        path = Path(folder) / "upload"
        digest = await _save(request, service, path)

        async def work(order: str | None) -> Response:
            job_id = await asyncio.to_thread(
                lambda: datasets.submit(
                    context, caller, path, media_type, name=name, idempotency_key=order
                )
            )

            async def made(result: Mapping[str, Any]) -> Response:
                record = await asyncio.to_thread(datasets.get, context, caller, result["id"])
                return encoded(dataset(record), 201, location=result["location"])

            patience = prefer.patience(service.settings.job_wait)
            return await outcome(context, caller, job_id, patience, made)

        return await once(request, caller, work, digest=digest)


@router.get("/v1/datasets", responses=gives(page_of(responses.Dataset), "Newest first."))
def list_datasets(
    context: ContextDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List data sets, newest first."""
    found = datasets.page(context, caller, limit=limit, cursor=cursor)
    return encoded({"items": [dataset(one) for one in found.items], "next": found.next})


@router.get(
    "/v1/datasets/{dataset_id}", responses={**gives(_DATASET, "The data set."), **fails(404)}
)
def get_dataset(context: ContextDep, caller: Reader, dataset_id: str) -> Response:
    """Return a data set: its size, its columns, and which seems to hold what."""
    return encoded(dataset(datasets.get(context, caller, dataset_id)))


@router.delete(
    "/v1/datasets/{dataset_id}",
    status_code=204,
    responses={**gives(None, "It is gone.", status=204), **fails(404)},
)
def delete_dataset(context: ContextDep, caller: Ingester, dataset_id: str) -> Response:
    """Forget a data set; reports and calibrators made from it stay."""
    datasets.remove(context, caller, dataset_id)
    return Response(status_code=204)


def dataset(record: Dataset) -> dict[str, Any]:
    """Return a data set as it is answered."""
    names = ("id", "name", "sha256", "media_type", "n_rows", "n_bytes", "created")
    return {**{name: getattr(record, name) for name in names}, **record.columns}


async def _save(request: Request, service: ServiceDep, path: Path) -> str:
    settings = service.settings
    with path.open("wb") as target:
        digest = await save_body(
            request.receive,
            dict(request.headers.raw),
            target,
            limit=settings.max_upload_bytes,
            deadline=settings.receive_timeout,
        )
        if not target.tell():
            raise Unusable("The body is empty: send a table.")
    return digest

"""Take tables in, look at them, propose which column holds what, remove them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from calibrant.operations import jobs
from calibrant.operations.context import Caller, Context
from calibrant.storage.metadata import Dataset, Page, Repositories
from calibrant.storage.names import check_name
from calibrant.storage.tables import Limits, Proposal, canonical, propose, take_sample

PARQUET = "application/vnd.apache.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An uploaded file as a job carries it."""

    name: str | None
    sha256: str
    n_bytes: int
    media_type: str
    file_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A table that was read through and written in the one form the service reads."""

    upload: Upload
    table_sha256: str
    n_rows: int
    columns: list[dict[str, Any]]
    proposal: Proposal


def submit(
    context: Context,
    caller: Caller,
    path: Path,
    media_type: str,
    *,
    name: str | None = None,
    file_name: str | None = None,
    idempotency_key: str | None = None,
) -> str:
    """Keep an uploaded file and have it read by a worker; return the job."""
    if name is not None:
        check_name(name)
    upload = Upload(
        name=name,
        sha256=context.blobs.put_file(path).sha256,
        n_bytes=path.stat().st_size,
        media_type=media_type,
        file_name=file_name,
    )
    return jobs.submit(context, caller, "ingest", upload, idempotency_key=idempotency_key)


def compute(
    context: Context, caller: Caller, upload: Upload, progress: Callable[[int, int, str], None]
) -> Taken:
    """Read a foreign file in a child process; nothing of it is trusted."""
    del caller
    progress(0, 2, "reading the file")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "table.parquet"
        info = canonical(
            context.blobs.local_path(upload.sha256),
            upload.media_type,
            out,
            limits_of(context),
            name=upload.file_name,
        )
        progress(1, 2, f"keeping {info.n_rows} rows")
        return Taken(
            upload=upload,
            table_sha256=context.blobs.put_file(out).sha256,
            n_rows=info.n_rows,
            columns=[msgspec.to_builtins(column) for column in info.columns],
            proposal=propose(info, take_sample(out)),
        )


def limits_of(context: Context) -> Limits:
    """Return the limits on tables that the settings give."""
    settings = context.settings
    return Limits(
        max_bytes=settings.max_upload_bytes,
        max_rows=settings.max_rows,
        max_columns=settings.max_columns,
    )


def commit(t: Repositories, caller: Caller, job_id: str, taken: Taken) -> dict[str, object]:
    """Record a table; the same job does so once."""
    record = t.datasets.add(
        caller.tenant,
        sha256=taken.upload.sha256,
        table_sha256=taken.table_sha256,
        media_type=taken.upload.media_type,
        n_rows=taken.n_rows,
        n_bytes=taken.upload.n_bytes,
        columns={"columns": taken.columns, "proposal": msgspec.to_builtins(taken.proposal)},
        name=taken.upload.name,
        job_id=job_id,
    )
    return {"kind": "dataset", "id": record.id, "location": f"/v1/datasets/{record.id}"}


def get(context: Context, caller: Caller, dataset_id: str) -> Dataset:
    """Return a data set."""
    return context.metadata.datasets.get(caller.tenant, dataset_id)


def page(context: Context, caller: Caller, *, limit: int, cursor: str | None) -> Page[Dataset]:
    """Return data sets, newest first."""
    return context.metadata.datasets.page(caller.tenant, limit=limit, cursor=cursor)


def remove(context: Context, caller: Caller, dataset_id: str) -> None:
    """Forget a data set; reports and calibrators made from it stay."""
    with context.metadata.transaction() as t:
        gone = t.datasets.delete(caller.tenant, dataset_id)
        t.audit.add(
            caller.tenant,
            who=caller.actor,
            action="dataset.delete",
            object=f"datasets/{dataset_id}",
            object_sha256=gone.sha256,
            request_id=caller.request_id,
        )

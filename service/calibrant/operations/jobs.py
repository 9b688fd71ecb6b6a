"""Hand long work to the workers, follow it, stop it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from calibrant.errors import Conflict, NotFound
from calibrant.jobs.view import JobProgress, JobView
from calibrant.operations.context import Caller, Context
from calibrant.storage.metadata import UNFINISHED, Page
from calibrant.storage.metadata import Job as Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A piece of long work.

    Attributes
    ----------
    state : str
        `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    progress : JobProgress or None
        While it runs: `done` of `of` steps, and what it is doing.
    result : mapping or None
        What it made: `kind`, `id` or `name` and `version`, and `location`.
    error : mapping or None
        `code` and `detail` of the failure, and `errors` per field.
    """

    id: str
    operation: str
    state: str
    created: datetime
    finished: datetime | None
    progress: JobProgress | None
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in UNFINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a job carries to the worker: who asked, and for what (a specification as JSON)."""

    caller: Caller
    spec: msgspec.Raw


def submit(
    context: Context,
    caller: Caller,
    operation: str,
    spec: Any,
    *,
    idempotency_key: str | None = None,
) -> str:
    """Accept work: once this returns, the job will be done though every process dies.

    The row is written first and the queue told second; `resume` finds rows between the two.
    """
    if idempotency_key is not None:  # the same order, though each call of it is another request
        caller = replace(caller, request_id=f"idempotent-{idempotency_key[:16]}")
    raw = msgspec.Raw(msgspec.json.encode(spec, order="deterministic"))
    order = msgspec.json.encode(Order(caller=caller, spec=raw), order="deterministic")
    record = context.metadata.jobs.add(
        caller.tenant, operation, order, idempotency_key=idempotency_key
    )
    _enqueue(context, record)
    return record.id


def resume(context: Context, told: set[str]) -> None:
    """Tell the queue of accepted jobs it may not know of, and write down ends nobody asked for.

    A process may die between accepting a job and telling the queue; a worker calls this every
    few seconds.

    Parameters
    ----------
    told : set of str
        Unfinished jobs the queue was told of before; kept up to date.
    """
    unfinished = context.metadata.jobs.unfinished()
    told &= {record.id for record in unfinished}
    for record in unfinished:
        if record.id not in told:
            _enqueue(context, record)
            told.add(record.id)
            continue
        try:
            view = context.jobs.look(record.id)
        except NotFound:
            told.discard(record.id)
            continue
        if view.done:
            _settle(context, record, view)


def look(context: Context, caller: Caller, job_id: str) -> Job:
    """Return a job as it is now.

    Raises
    ------
    NotFound
        If the tenant has no such job.
    """
    record = context.metadata.jobs.get(caller.tenant, job_id)
    if not record.unfinished:
        return _job(record)
    try:
        view = context.jobs.look(job_id)
    except NotFound:  # accepted, and the queue will be told by `resume`
        return _job(record)
    if not view.done:
        return _job(record, state=view.state, progress=view.progress)
    return _job(_settle(context, record, view))


def _settle(context: Context, record: Record, view: JobView) -> Record:
    """Write the end that the queue knows into the record; success was written by the commit."""
    jobs = context.metadata.jobs
    if view.state == "cancelled":
        return jobs.cancel(record.tenant, record.id)
    if view.state == "succeeded" or view.error is None:
        return jobs.get(record.tenant, record.id)
    errors = [{"pointer": pointer, "message": message} for pointer, message in view.error.errors]
    error = {"code": view.error.code, "detail": view.error.detail, "errors": errors}
    return jobs.fail(record.tenant, record.id, error)


def cancel(context: Context, caller: Caller, job_id: str) -> Job:
    """Stop a job.

    Raises
    ------
    Conflict
        If it is over.
    """
    job = look(context, caller, job_id)
    if job.over:
        raise Conflict(f"The job is over: {job.state}.")
    context.jobs.cancel(job_id)
    return _job(context.metadata.jobs.cancel(caller.tenant, job_id))


def page(context: Context, caller: Caller, *, limit: int, cursor: str | None) -> Page[Job]:
    """Return jobs, newest first; the progress of unfinished ones is told by `look`."""
    found = context.metadata.jobs.page(caller.tenant, limit=limit, cursor=cursor)
    return Page(tuple(map(_job, found.items)), found.next)


def _enqueue(context: Context, record: Record) -> None:
    context.jobs.enqueue(
        record.id,
        record.operation,
        record.spec.decode(),
        tenant=record.tenant,
        timeout=context.settings.job_timeout,
    )


def _job(record: Record, *, state: str | None = None, progress: JobProgress | None = None) -> Job:
    return Job(
        id=record.id,
        operation=record.operation,
        state=state or record.state,
        created=record.created,
        finished=record.finished,
        progress=progress,
        result=record.result,
        error=record.error,
    )

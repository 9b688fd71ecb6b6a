"""Jobs: what was asked for and what became of it; the queue itself is not here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from calibrant.errors import KeyReused, Stop
from calibrant.storage.metadata.database import Connections
from calibrant.storage.metadata.rows import (
    DEFAULT_PAGE,
    Page,
    builder,
    insert_if_absent,
    one,
    page_by_id,
)
from calibrant.storage.metadata.schema import jobs
from calibrant.storage.names import new_id

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
UNFINISHED: tuple[State, ...] = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Job:
    """A job.

    Attributes
    ----------
    id : str
        `job_...`; later ones sort after earlier ones.
    tenant : str
    operation : str
        Which operation runs it.
    spec : bytes
        What that operation was given, as it encoded it; kept byte by byte.
    idempotency_key : str, or None
    state : str
        `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    result : mapping, or None
        Where the outcome lies, once it succeeded.
    error : mapping, or None
        Why it failed, in the shape of a problem.
    created : datetime
    finished : datetime, or None
    """

    id: str
    tenant: str
    operation: str
    spec: bytes
    idempotency_key: str | None
    state: State
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    created: datetime
    finished: datetime | None

    @property
    def unfinished(self) -> bool:
        """Whether something is still to happen."""
        return self.state in UNFINISHED


_job = builder(Job)
_MISSING = "There is no such job."


class Jobs:
    """The jobs of each tenant."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add(
        self, tenant: str, operation: str, spec: bytes, *, idempotency_key: str | None = None
    ) -> Job:
        """Record a job to be run; the same key with the same spec returns the job it made before.

        Raises
        ------
        KeyReused
            If the key made another job.
        """
        values = {
            "id": new_id("job"),
            "tenant": tenant,
            "operation": operation,
            "spec": spec,
            "idempotency_key": idempotency_key,
            "state": "queued",
            "created": self._connections.clock(),
        }
        with self._connections.write() as connection:
            if insert_if_absent(connection, jobs, values):
                return _get(connection, tenant, jobs.c.id == values["id"])
            before = _get(connection, tenant, jobs.c.idempotency_key == idempotency_key)
        if (before.operation, before.spec) != (operation, spec):
            raise KeyReused("This idempotency key was used for another request.")
        return before

    def get(self, tenant: str, job_id: str) -> Job:
        """Return a job, or raise `NotFound`."""
        with self._connections.read() as connection:
            return _get(connection, tenant, jobs.c.id == job_id)

    def page(
        self,
        tenant: str,
        *,
        state: State | None = None,
        limit: int = DEFAULT_PAGE,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return jobs, newest first."""
        wanted = () if state is None else (jobs.c.state == state,)
        return page_by_id(
            self._connections, jobs, tenant, _job, *wanted, limit=limit, cursor=cursor
        )

    def unfinished(self) -> tuple[Job, ...]:
        """Return the jobs of all tenants that are still to be done, oldest first."""
        query = sa.select(jobs).where(jobs.c.state.in_(UNFINISHED)).order_by(jobs.c.id)
        with self._connections.read() as connection:
            return tuple(_job(row) for row in connection.execute(query).mappings())

    def start(self, tenant: str, job_id: str) -> Job:
        """Mark a job as running; raise `Stop` if it has ended in the meantime."""
        with self._connections.write() as connection:
            job = _get(connection, tenant, jobs.c.id == job_id, lock=True)
            if not job.unfinished:
                raise Stop(f"The job is {job.state} already.")
            return _change(connection, job, state="running")

    def finish(self, tenant: str, job_id: str, result: Mapping[str, Any]) -> Job:
        """Record success. A job that succeeded before keeps its first result.

        Call it first in a transaction that also records what the job made: it holds the job's
        row, and where it raises, nothing of the rest happens.

        Raises
        ------
        Stop
            If the job was cancelled or has failed: its result is not wanted any more.
        """
        with self._connections.write() as connection:
            job = _get(connection, tenant, jobs.c.id == job_id, lock=True)
            if job.state == "succeeded":
                return job
            if not job.unfinished:
                raise Stop(f"The job is {job.state} already.")
            return _change(
                connection,
                job,
                state="succeeded",
                result=dict(result),
                finished=self._connections.clock(),
            )

    def fail(self, tenant: str, job_id: str, error: Mapping[str, Any]) -> Job:
        """Record failure; a job that has ended stays as it is."""
        return self._end(tenant, job_id, "failed", error=dict(error))

    def cancel(self, tenant: str, job_id: str) -> Job:
        """Record that nobody wants the result any more; a job that has ended stays as it is."""
        return self._end(tenant, job_id, "cancelled")

    def _end(self, tenant: str, job_id: str, state: State, **values: Any) -> Job:
        """Move an unfinished job to its end."""
        with self._connections.write() as connection:
            job = _get(connection, tenant, jobs.c.id == job_id, lock=True)
            if not job.unfinished:
                return job
            return _change(
                connection, job, state=state, finished=self._connections.clock(), **values
            )


def _get(
    connection: sa.Connection,
    tenant: str,
    condition: sa.ColumnElement[bool],
    *,
    lock: bool = False,
) -> Job:
    """Return the tenant's job that meets the condition, locked until the commit if asked."""
    return _job(one(connection, jobs, tenant, condition, missing=_MISSING, lock=lock))


def _change(connection: sa.Connection, job: Job, **values: Any) -> Job:
    """Write columns of a job and return it as it is now."""
    connection.execute(jobs.update().where(jobs.c.id == job.id).values(values))
    return _get(connection, job.tenant, jobs.c.id == job.id)

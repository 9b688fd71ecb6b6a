"""The API's side of jobs: put one in, look at it, cancel it. Runs no workflow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from calibrant.errors import NotFound, Unavailable
from calibrant.jobs.view import JobError, JobProgress, JobState, JobView

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions, WorkflowStatus

T = TypeVar("T")

APPLICATION: Final = "calibrant"
VERSION: Final = "jobs-v1"
"""Changed only with the order of the steps, after the queue has drained: others are stranded."""

WORKFLOW: Final = "job"
CPU: Final = "cpu"
GPU: Final = "gpu"
PROGRESS: Final = "progress"

_STATES: Final[dict[str, JobState]] = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "succeeded",
    "ERROR": "failed",
    "CANCELLED": "cancelled",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}
_CANCELLED = JobError("cancelled", "The job was cancelled.")
_TIMED_OUT = JobError("timed_out", "The job took longer than its timeout.")
_GAVE_UP = JobError("crashed", "The job took its worker down too often; it is not tried again.")
# A deadline is swept on the clock of a worker and its time noted on that of the database.
_CLOCK_SLACK_MS = 1000
_DATABASE_PACKAGES = frozenset({"sqlalchemy", "sqlite3", "psycopg"})


def prepare(url: str) -> None:
    """Create the job database, or bring it to the version of the library; safe to race."""
    from dbos import DBOS

    from calibrant.storage.metadata.database import Database

    database = Database(url)
    try:
        with database.read():  # the first connection makes the SQLite file one with a WAL
            pass
    finally:
        database.close()
    DBOS.migrate(url)


class JobQueue:
    """Hand work to the workers and follow it.

    Parameters
    ----------
    url : str
        Job database: `sqlite:///...` or `postgresql://...`. Opened at the first use.

    Notes
    -----
    Every call may be made from any thread, blocks for a few milliseconds, and raises
    `Unavailable` while the database is away.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening = threading.Lock()
        self._client: DBOSClient | None = None

    def enqueue(
        self,
        job_id: str,
        operation: str,
        payload: str,
        *,
        tenant: str,
        timeout: float,
        priority: int = 0,
        queue: str = CPU,
    ) -> None:
        """Put a job into the queue; the same `job_id` again changes nothing.

        Parameters
        ----------
        job_id : str
        operation, payload : str
            What `compute` in the child and `commit` in the worker are given.
        tenant : str
        timeout : float, seconds
            Counted from the first time a worker takes the job.
        priority : int, at least 0
            Lower goes first.
        queue : `cpu` or `gpu`
        """
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": queue,
            "workflow_id": job_id,
            "app_version": VERSION,
            "workflow_timeout": timeout,
            "authenticated_user": tenant,
            "attributes": {"operation": operation},
        }
        if priority > 0:
            options["priority"] = priority
        self._call(lambda client: client.enqueue(options, operation, payload))

    def look(self, job_id: str) -> JobView:
        """Return the job as it is now, or raise `NotFound`."""
        found = self._call(
            lambda client: client.list_workflows(workflow_ids=[job_id], load_input=False)
        )
        if not found:
            raise NotFound("There is no such job.")
        status = found[0]
        event = None
        if status.status not in {"ENQUEUED", "DELAYED"}:
            event = self._call(lambda client: client.get_event(job_id, PROGRESS, timeout_seconds=0))
        return _view(status, event or {})

    def cancel(self, job_id: str) -> None:
        """Cancel a job; one that is finished stays as it is."""
        self._call(lambda client: client.cancel_workflow(job_id, cancel_children=True))

    def check(self) -> None:
        """Raise `Unavailable` if the job database cannot be reached."""
        self._call(lambda client: client.check_connection())

    def close(self) -> None:
        """Close the connections."""
        with self._opening:
            if self._client is not None:
                self._client.destroy()
                self._client = None

    def _call(self, use: Callable[[DBOSClient], T]) -> T:
        """Use the client; its database being away becomes `Unavailable`."""
        try:
            return use(self._open())
        except Exception as error:
            if type(error).__module__.partition(".")[0] in _DATABASE_PACKAGES:
                raise Unavailable("The job database cannot be used right now.") from error
            raise

    def _open(self) -> DBOSClient:
        """Open the client once; it never creates its tables, so that comes first."""
        with self._opening:
            if self._client is None:
                from dbos import DBOSClient, DBOSPortableJSONSerializer

                prepare(self._url)
                self._client = DBOSClient(
                    system_database_url=self._url,
                    application_name=APPLICATION,
                    serializer=DBOSPortableJSONSerializer(),
                    retry_connection_errors=False,
                )
            return self._client


def _view(status: WorkflowStatus, event: Mapping[str, Any]) -> JobView:
    """Put the two records of a job together."""
    state, error = _state(status)
    progress = JobProgress(event["done"], event["of"], event["text"]) if "done" in event else None
    return JobView(
        job_id=status.workflow_id,
        operation=(status.attributes or {}).get("operation", ""),
        tenant=status.authenticated_user or "",
        state=state,
        progress=progress if state == "running" else None,
        result=str(status.output) if state == "succeeded" else None,
        error=error,
        attempts=(status.recovery_attempts or 0) + int(event.get("retries", 0)),
        created_at=(status.created_at or 0) / 1000,
        started_at=_seconds(status.dequeued_at),
        finished_at=_seconds(status.completed_at),
    )


def _state(status: WorkflowStatus) -> tuple[JobState, JobError | None]:
    """Name the state of a job and, where it ended without a result, the reason."""
    state = _STATES[status.status]
    if status.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return state, _GAVE_UP
    if state == "cancelled":
        deadline, finished = status.workflow_deadline_epoch_ms, status.completed_at
        if deadline and finished and finished >= deadline - _CLOCK_SLACK_MS:
            return "timed_out", _TIMED_OUT
        return state, _CANCELLED
    if state == "failed":
        error = _error(status.error)
        return ("timed_out" if error.code == _TIMED_OUT.code else state), error
    return state, None


def _error(error: object) -> JobError:
    """Read the failure that the worker recorded."""
    data = getattr(error, "data", None)
    if not isinstance(data, dict) or "errors" not in data:  # not raised by us: nothing to quote
        return JobError("internal", "The job failed unexpectedly; the log of the worker says why.")
    findings = tuple((str(pointer), str(message)) for pointer, message in data["errors"])
    return JobError(str(getattr(error, "code", "internal")), str(error), findings)


def _seconds(milliseconds: int | None) -> float | None:
    """Turn the times of the library into ours."""
    return None if milliseconds is None else milliseconds / 1000

"""The worker: takes jobs from the queue, has them computed, commits their results.

One workflow per job, of two steps. `compute` runs in a child of the zygote; its reply is recorded,
so it is not computed again once it is there. `commit` writes the reply where it belongs and is
idempotent, since it may run twice.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from calibrant.errors import CalibrantError, Stop, TimedOut, Unavailable
from calibrant.jobs import lifeline
from calibrant.jobs.frames import Progress
from calibrant.jobs.lease import Lease, LeaseLost
from calibrant.jobs.queue import APPLICATION, CPU, PROGRESS, VERSION, WORKFLOW
from calibrant.jobs.zygote import ChildDied, ChildFailed, Zygote

logger = logging.getLogger(__name__)

Commit = Callable[[str, str, str], str]

FENCED: Final = 75
"""Exit status of a worker that could not show for too long that it lives."""

ATTEMPTS: Final = 3
MAX_RECOVERIES: Final = 20
_PROGRESS_SECONDS = 0.25
_AUDIT_TICKS = 3
_JOB_FAILED = "JobFailed"


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How a worker runs.

    Attributes
    ----------
    url : str
        Job database: `sqlite:///...` or `postgresql://...`.
    executor_id : str
        Stable name, never shared by two live workers: `<host>-cpu0`, `<host>-gpu0`.
    queues : mapping of queue name to the number of jobs computed at a time
    command : sequence of str
        Starts the zygote: a process that calls `serve_zygote`.
    tick, fence, grace : float, seconds
        The worker renews its lease every `tick`, ends after `fence` without success, and is
        declared dead by others after `grace`.
    poll : float, seconds
        How often the queues are looked at.
    """

    url: str
    executor_id: str
    queues: Mapping[str, int] = field(default_factory=lambda: {CPU: 1})
    command: Sequence[str] = (sys.executable, "-m", "calibrant.cli", "child")
    tick: float = 1.0
    fence: float = 10.0
    grace: float = 15.0
    poll: float = 0.05

    def __post_init__(self) -> None:
        if not self.tick < self.fence < self.grace:
            raise ValueError("`tick` must be below `fence`, and `fence` below `grace`")


def run_worker(config: WorkerConfig, commit: Commit) -> NoReturn:
    """Work until SIGTERM or SIGINT; jobs under way go back to the queue.

    Call it from the main thread. It ends the process itself: jobs run in threads that cannot be
    interrupted, and whatever they would still record is no longer theirs.

    Parameters
    ----------
    config : WorkerConfig
    commit : callable (job_id, operation, reply text) -> result text
        Idempotent: after an accident it is called again with the same reply.
    """
    lifeline.follow()  # first: what follows takes long to import
    from calibrant.storage.metadata.database import Database

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    zygote = Zygote(config.command)
    database = Database(config.url)  # the first connection makes the SQLite file one with a WAL
    lease = Lease(database, config.executor_id, grace=config.grace, max_gap=3 * config.tick)
    lease.claim()  # before anybody can see work of ours, else a peer takes us for dead
    for watch in (_renew, _fence):
        threading.Thread(target=watch, args=(lease, config), daemon=True).start()
    try:
        jobs = _Jobs(config.executor_id, zygote, commit)
        _launch(config, jobs)
        _tend(config, lease, jobs, stopping)
        lease.release()
    except Exception:  # the edge of the process: threads of dbos would keep it half alive
        logger.exception("the worker failed")
        _end(1)
    _end(0)


def take_over(executor_ids: Sequence[str]) -> None:
    """Put the unfinished jobs of dead workers back into their queues.

    The only use of an internal call of dbos: the public one loses deadlines and attempts, is not
    fenced and revives cancelled jobs. A contract test guards it.
    """
    from dbos import DBOS

    DBOS._recover_pending_workflows(list(executor_ids))


def _launch(config: WorkerConfig, jobs: _Jobs) -> None:
    """Start dbos: from here on jobs come."""
    from dbos import DBOS, DBOSPortableJSONSerializer

    logging.getLogger("dbos").addFilter(_is_news)
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": config.url,
            "application_version": VERSION,
            "executor_id": config.executor_id,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "enable_otlp": False,
        }
    )
    DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)(jobs.workflow())
    DBOS.listen_queues(list(config.queues))
    DBOS.launch()
    for name, slots in config.queues.items():
        DBOS.register_queue(
            name,
            worker_concurrency=slots,
            polling_interval_sec=config.poll,
            on_conflict="always_update",
        )


def _is_news(record: logging.LogRecord) -> bool:
    """Keep dbos from writing a trace for what is part of the business, and logged by us."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return not (
        isinstance(error, ChildDied | Stop)
        or getattr(error, "name", None) == _JOB_FAILED
        or type(error).__name__ == "DBOSAwaitedWorkflowCancelledError"
    )


def _tend(config: WorkerConfig, lease: Lease, jobs: _Jobs, stopping: threading.Event) -> None:
    """Every tick, until the end: take over from the dead, and check what runs here."""
    missing: Counter[str] = Counter()
    while not stopping.wait(config.tick):
        try:
            pending = _pending()
            dead = sorted(set(pending.values()) - lease.living())
            if dead and lease.may_reap():
                logger.warning("taking over the jobs of %s", ", ".join(dead))
                take_over(dead)
            lease.prune()
        except Exception:  # whatever it is, a later tick may succeed; the fence bounds the wait
            logger.exception("looking after the jobs of others failed")
        else:
            _audit(config.executor_id, pending, jobs, missing)


def _renew(lease: Lease, config: WorkerConfig) -> None:
    """Show every tick that this worker lives, from before it takes its first job."""
    while True:
        time.sleep(config.tick)
        try:
            lease.renew()
        except LeaseLost:
            logger.critical("another worker may have taken over the jobs of this one: ending")
            _end(FENCED)
        except Unavailable:  # a later tick may succeed; the fence bounds the wait
            logger.warning("a sign of life failed: the job database is away")


def _fence(lease: Lease, config: WorkerConfig) -> None:
    """End the process when it could not renew for too long, even if the renewal itself hangs."""
    while time.monotonic() - lease.renewed < config.fence:
        time.sleep(min(0.2, config.fence / 5))
    logger.critical("no sign of life for %.1f s: ending for others to take over", config.fence)
    _end(FENCED)


def _pending() -> dict[str, str]:
    """Return the running jobs of all workers: job id -> executor id."""
    from dbos import DBOS

    rows = DBOS.list_workflows(
        status="PENDING",
        app_version=VERSION,
        application_name=APPLICATION,
        load_input=False,
        load_output=False,
    )
    return {row.workflow_id: row.executor_id or "" for row in rows}


def _audit(
    executor_id: str, pending: Mapping[str, str], jobs: _Jobs, missing: Counter[str]
) -> None:
    """End the process if a job is booked on this worker which does not run here.

    Recovering one's own id while running would start all its jobs twice; a restart does not.
    """
    ours = {job for job, owner in pending.items() if owner == executor_id} - jobs.present
    for job in set(missing) - ours:
        del missing[job]
    missing.update(ours)
    if any(count >= _AUDIT_TICKS for count in missing.values()):
        logger.critical("a job booked on this worker does not run here: ending to recover it")
        _end(FENCED)


def _end(status: int) -> NoReturn:
    """End at once; the kernel ends the zygote and its children."""
    logging.shutdown()
    os._exit(status)


class _Jobs:
    """What happens to a job in this worker."""

    def __init__(self, executor_id: str, zygote: Zygote, commit: Commit) -> None:
        self._executor_id = executor_id
        self._zygote = zygote
        self._commit = commit
        self._present: Counter[str] = Counter()
        self._counting = threading.Lock()

    @property
    def present(self) -> frozenset[str]:
        """Ids of the jobs that run in this process."""
        with self._counting:
            return frozenset(self._present)

    def workflow(self) -> Callable[[str, str], str]:
        """Return the workflow function: two steps, and the first one's failure as data."""
        from dbos import DBOS, PortableWorkflowError

        def job(operation: str, payload: str) -> str:
            job_id = DBOS.workflow_id
            assert job_id is not None, "dbos gives every workflow an id"
            with self._presence(job_id):
                outcome = self._step("compute", self._compute, job_id, operation, payload)
                if "reply" in outcome:
                    outcome = self._step(
                        "commit", self._record, job_id, operation, outcome["reply"]
                    )
                if "result" in outcome:
                    return str(outcome["result"])
                logger.info("job %s failed: %s", job_id, outcome["code"])
                raise PortableWorkflowError(
                    outcome["detail"], _JOB_FAILED, outcome["code"], {"errors": outcome["errors"]}
                )

        return job

    @contextmanager
    def _presence(self, job_id: str) -> Iterator[None]:
        """Count the job as running here."""
        with self._counting:
            self._present[job_id] += 1
        try:
            yield
        finally:
            with self._counting:
                self._present[job_id] -= 1
                if not self._present[job_id]:
                    del self._present[job_id]

    def _step(self, name: str, function: Callable[..., dict[str, Any]], *args: str) -> Any:
        """Run a step whose outcome is recorded; accidents are tried again."""
        from dbos import DBOS

        return DBOS.run_step(
            {
                "name": name,
                "retries_allowed": True,
                "max_attempts": ATTEMPTS,
                "interval_seconds": 0.2,
                "should_retry": lambda error: not isinstance(error, Stop),
            },
            function,
            *args,
        )

    def _compute(self, job_id: str, operation: str, payload: str) -> dict[str, Any]:
        """Have the job computed in a child."""
        retries = _attempt()
        deadline = self._deadline(job_id)
        report = _Reporter(retries)
        if retries:
            report(Progress(0, 0))
        try:
            reply = self._zygote.run(
                operation,
                payload,
                on_progress=report,
                should_stop=lambda: not self._is_ours(job_id),
                timeout=None if deadline is None else deadline - time.time(),
            )
        except ChildFailed as error:
            failure = error.failure
            errors = [[each.pointer, each.message] for each in failure.errors]
            return _failure(failure.code, failure.detail, errors)
        except TimedOut as error:
            return _failure(error.code, error.detail)
        except ChildDied as error:
            logger.warning("job %s, attempt %d: %s", job_id, retries + 1, error)
            if retries + 1 < ATTEMPTS:
                raise
            return _failure(error.code, f"After {ATTEMPTS} attempts: {str(error).rstrip('.')}.")
        return {"reply": reply}

    def _record(self, job_id: str, operation: str, reply: str) -> dict[str, Any]:
        """Commit the reply."""
        try:
            return {"result": self._commit(job_id, operation, reply)}
        except Unavailable:
            if _attempt() + 1 < ATTEMPTS:
                raise
            return _failure("unavailable", "The result could not be stored.")
        except CalibrantError as error:
            errors = [[each.pointer, each.message] for each in error.errors]
            return _failure(error.code, error.detail, errors)

    def _deadline(self, job_id: str) -> float | None:
        """Return when the job must have ended, in seconds since 1970."""
        row = _row(job_id)
        if row is None or row.status != "PENDING" or row.executor_id != self._executor_id:
            raise Stop("The job was cancelled or has a new owner.")
        milliseconds = row.workflow_deadline_epoch_ms
        return None if milliseconds is None else milliseconds / 1000

    def _is_ours(self, job_id: str) -> bool:
        """Whether the job is still to be computed, and here."""
        row = _row(job_id)
        return row is not None and row.status == "PENDING" and row.executor_id == self._executor_id


class _Reporter:
    """Write progress down, but not more often than somebody could look."""

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._next = 0.0

    def __call__(self, frame: Progress) -> None:
        from dbos import DBOS

        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PROGRESS_SECONDS
        event = {"done": frame.done, "of": frame.of, "text": frame.text, "retries": self._retries}
        DBOS.set_event(PROGRESS, event)


def _row(job_id: str) -> Any:
    """Read the state of a job without its input and output."""
    from dbos import DBOS

    rows = DBOS.list_workflows(workflow_ids=[job_id], load_input=False, load_output=False)
    return rows[0] if rows else None


def _attempt() -> int:
    """Count how often the current step was tried before."""
    from dbos import DBOS

    status = DBOS.step_status
    return 0 if status is None else status.current_attempt or 0


def _failure(code: str, detail: str, errors: Sequence[Sequence[str]] = ()) -> dict[str, Any]:
    """Put a failure into a form that survives a restart."""
    return {"code": code, "detail": detail, "errors": [list(each) for each in errors]}

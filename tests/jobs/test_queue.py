from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from typing import Any

import pytest

from calibrant.errors import NotFound, Unavailable
from calibrant.jobs import JobQueue, WorkerConfig


def test_a_new_job_is_queued(site: Any) -> None:
    site.put("a", "echo")
    view = site.queue.look("a")
    assert (view.job_id, view.operation, view.tenant) == ("a", "echo", "acme")
    assert (view.state, view.done, view.attempts) == ("queued", False, 0)
    assert view.result is view.error is view.progress is view.started_at is view.finished_at is None
    assert view.created_at > 1_700_000_000


def test_the_same_id_again_changes_nothing(site: Any) -> None:
    site.put("a", "echo", text="first")
    before = site.queue.look("a")
    site.put("a", "echo", text="second")
    assert site.queue.look("a") == before


def test_an_unknown_job_is_not_found(site: Any) -> None:
    with pytest.raises(NotFound):
        site.queue.look("nothing")


def test_a_queued_job_can_be_cancelled(site: Any) -> None:
    site.put("a", "echo")
    site.queue.cancel("a")
    view = site.queue.look("a")
    assert (view.state, view.done) == ("cancelled", True)
    assert view.error.code == "cancelled"
    assert view.finished_at is not None


def rewrite(site: Any, job_id: str, **columns: Any) -> None:
    """Bring a job into a state that takes a long time to reach."""
    database = sqlite3.connect(site.url.removeprefix("sqlite:///"))
    values = ", ".join(f"{name} = :{name}" for name in columns)
    with database:
        database.execute(
            f"UPDATE workflow_status SET {values} WHERE workflow_uuid = :id",
            columns | {"id": job_id},
        )
    database.close()


def test_a_job_whose_deadline_passed_without_a_worker_is_timed_out(site: Any) -> None:
    site.put("a", "echo")
    now = int(time.time() * 1000)
    rewrite(site, "a", status="CANCELLED", workflow_deadline_epoch_ms=now, completed_at=now + 400)
    view = site.queue.look("a")
    assert (view.state, view.error.code) == ("timed_out", "timed_out")


def test_a_job_that_takes_every_worker_down_is_given_up(site: Any) -> None:
    site.put("a", "echo")
    rewrite(site, "a", status="MAX_RECOVERY_ATTEMPTS_EXCEEDED", recovery_attempts=22)
    view = site.queue.look("a")
    assert (view.state, view.error.code, view.attempts) == ("failed", "crashed", 22)


def test_a_database_that_is_away_is_unavailable() -> None:
    queue = JobQueue("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(Unavailable):
        queue.look("a")


def test_importing_jobs_loads_no_heavy_library() -> None:
    heavy = {"dbos", "sqlalchemy", "numpy", "numba", "alembic", "psycopg"}
    code = f"import sys, calibrant.jobs; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_worker_must_end_before_others_declare_it_dead() -> None:
    with pytest.raises(ValueError, match="fence"):
        WorkerConfig("sqlite:///jobs.sqlite", "one", fence=20.0, grace=15.0)

"""The contract of the internal call of dbos that takes over the work of dead executors.

Every row of the comparison with the public route in the design is one test. If one of them fails
after an upgrade, `calibrant.jobs.worker.take_over` must change before the new version is let in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from dbos import DBOSClient, DBOSPortableJSONSerializer

pytestmark = pytest.mark.live


class Peers:
    """Executors of a bare application in which a parent waits for a shard."""

    def __init__(self, site: Any) -> None:
        self._site = site
        site.queue.check()  # makes the tables
        self.client = DBOSClient(
            system_database_url=site.url,
            application_name="calibrant",
            serializer=DBOSPortableJSONSerializer(),
        )

    def start(self, name: str, *queues: str) -> Any:
        process = self._site.program(
            "peer.py", self._site.url, name, str(self._site.folder), *queues
        )
        assert process.stdout.readline() == "ready\n"
        return process

    def take_over(self, process: Any, *dead: str) -> None:
        process.stdin.write(" ".join(dead) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "taken\n"

    def interrupted(self) -> tuple[Any, Any]:
        """Have an executor die while the shard runs; give the parent and the shard."""
        lost = self.start("lost", "jobs", "cpu")
        self.client.enqueue(
            {
                "workflow_name": "parent",
                "queue_name": "jobs",
                "workflow_id": "parent",
                "app_version": "jobs-v1",
                "workflow_timeout": 120.0,
            }
        )
        self.until("run lost")
        self._site.kill(lost)
        return self.parent(), self.shard()

    def parent(self) -> Any:
        return self.client.list_workflows(name="parent")[0]

    def shard(self) -> Any:
        return self.client.list_workflows(name="shard")[0]

    def notes(self) -> list[str]:
        return self._site.log.read_text("utf-8").splitlines() if self._site.log.exists() else []

    def until(self, note: str) -> None:
        deadline = time.monotonic() + 20
        while note not in self.notes():
            assert time.monotonic() < deadline, f"waited in vain for `{note}`"
            time.sleep(0.02)

    def release(self) -> None:
        (self._site.folder / "release").touch()

    def finish(self) -> str:
        deadline = time.monotonic() + 20
        while (parent := self.parent()).status in {"ENQUEUED", "PENDING"}:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return str(parent.output)


@pytest.fixture(params=["sqlite", "postgres"])
def peers(request: pytest.FixtureRequest, make_site: Any) -> Iterator[Peers]:
    site = make_site(request.param)
    opened = Peers(site)
    yield opened
    opened.client.destroy()
    site.close()


def test_the_job_completes_on_a_peer_and_finished_steps_do_not_run_again(peers: Peers) -> None:
    peers.interrupted()
    heir = peers.start("heir", "jobs", "cpu")
    peers.release()
    peers.take_over(heir, "lost")
    assert peers.finish() == "done by heir"
    assert peers.notes() == ["split", "begin", "run lost", "run heir"]


def test_deadlines_of_parent_and_shard_are_kept(peers: Peers) -> None:
    parent, shard = peers.interrupted()
    assert parent.workflow_deadline_epoch_ms is not None
    assert shard.workflow_deadline_epoch_ms == parent.workflow_deadline_epoch_ms
    time.sleep(1.1)
    heir = peers.start("heir", "jobs", "cpu")
    peers.take_over(heir, "lost")
    peers.until("run heir")
    assert peers.parent().workflow_deadline_epoch_ms == parent.workflow_deadline_epoch_ms
    assert peers.shard().workflow_deadline_epoch_ms == shard.workflow_deadline_epoch_ms


def test_recovery_attempts_are_counted(peers: Peers) -> None:
    _, shard = peers.interrupted()
    heir = peers.start("heir", "jobs", "cpu")
    peers.take_over(heir, "lost")
    peers.until("run heir")
    assert (shard.recovery_attempts, peers.shard().recovery_attempts) == (1, 2)


def test_a_second_reaper_does_not_disturb_what_the_first_one_started(peers: Peers) -> None:
    peers.interrupted()
    heir, late = peers.start("heir", "jobs", "cpu"), peers.start("late")
    peers.take_over(heir, "lost")
    peers.until("run heir")
    peers.take_over(late, "lost")
    time.sleep(0.5)
    shard = peers.shard()
    assert (shard.status, shard.executor_id, shard.recovery_attempts) == ("PENDING", "heir", 2)
    peers.release()
    assert peers.finish() == "done by heir"
    assert peers.notes().count("run heir") == 1


def test_what_was_cancelled_meanwhile_stays_cancelled(peers: Peers) -> None:
    peers.interrupted()
    peers.client.cancel_workflow("parent", cancel_children=True)
    heir = peers.start("heir", "jobs", "cpu")
    peers.take_over(heir, "lost")
    time.sleep(0.5)
    assert (peers.parent().status, peers.shard().status) == ("CANCELLED", "CANCELLED")
    assert "run heir" not in peers.notes()


def test_the_queue_is_kept(peers: Peers) -> None:
    peers.interrupted()
    deaf = peers.start("deaf")
    peers.take_over(deaf, "lost")
    assert (peers.parent().queue_name, peers.shard().queue_name) == ("jobs", "cpu")
    assert (peers.parent().status, peers.shard().status) == ("ENQUEUED", "ENQUEUED")

"""Real processes are killed at the worst moments; no job may be lost, no result repeated."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG")]

FENCED = 75
Gone = Callable[[int], bool]
both = pytest.mark.parametrize("site", ["sqlite", "postgres"], indirect=True)


@both
def test_a_killed_worker_leaves_no_orphan_and_its_job_is_done_at_the_restart(
    site: Any, until_gone: Gone
) -> None:
    worker = site.worker()
    site.put("a", "spin", seconds=1.0)
    child, zygote = site.running_child()
    site.kill(worker)
    assert until_gone(child)
    assert until_gone(zygote)
    began = time.monotonic()
    site.worker()
    site.running_child(2)
    assert time.monotonic() - began < 5
    view = site.wait("a")
    assert (view.state, view.attempts, site.commits()) == ("succeeded", 2, ["a"])


@both
def test_a_reply_that_was_recorded_is_not_computed_again(site: Any) -> None:
    worker = site.worker()
    site.put("a", "echo", text="slow")  # the commit of this reply takes two seconds
    while not site.commits():
        time.sleep(0.01)
    site.kill(worker)
    site.worker()
    assert site.wait("a").result == "stored:slow"
    assert (len(site.runs()), site.commits()) == (1, ["a", "a"])


@pytest.mark.parametrize("victim", [0, 1], ids=["child", "zygote"])
def test_a_killed_child_or_zygote_costs_one_attempt(site: Any, victim: int) -> None:
    site.worker()
    site.put("a", "spin", seconds=0.5)
    os.kill(site.running_child()[victim], signal.SIGKILL)
    view = site.wait("a")
    assert (view.state, view.attempts, site.commits()) == ("succeeded", 2, ["a"])


def test_a_worker_that_is_asked_to_end_ends_at_once_and_its_job_goes_on_later(
    site: Any, until_gone: Gone
) -> None:
    worker = site.worker()
    site.put("a", "spin", seconds=1.0)
    child, zygote = site.running_child()
    worker.terminate()
    assert worker.wait(timeout=2) == 0
    assert until_gone(child)
    assert until_gone(zygote)
    assert site.queue.look("a").state == "running"
    site.worker()
    assert site.wait("a").state == "succeeded"


def test_jobs_survive_any_sequence_of_kills(site: Any) -> None:
    """A supervisor keeps the worker, while it, its zygote and its children are killed in turn."""
    arguments = site.worker_arguments(queues={"cpu": 2})
    command = [sys.executable, str(Path(__file__).parent / "programs" / "worker.py"), arguments]
    for number in range(12):
        site.put(f"job{number}", "spin", seconds=0.5, timeout=120)
    site.program("household.py", json.dumps({"worker": command}), "5")
    for victim in itertools.islice(itertools.cycle(["child", "worker", "zygote"]), 9):
        seen = len(site.runs())
        child, zygote = site.running_child(seen + 1)
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # died with the last one
            worker = int(Path(f"/proc/{zygote}/stat").read_text("utf-8").split()[3])
            os.kill({"child": child, "zygote": zygote, "worker": worker}[victim], signal.SIGKILL)
    views = [site.wait(f"job{number}", seconds=60) for number in range(12)]
    assert {view.state for view in views} == {"succeeded"}
    assert {view.result for view in views} == {"stored:spun"}
    assert max(view.attempts for view in views) > 1


@both
def test_a_peer_takes_over_when_a_worker_never_returns(site: Any) -> None:
    config = {"tick": 0.2, "fence": 1.0, "grace": 2.0}
    lost = site.worker("lost", **config)
    site.put("first", "spin", seconds=0.2)
    site.wait("first")
    site.put("a", "spin", seconds=1.0)
    site.running_child(2)
    peer = site.worker("peer", **config)
    for number in range(5):
        site.put(f"more{number}", "spin", seconds=0.2)
    site.wait("more0")
    time.sleep(config["grace"])  # a peer takes over only after a grace without a gap
    site.put("b", "spin", seconds=30)
    holder = site.wait("b", lambda view: view.state == "running")
    assert holder.attempts == 1
    site.queue.cancel("b")
    site.put("c", "spin", seconds=1.0)
    site.wait("c", lambda view: view.state == "running")
    began = time.monotonic()
    site.kill(lost)
    ends = [site.wait(job) for job in ("a", "c", *(f"more{number}" for number in range(5)))]
    assert {view.state for view in ends} == {"succeeded"}
    assert time.monotonic() - began < config["grace"] + 4 + 2
    assert peer.poll() is None


@both
def test_a_takeover_keeps_the_deadline(site: Any) -> None:
    config = {"tick": 0.1, "fence": 0.8, "grace": 1.2}
    peer = site.worker("peer", queues={"other": 1}, **config)
    lost = site.worker("lost", **config)
    site.put("a", "spin", seconds=60, timeout=4.0)
    site.running_child()
    began = time.monotonic()
    time.sleep(1.0)
    site.kill(lost)
    site.worker("second", **config)
    view = site.wait("a")
    assert view.state == "timed_out"
    assert 2.5 < time.monotonic() - began < 5.0
    assert view.attempts <= 2
    assert peer.poll() is None


def test_a_job_cancelled_while_its_worker_is_dead_stays_cancelled(site: Any) -> None:
    config = {"tick": 0.1, "fence": 0.8, "grace": 1.2}
    lost = site.worker("lost", **config)
    site.put("a", "spin", seconds=60)
    site.running_child()
    site.kill(lost)
    site.queue.cancel("a")
    site.worker("peer", **config)
    time.sleep(3.0)
    assert site.queue.look("a").state == "cancelled"
    assert len(site.runs()) == 1


def test_a_worker_that_was_frozen_ends_instead_of_going_on(site: Any, until_gone: Gone) -> None:
    config = {"tick": 0.1, "fence": 0.8, "grace": 1.5}
    frozen = site.worker("frozen", **config)
    site.put("a", "spin", seconds=3.0)
    child, zygote = site.running_child()
    site.worker("peer", **config)
    time.sleep(2.5)
    frozen.send_signal(signal.SIGSTOP)
    site.running_child(2)
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(timeout=5) == FENCED
    assert until_gone(child)
    assert until_gone(zygote)
    view = site.wait("a")
    assert (view.state, view.attempts, site.commits()) == ("succeeded", 2, ["a"])


def test_a_worker_that_cannot_write_its_sign_of_life_ends(site: Any) -> None:
    worker = site.worker(tick=0.1, fence=1.0, grace=1.5)
    site.put("a", "echo", text="up")
    site.wait("a")
    blocker = sqlite3.connect(site.url.removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert worker.wait(timeout=5) == FENCED
    assert time.monotonic() - began < 2.5
    blocker.close()


def test_of_two_workers_with_one_name_the_first_ends(site: Any) -> None:
    first = site.worker("same")
    site.put("a", "echo", text="up")
    site.wait("a")
    second = site.worker("same")
    assert first.wait(timeout=10) == FENCED
    site.put("b", "echo", text="still up")
    assert site.wait("b").state == "succeeded"
    assert second.poll() is None


def test_a_job_booked_on_a_worker_that_does_not_run_it_is_recovered_by_a_restart(site: Any) -> None:
    worker = site.worker()
    site.put("a", "echo", text="up")
    site.wait("a")
    site.queue.enqueue("lost", "echo", '{"text": "found"}', tenant="t", timeout=60, queue="nobody")
    database = sqlite3.connect(site.url.removeprefix("sqlite:///"))
    with database:
        database.execute(
            "UPDATE workflow_status SET status = 'PENDING', executor_id = 'one', queue_name = 'cpu' "
            "WHERE workflow_uuid = 'lost'"
        )
    database.close()
    assert worker.wait(timeout=5) == FENCED
    site.worker()
    assert site.wait("lost").result == "stored:found"


def test_cancel_and_timeout_reach_a_busy_child_in_time(site: Any, until_gone: Gone) -> None:
    site.worker()
    site.put("a", "spin", seconds=60)
    child, _ = site.running_child()
    began = time.monotonic()
    site.queue.cancel("a")
    assert until_gone(child)
    assert time.monotonic() - began < 1.0
    site.put("b", "spin", seconds=60, timeout=1.5)
    child, _ = site.running_child(2)
    began = time.monotonic()
    time.sleep(1.5)
    assert until_gone(child)
    assert time.monotonic() - began < 2.5
    assert site.wait("b").state == "timed_out"


@both
def test_processes_that_come_at_once_prepare_one_database(site: Any) -> None:
    code = f"from calibrant.jobs import prepare; prepare({site.url!r})"
    racers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0, 0, 0]
    site.put("a", "echo")
    assert site.queue.look("a").state == "queued"

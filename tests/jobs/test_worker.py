"""One worker on SQLite, shared by all tests here: what happens to a job when nothing is killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def busy(make_site: Any) -> Iterator[Any]:
    site = make_site("sqlite")
    site.worker(queues={"cpu": 4})
    yield site
    site.close()


def test_a_job_is_computed_and_committed_once(busy: Any) -> None:
    busy.put("once", "echo", text="hello")
    view = busy.wait("once")
    assert (view.state, view.result, view.error) == ("succeeded", "stored:hello", None)
    assert (view.attempts, busy.commits().count("once")) == (1, 1)
    assert view.created_at <= view.started_at <= view.finished_at


def test_the_same_id_is_computed_once(busy: Any) -> None:
    for text in ("first", "second"):
        busy.put("same", "echo", text=text)
        assert busy.wait("same").result == "stored:first"
    assert busy.commits().count("same") == 1


def test_an_input_error_ends_the_job_with_its_code_at_the_first_attempt(busy: Any) -> None:
    busy.put("bad", "refuse")
    view = busy.wait("bad")
    assert (view.state, view.attempts, view.result) == ("failed", 1, None)
    assert (view.error.code, view.error.detail) == ("unusable", "These rows will not do.")
    assert view.error.errors == (("/scores/0", "not a number"),)
    assert [operation for operation, *_ in busy.runs()].count("refuse") == 1
    assert "bad" not in busy.commits()


@pytest.mark.parametrize(
    ("operation", "code"), [("segfault", "crashed"), ("offline", "unavailable")]
)
def test_an_accident_is_tried_three_times(busy: Any, operation: str, code: str) -> None:
    busy.put(operation, operation)
    view = busy.wait(operation)
    assert (view.state, view.attempts, view.error.code) == ("failed", 3, code)
    assert [ran for ran, *_ in busy.runs()].count(operation) == 3


def test_an_accident_that_does_not_repeat_costs_nothing_but_time(busy: Any, tmp_path: Any) -> None:
    log = str(tmp_path / "own-log")
    busy.put("flaky", "flaky", accidents=2, how="killed", text="third time", log=log)
    view = busy.wait("flaky")
    assert (view.state, view.result, view.attempts) == ("succeeded", "stored:third time", 3)


def test_a_commit_that_refuses_fails_the_job_without_another_try(busy: Any) -> None:
    busy.put("refused", "echo", text="conflict")
    view = busy.wait("refused")
    assert (view.state, view.error.code) == ("failed", "conflict")
    assert busy.commits().count("refused") == 1


def test_a_commit_that_cannot_reach_its_store_is_tried_again_without_computing(busy: Any) -> None:
    before = len(busy.runs())
    busy.put("away", "echo", text="away")
    view = busy.wait("away")
    assert (view.state, view.error.code) == ("failed", "unavailable")
    assert (busy.commits().count("away"), len(busy.runs()) - before) == (3, 1)


def test_a_commit_with_a_bug_fails_the_job_without_quoting_it(busy: Any) -> None:
    busy.put("bug", "echo", text="bug")
    view = busy.wait("bug")
    assert (view.state, view.error.code) == ("failed", "internal")
    assert "secret" not in view.error.detail


def test_progress_can_be_watched_and_the_job_cancelled(busy: Any, until_gone: Any) -> None:
    busy.put("long", "steps", of=1000, pause=0.01)
    view = busy.wait("long", lambda view: view.progress is not None)
    assert (view.state, view.progress.of, view.progress.text) == ("running", 1000, "counting")
    child = next(pid for operation, pid, _ in reversed(busy.runs()) if operation == "steps")
    busy.queue.cancel("long")
    assert busy.queue.look("long").state == "cancelled"
    assert until_gone(child)
    assert "long" not in busy.commits()


def test_a_job_that_takes_too_long_is_timed_out(busy: Any, until_gone: Any) -> None:
    busy.put("late", "spin", seconds=60, timeout=0.5)
    view = busy.wait("late")
    assert (view.state, view.error.code) == ("timed_out", "timed_out")
    child = next(pid for operation, pid, _ in reversed(busy.runs()) if operation == "spin")
    assert until_gone(child)


def test_a_finished_job_cannot_be_cancelled(busy: Any) -> None:
    busy.put("fast", "echo", text="done")
    busy.wait("fast")
    busy.queue.cancel("fast")
    assert busy.queue.look("fast").state == "succeeded"


def test_lower_priority_numbers_go_first(busy: Any) -> None:
    """Work holds the four slots while the queue is filled."""
    for name in ("p1", "p2", "p3", "p4"):
        busy.put(name, "spin", seconds=0.4)
    for name in ("p1", "p2", "p3", "p4"):
        busy.wait(name, lambda view: view.state == "running")
    for name, priority in [("low", 9), ("high", 1)]:
        busy.queue.enqueue(name, "echo", "{}", tenant="acme", timeout=60, priority=priority)
    busy.wait("low")
    busy.wait("high")
    commits = [job for job in busy.commits() if job in {"low", "high"}]
    assert commits == ["high", "low"]

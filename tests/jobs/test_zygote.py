from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from calibrant.errors import Stop, TimedOut
from calibrant.jobs import ChildDied, ChildFailed, Zygote
from calibrant.jobs.frames import Progress

PROGRAMS = Path(__file__).parent / "programs"
COMMAND = [sys.executable, str(PROGRAMS / "zygote.py")]


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    started = Zygote(COMMAND)
    assert started.wait_ready(20)
    yield started
    started.close()


Gone = Callable[[int], bool]


def ask(zygote: Zygote, operation: str, **told: Any) -> str:
    return zygote.run(operation, json.dumps(told))


def test_every_computation_has_a_process_of_its_own_with_everything_loaded(zygote: Zygote) -> None:
    first, second = (json.loads(ask(zygote, "whoami")) for _ in range(2))
    assert first["pid"] != second["pid"]
    assert first["parent"] == second["parent"] == zygote.pid
    assert first["loaded"]


def test_a_warm_child_answers_in_milliseconds(zygote: Zygote) -> None:
    ask(zygote, "echo")
    began = time.monotonic()
    ask(zygote, "echo")
    assert time.monotonic() - began < 0.25


def test_printing_does_not_disturb_the_reply(zygote: Zygote) -> None:
    assert ask(zygote, "chatty", text="clean") == "clean"


def test_large_requests_and_replies_pass(zygote: Zygote) -> None:
    text = "é" * 2_000_000
    assert ask(zygote, "echo", text=text) == text


def test_progress_comes_in_order(zygote: Zygote) -> None:
    seen: list[Progress] = []
    assert zygote.run("steps", json.dumps({"of": 3}), on_progress=seen.append) == "counted"
    assert seen == [Progress(done, 3, "counting") for done in (1, 2, 3)]


def test_an_expected_failure_arrives_as_data(zygote: Zygote) -> None:
    with pytest.raises(ChildFailed) as caught:
        ask(zygote, "refuse")
    failure = caught.value.failure
    assert (failure.code, failure.detail) == ("unusable", "These rows will not do.")
    assert [(each.pointer, each.message) for each in failure.errors] == [
        ("/scores/0", "not a number")
    ]


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("segfault", "SIGSEGV"),
        ("killed", "lack of memory"),
        ("hungry", "out of memory"),
        ("leave", "no answer"),
        ("bug", "ZeroDivisionError"),
        ("offline", "blob store"),
        ("not_text", "not Unicode"),
    ],
)
def test_an_accident_is_named_and_leaves_the_zygote_at_work(
    zygote: Zygote, operation: str, words: str
) -> None:
    with pytest.raises(ChildDied, match=words) as caught:
        ask(zygote, operation)
    assert "secret" not in str(caught.value)
    assert ask(zygote, "echo", text="still here") == "still here"


def test_a_timeout_kills_the_child(zygote: Zygote) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut):
        zygote.run("spin", '{"seconds": 60}', timeout=0.3)
    assert time.monotonic() - began < 0.8


def test_a_stop_kills_the_child_and_what_it_started(zygote: Zygote, until_gone: Gone) -> None:
    pids: list[int] = []
    with pytest.raises(Stop):
        zygote.run(
            "family", "{}", on_progress=lambda it: pids.append(it.done), should_stop=lambda: True
        )
    assert until_gone(pids[0])


def test_a_question_that_fails_kills_the_child(
    zygote: Zygote, tmp_path: Path, until_gone: Gone
) -> None:
    def database_is_away() -> bool:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        zygote.run(
            "spin",
            json.dumps({"seconds": 60, "log": str(tmp_path / "log")}),
            should_stop=database_is_away,
        )
    assert until_gone(int((tmp_path / "log").read_text(encoding="utf-8").split()[1]))


def test_computations_run_side_by_side(zygote: Zygote) -> None:
    told = json.dumps({"of": 4, "pause": 0.1})
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: zygote.run("steps", told), range(4))) == ["counted"] * 4
    assert time.monotonic() - began < 1.2


def test_a_killed_zygote_takes_its_children_along_and_is_replaced(
    zygote: Zygote, tmp_path: Path, until_gone: Gone
) -> None:
    log, before = tmp_path / "log", zygote.pid
    assert before is not None
    died: list[ChildDied] = []

    def compute() -> None:
        try:
            zygote.run("spin", json.dumps({"seconds": 60, "log": str(log)}))
        except ChildDied as error:
            died.append(error)

    thread = threading.Thread(target=compute)
    thread.start()
    while not (log.exists() and log.read_text(encoding="utf-8")):
        time.sleep(0.01)
    os.kill(before, signal.SIGKILL)
    thread.join(10)
    assert died
    assert until_gone(int(log.read_text(encoding="utf-8").split()[1]))
    assert ask(zygote, "echo", text="again") == "again"
    assert zygote.pid not in {None, before}


@pytest.mark.live
def test_a_zygote_that_hangs_is_killed_with_the_child_that_must_stop(
    zygote: Zygote, until_gone: Gone
) -> None:
    before = zygote.pid
    assert before is not None
    with pytest.raises(Stop):
        zygote.run(
            "steps",
            json.dumps({"of": 10_000, "pause": 0.01}),
            on_progress=lambda _: os.kill(before, signal.SIGSTOP),
            should_stop=lambda: True,
        )
    assert until_gone(before)


def test_closing_ends_the_processes_and_stops_the_runs(tmp_path: Path, until_gone: Gone) -> None:
    zygote, log = Zygote(COMMAND), tmp_path / "log"
    assert zygote.wait_ready(20)
    pid = zygote.pid
    assert pid is not None
    stopped: list[Stop] = []

    def compute() -> None:
        try:
            zygote.run("spin", json.dumps({"seconds": 60, "log": str(log)}))
        except Stop as error:
            stopped.append(error)

    thread = threading.Thread(target=compute)
    thread.start()
    while not (log.exists() and log.read_text(encoding="utf-8")):
        time.sleep(0.01)
    zygote.close()
    thread.join(10)
    assert stopped
    assert until_gone(pid)
    with pytest.raises(Stop):
        ask(zygote, "echo")


def test_a_zygote_that_never_starts_is_an_accident_within_the_timeout() -> None:
    zygote = Zygote([sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(TimedOut):
        zygote.run("echo", "{}", timeout=0.3)
    zygote.close()


OWNER = """
import sys
from calibrant.jobs import Zygote
Zygote(sys.argv[1:3]).run("spin", sys.argv[3])
"""


def test_nothing_outlives_a_killed_owner(tmp_path: Path, until_gone: Gone) -> None:
    log = tmp_path / "log"
    told = json.dumps({"seconds": 60, "log": str(log)})
    owner = subprocess.Popen([sys.executable, "-c", OWNER, *COMMAND, told])
    while not (log.exists() and log.read_text(encoding="utf-8")):
        time.sleep(0.01)
    _, child, zygote = log.read_text(encoding="utf-8").split()
    owner.kill()
    owner.wait()
    assert until_gone(int(zygote))
    assert until_gone(int(child))

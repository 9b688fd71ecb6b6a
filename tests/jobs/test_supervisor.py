"""The supervisor with small services, as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Gone = Callable[[int], bool]

NOTE = """
import os, signal, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "polite" in sys.argv:
    def leave(*_):
        with open(sys.argv[1], "a") as log:
            log.write("bye\\n")
        os._exit(0)
    signal.signal(signal.SIGTERM, leave)
with open(sys.argv[1], "a") as log:
    log.write(f"{os.getpid()}\\n")
while True:
    time.sleep(0.05)
"""


class House:
    """A supervisor, and what its services wrote down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.process: subprocess.Popen[bytes]

    def open(self, *services: str, patience: float = 5.0) -> None:
        commands = {
            name: [sys.executable, "-c", NOTE, str(self._folder / name), name] for name in services
        }
        self.start(commands, patience)

    def start(self, commands: dict[str, list[str]], patience: float = 5.0) -> None:
        program = Path(__file__).parent / "programs" / "household.py"
        arguments = [json.dumps(commands), str(patience)]
        self.process = subprocess.Popen([sys.executable, str(program), *arguments])

    def notes(self, name: str) -> list[str]:
        file = self._folder / name
        return file.read_text("utf-8").split() if file.exists() else []

    def pid(self, name: str, nth: int = 1) -> int:
        deadline = time.monotonic() + 10
        while len(self.notes(name)) < nth:
            assert time.monotonic() < deadline, f"{name} did not start"
            time.sleep(0.01)
        return int(self.notes(name)[nth - 1])


@pytest.fixture
def house(tmp_path: Path) -> Any:
    opened = House(tmp_path)
    yield opened
    opened.process.kill()
    opened.process.wait()


def test_a_service_that_dies_is_started_again_and_the_others_are_left_alone(house: House) -> None:
    house.open("api", "worker")
    api, worker = house.pid("api"), house.pid("worker")
    os.kill(worker, signal.SIGKILL)
    assert house.pid("worker", 2) != worker
    assert [int(note) for note in house.notes("api")] == [api]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_services_politely(
    house: House, until_gone: Gone, number: signal.Signals
) -> None:
    house.open("polite", "worker")
    pids = [house.pid("polite"), house.pid("worker")]
    house.process.send_signal(number)
    assert house.process.wait(timeout=5) == 0
    assert all(map(until_gone, pids))
    assert house.notes("polite")[-1] == "bye"


def test_a_service_that_does_not_listen_is_killed(house: House, until_gone: Gone) -> None:
    house.open("stubborn", patience=0.3)
    pid = house.pid("stubborn")
    house.process.terminate()
    assert house.process.wait(timeout=5) == 0
    assert until_gone(pid)


def test_a_second_signal_does_not_wait(house: House, until_gone: Gone) -> None:
    house.open("stubborn", patience=60)
    pid = house.pid("stubborn")
    house.process.terminate()
    time.sleep(0.2)
    house.process.terminate()
    assert house.process.wait(timeout=5) == 0
    assert until_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG")
def test_a_killed_supervisor_leaves_no_orphan(house: House, until_gone: Gone) -> None:
    house.open("stubborn", "worker")
    pids = [house.pid("stubborn"), house.pid("worker")]
    house.process.kill()
    assert all(map(until_gone, pids))


def test_a_service_that_never_comes_up_ends_the_house(house: House, until_gone: Gone) -> None:
    broken = [sys.executable, "-c", "raise SystemExit(3)"]
    notes = [sys.executable, "-c", NOTE, str(house._folder / "api"), "api"]
    house.start({"api": notes, "broken": broken})
    pid = house.pid("api")
    assert house.process.wait(timeout=10) == 1
    assert until_gone(pid)


def test_a_service_killed_again_and_again_is_never_given_up(house: House) -> None:
    house.open("api")
    for nth in (1, 2, 3, 4):
        os.kill(house.pid("api", nth), signal.SIGKILL)
    assert house.pid("api", 5)


@pytest.mark.live
def test_a_killed_house_can_be_opened_again_and_finishes_its_jobs(
    site: Any, house: House, until_gone: Gone
) -> None:
    worker = str(Path(__file__).parent / "programs" / "worker.py")
    commands = {"worker": [sys.executable, worker, site.worker_arguments()]}
    house.start(commands)
    site.put("a", "spin", seconds=1.0)
    child, zygote = site.running_child()
    house.process.kill()
    house.process.wait()
    assert until_gone(child)
    assert until_gone(zygote)
    began = time.monotonic()
    house.start(commands)
    assert site.wait("a").state == "succeeded"
    assert time.monotonic() - began < 10

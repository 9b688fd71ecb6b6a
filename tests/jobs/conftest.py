"""A site with a job database, real workers and a log of what their children did."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from calibrant.jobs import JobQueue, JobView

PROGRAMS = Path(__file__).parent / "programs"


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until something is so, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


@pytest.fixture
def until_gone() -> Callable[[int], bool]:
    """Give a function that waits two seconds for the end of a process, and says whether it came."""

    def wait(pid: int) -> bool:
        deadline = time.monotonic() + 2
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        return not is_alive(pid)

    return wait


class Site:
    """One installation: its database, its processes, its traces."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.queue = JobQueue(url)
        self.log = folder / "log"
        self._commits = folder / "commits"
        self._started: list[subprocess.Popen[str]] = []

    def program(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program that is ended with the test."""
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def worker_arguments(self, name: str = "one", **config: Any) -> str:
        quick = {"tick": 0.2, "fence": 2.0, "grace": 3.0}
        told = {"url": self.url, "executor_id": name, "commits": str(self._commits)}
        return json.dumps(told | quick | config)

    def worker(self, name: str = "one", **config: Any) -> subprocess.Popen[str]:
        return self.program("worker.py", self.worker_arguments(name, **config))

    def put(self, job_id: str, operation: str, *, timeout: float = 60, **told: Any) -> None:
        payload = json.dumps({"log": str(self.log), **told})
        self.queue.enqueue(job_id, operation, payload, tenant="acme", timeout=timeout)

    def wait(
        self,
        job_id: str,
        condition: Callable[[JobView], bool] = lambda view: view.done,
        seconds: float = 30.0,
    ) -> JobView:
        """Poll a job until it is as wanted."""

        def look() -> JobView | None:
            view = self.queue.look(job_id)
            return view if condition(view) else None

        view: JobView = until(look, seconds)
        return view

    def runs(self) -> list[tuple[str, int, int]]:
        """List what children began: operation, pid, pid of the zygote."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [(line.split()[0], int(line.split()[1]), int(line.split()[2])) for line in lines]

    def running_child(self, nth: int = 1) -> tuple[int, int]:
        """Wait for the nth child to begin; its pid and its zygote's."""
        runs = until(lambda: self.runs() if len(self.runs()) >= nth else None)
        return runs[nth - 1][1], runs[nth - 1][2]

    def commits(self) -> list[str]:
        if not self._commits.exists():
            return []
        return [line.split()[0] for line in self._commits.read_text("utf-8").splitlines()]

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
        self.queue.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Start a private PostgreSQL and give a maker of empty databases, or skip visibly."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    binaries, user = found[-1].parent, "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="calibrant-jobs-"))
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    as_user: dict[str, Any] = {"user": user, "cwd": folder, "stderr": subprocess.DEVNULL}
    initdb = [binaries / "initdb", "-A", "trust", "-U", "calibrant", "-N", "-D", folder / "data"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **as_user)
    here = ["-p", port, "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    server = subprocess.Popen([binaries / "postgres", "-D", folder / "data", *here], **as_user)
    ask = [binaries / "psql", "-qh", "127.0.0.1", "-p", port, "-U", "calibrant", "-d", "postgres"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    until(lambda: subprocess.run([*ask, "-c", "SELECT 1"], **quiet).returncode == 0)  # type: ignore[call-overload]
    made: list[str] = []

    def make() -> str:
        made.append(f"test_{len(made)}")
        subprocess.run([*ask, "-c", f"CREATE DATABASE {made[-1]}"], check=True)
        return f"postgresql://calibrant@127.0.0.1:{port}/{made[-1]}"

    yield make
    server.send_signal(signal.SIGINT)
    server.wait(timeout=30)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def make_site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Site]:
    """Give a maker of installations; whoever makes one closes it."""

    def make(backend: str) -> Site:
        folder = tmp_path_factory.mktemp("site")
        url = f"sqlite:///{folder / 'jobs.sqlite'}"
        if backend == "postgres":
            url = request.getfixturevalue("postgres")()
        return Site(url, folder)

    return make


@pytest.fixture
def site(request: pytest.FixtureRequest, make_site: Callable[[str], Site]) -> Iterator[Site]:
    """Open an installation on SQLite, or on the database that the test names."""
    opened = make_site(getattr(request, "param", "sqlite"))
    yield opened
    opened.close()

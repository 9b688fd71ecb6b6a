"""The real service: supervisor, API and worker as processes on a free port."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow.csv
import pyarrow.parquet
import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 150.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, port: int, **more: str) -> dict[str, str]:
    """Return the environment of a service: only what is said, and kernels from the common cache."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CALIBRANT_")}
    said = {"DATA_DIR": str(folder), "PORT": str(port), "LOG_LEVEL": "warning", **more}
    # numba then keeps its kernels beside the code, where the other tests find them too
    return {
        **kept,
        "NUMBA_CACHE_DIR": "",
        "NO_PROXY": "*",
        **{f"CALIBRANT_{key}": value for key, value in said.items()},
    }


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    found: list[int] = []
    for listed in Path("/proc").glob(f"{pid}/task/*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, listed.read_text(encoding="utf-8").split())
    return found


def command_of(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return raw.decode(errors="replace").split("\0")


class Running:
    """A started service."""

    def __init__(self, folder: Path, port: int, more: dict[str, str]) -> None:
        self.folder, self.port = folder, port
        self.environment = environment(folder, port, **more)
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder.with_name(f"{folder.name}.log")
        self.process: subprocess.Popen[bytes]
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def start(self) -> None:
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "calibrant.cli", "serve"],
                env=self.environment, stdout=sink, stderr=sink, start_new_session=True,
            )  # fmt: skip
        self.until(self.is_ready, START_SECONDS)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text("utf-8")
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def part(self, verb: str) -> int | None:
        """Return the pid of `api`, `worker`, `child` (the zygote), or of a `running` child."""
        worker = next(
            (p for p in children(self.process.pid) if command_of(p)[3:4] == ["worker"]), 0
        )
        if verb == "worker":
            return worker or None
        if verb == "api":
            return next(
                (p for p in children(self.process.pid) if command_of(p)[3:4] == ["api"]), None
            )
        zygote = next((p for p in children(worker) if command_of(p)[3:4] == ["child"]), 0)
        if verb == "child":
            return zygote or None
        return next(iter(children(zygote)), None)

    def tree(self) -> set[int]:
        """Return the pids of the supervisor and of everything below it."""
        found, left = set(), [self.process.pid]
        while left:
            pid = left.pop()
            found.add(pid)
            left += children(pid)
        return found

    @staticmethod
    def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return found

    def stop(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def running(folder: Path, **more: str) -> Iterator[Running]:
    service = Running(folder, free_port(), more)
    try:
        service.start()
        yield service
    finally:
        with contextlib.suppress(AttributeError):
            service.stop()


@pytest.fixture(scope="session")
def service(tmp_path_factory) -> Iterator[Running]:
    """Give a service without keys; tests use names of their own."""
    with running(tmp_path_factory.mktemp("service") / "data") as started:
        yield started


@pytest.fixture(scope="session")
def run_service() -> Callable[..., contextlib.AbstractContextManager[Running]]:
    """Give what starts a service of one's own."""
    return running


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Give what says whether a process runs; a zombie does not."""
    return is_alive


@pytest.fixture(scope="session")
def your_csv(tmp_path_factory) -> Path:
    """Give the flights of May as a CSV file."""
    source = ROOT / "service" / "calibrant" / "cli" / "demo_data" / "flights_may.parquet"
    path = tmp_path_factory.mktemp("flights") / "your.csv"
    pyarrow.csv.write_csv(pyarrow.parquet.read_table(source), path)
    return path


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT

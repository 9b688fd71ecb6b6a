"""A server under test: started on one core, loaded from another, its whole process tree counted."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.process import ONE_THREAD, Broken

START_SECONDS = 180.0
"""How long a server may take to come up: the first start compiles kernels."""
STOP_SECONDS = 15.0


def cores() -> tuple[int, int]:
    """Return the server's core and the client's: the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as bytes.

    Attributes
    ----------
    connections : int
        Connections on which it is repeated.
    """

    path: str
    body: bytes
    headers: Mapping[str, str]
    connections: int

    def raw(self) -> bytes:
        """Return what goes over the wire."""
        head = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        head.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + self.body


class Server:
    """A process (tree) that serves HTTP on a port of this machine.

    Raises
    ------
    Broken
        If it does not come up.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        port: int,
        *,
        environment: Mapping[str, str] | None = None,
        ready: str = "/",
        pinned: bool = True,
    ) -> None:
        self.port = port
        core = cores()[0]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **ONE_THREAD, **(environment or {})},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, {core})) if pinned else None,
        )
        try:
            self._wait(ready)
        except Broken:
            self.close()
            raise

    def _wait(self, path: str) -> None:
        """Wait until it answers; a bench server answers POST only, so any answer but 5xx will do."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise Broken(f"the server ended: {self.last_words()}")
            with contextlib.suppress(OSError):
                if self.get(path) < 500:
                    return
            time.sleep(0.1)
        raise Broken(f"the server did not come up in {START_SECONDS:.0f} s")

    def get(self, path: str) -> int:
        """Return the status of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def call(
        self, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and JSON of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            content = json.loads(response.read() or b"null")
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, content
        finally:
            connection.close()

    def load(self, request: Request, seconds: float) -> dict[str, Any]:
        """Repeat a request; return CPU seconds of the process tree per request, and what came back.

        Raises
        ------
        Broken
            If an answer is not 200.
        """
        with tempfile.NamedTemporaryFile() as file:
            file.write(request.raw())
            file.flush()
            core = cores()[1]
            before = self.cpu()
            done = subprocess.run(
                [
                    sys.executable,
                    Path(__file__).with_name("load.py"),
                    *(str(v) for v in (self.port, file.name, request.connections, seconds)),
                ],
                capture_output=True,
                text=True,
                check=False,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
            spent = self.cpu() - before
        if done.returncode:
            raise Broken((done.stderr.strip().splitlines() or ["the client failed"])[-1])
        heard: dict[str, Any] = json.loads(done.stdout)
        if heard["failed"]:
            text = bytes.fromhex(heard["response"])[:300].decode(errors="replace")
            raise Broken(f"{heard['failed']} of {heard['requests']} answers are not 200: {text}")
        heard["cpu"] = spent / heard["requests"]
        return heard

    def cpu(self) -> float:
        """Return CPU seconds, user and system, of the process and everything below it."""
        ticks = sum(_ticks(pid) for pid in _tree(self._process.pid))
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss(self) -> float:
        """Return the resident megabytes of the process itself."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6

    def last_words(self) -> str:
        """Return the last line it wrote."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"status {self._process.returncode}"

    def close(self) -> None:
        """End it and everything below it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tree(root: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += parents.get(pid, [])


def _ticks(pid: int) -> int:
    """Return clock ticks of a process and of its children that have ended."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return 0

"""Keep the processes of one machine alive: start them, start them again, end them together."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from calibrant.jobs import lifeline

logger = logging.getLogger(__name__)

HEALTHY_SECONDS: Final = 10.0
"""A process that lived so long has proven that it can."""

FIRST_STARTS: Final = 3
"""One that never did, and left by itself so often, is given up: its port is taken, say."""
_BACKOFF = (0.1, 5.0)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Service:
    """A process to keep alive.

    Attributes
    ----------
    name : str
        For the log.
    command : sequence of str
    environment : mapping of str to str
        Added to that of the supervisor; the same at every start, so a worker keeps its name.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Supervisor:
    """Run services until a signal comes.

    Parameters
    ----------
    services : sequence of Service
    patience : float, seconds
        How long they may take to end after SIGTERM before they are killed; a second signal
        kills at once.

    Notes
    -----
    On Linux the kernel kills every service when the supervisor dies, however it dies. It has one
    thread, and runs `run` in it, because that is tied to the thread.
    """

    def __init__(self, services: Sequence[Service], *, patience: float = 10.0) -> None:
        self._kept = [_Kept(service) for service in services]
        self._patience = patience
        self._signals = 0

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or SIGHUP; call it from the main thread.

        Returns
        -------
        int
            Exit status: 0 after a signal, 1 if a service never came up.
        """
        ears, mouth = os.pipe()
        os.set_blocking(ears, False)
        os.set_blocking(mouth, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._hear)
        before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
        try:
            came_up = self._keep(ears)
            self._stop(ears)
        finally:
            signal.set_wakeup_fd(before)
            os.close(ears)
            os.close(mouth)
        return 0 if came_up else 1

    def _hear(self, *_: object) -> None:
        """Note that somebody wants the end."""
        self._signals += 1

    def _keep(self, ears: int) -> bool:
        """Start whatever does not run; False if something never came up."""
        while not self._signals:
            for kept in self._kept:
                kept.look()
                if kept.hopeless:
                    logger.error("%s does not start: giving up", kept.service.name)
                    return False
                if kept.is_due():
                    kept.start()
            _sleep(ears, min(kept.patience() for kept in self._kept))
        return True

    def _stop(self, ears: int) -> None:
        """End everything: politely, then not."""
        signals = self._signals
        for kept in self._kept:
            kept.signal(signal.SIGTERM)
        until = time.monotonic() + self._patience
        while any(kept.runs() for kept in self._kept):
            left = until - time.monotonic()
            if left <= 0 or self._signals > signals:
                break
            _sleep(ears, left)
        for kept in self._kept:
            kept.kill()


class _Kept:
    """One service and the process that it is at the moment."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.hopeless = False
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._due = 0.0
        self._pause = _BACKOFF[0]
        self._proven = False
        self._failures = 0

    def start(self) -> None:
        """Start the process; the one before is dead."""
        supervisor = os.getpid()
        self._started = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            self.service.command,
            env={**os.environ, **self.service.environment, lifeline.PARENT: str(supervisor)},
            start_new_session=True,  # Ctrl-C comes to the supervisor alone, which passes it on
            # Safe here, with one thread; set before the command runs, so it needs no cooperation.
            preexec_fn=(lambda: lifeline.follow(supervisor)) if sys.platform == "linux" else None,
        )

    def look(self) -> None:
        """Notice the death of the process and plan its next start."""
        if self._process is None or self._process.poll() is None:
            return
        lived = time.monotonic() - self._started
        status, pid = self._process.returncode, self._process.pid
        self._process = None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # where the kernel does not end what it started
        if lived >= HEALTHY_SECONDS:
            self._proven, self._pause = True, _BACKOFF[0]
        self._failures += status >= 0  # a signal is an accident; leaving by itself, a statement
        self.hopeless = not self._proven and self._failures >= FIRST_STARTS
        self._due = time.monotonic() + self._pause
        logger.warning(
            "%s ended with status %d after %.1f s; next start in %.1f s",
            self.service.name,
            status,
            lived,
            self._pause,
        )
        self._pause = min(self._pause * 2, _BACKOFF[1])

    def is_due(self) -> bool:
        """Whether it is time to start it."""
        return self._process is None and time.monotonic() >= self._due

    def patience(self) -> float:
        """Seconds until it must be looked at again if nothing happens."""
        if self._process is not None:
            return 1.0
        return max(0.0, self._due - time.monotonic())

    def runs(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is somebody to get it."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill what is left, and wait for it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


def _sleep(ears: int, seconds: float) -> None:
    """Wait for a signal, or for some time."""
    if select.select([ears], [], [], seconds)[0]:
        with contextlib.suppress(BlockingIOError):
            os.read(ears, 4096)

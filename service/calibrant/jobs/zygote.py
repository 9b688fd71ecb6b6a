"""The worker's side of the zygote: run a computation in a child that can be killed."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from calibrant.errors import Stop, TimedOut
from calibrant.jobs.frames import (
    Crash,
    Exited,
    Failure,
    FrameBuffer,
    FrameError,
    Kill,
    Progress,
    Ready,
    Reply,
    Request,
    Start,
    pack,
)
from calibrant.jobs.lifeline import PARENT

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
START_SECONDS = 120.0
_GONE_SECONDS = 1.0
_SEND_SECONDS = 30.0
_BYTES = 1 << 18
_HEALTHY_SECONDS = 10.0
_BACKOFF = (0.05, 5.0)

# One computation gets one core: pools of threads would fight over it, and a thread that a
# numerical library starts on import would make the zygote unsafe to fork.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


class ChildDied(Exception):
    """A child ended without an answer: crashed, killed, out of memory. Worth another try.

    Parameters
    ----------
    reason : str
        What happened, for a person.
    code : str
        The code of the job if no other try is left.
    """

    def __init__(self, reason: str, code: str = "crashed") -> None:
        super().__init__(reason)
        self.code = code


class ChildFailed(Exception):
    """The computation failed in a way it knows and names. Never worth another try."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


class _Process:
    """One life of the zygote process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.control, theirs = socket.socketpair()
        with theirs:
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - the command comes from the configuration
                command, stdin=theirs.fileno(), env=dict(environment), close_fds=True
            )
        self.pid = self._popen.pid
        self.started = time.monotonic()
        self.ready = False
        self.runs: set[int] = set()
        self.statuses: dict[int, int] = {}
        self._sending = threading.Lock()

    def send(self, frame: Start | Kill, line: socket.socket | None = None) -> None:
        """Send a frame, with the descriptor of a line if it needs one."""
        with self._sending:
            if line is None:
                self.control.sendall(pack(frame))
            else:
                # Far smaller than the buffer of a socket, so never cut in two.
                socket.send_fds(self.control, [pack(frame)], [line.fileno()])

    def kill(self) -> None:
        """Kill the zygote; the kernel kills its children with it."""
        self._popen.kill()

    def bury(self) -> int:
        """Wait for the end of the process and give its exit status."""
        self.control.close()
        return self._popen.wait()


class Zygote:
    """Run computations in children of a warm process, which is started again when it dies.

    Parameters
    ----------
    command : sequence of str
        Starts a process that calls `serve_zygote`.
    environment : mapping of str to str, optional
        Its environment; default: that of this process.

    Notes
    -----
    The kernel ties the life of the zygote to the thread that started it, so one thread of this
    object starts every zygote and lives until `close`.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        base = os.environ if environment is None else environment
        self._command = tuple(command)
        self._environment = {**ONE_THREAD, **base, PARENT: str(os.getpid())}
        self._runs = itertools.count(1)
        self._changed = threading.Condition()
        self._process: _Process | None = None
        self._closed = False
        self._keeper = threading.Thread(target=self._keep, name="zygote-keeper", daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int | None:
        """Process id of the zygote, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def wait_ready(self, timeout: float = START_SECONDS) -> bool:
        """Wait until the zygote has loaded everything; False if it did not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or self._is_ready(), timeout)

    def run(
        self,
        operation: str,
        payload: str,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
        timeout: float | None = None,
    ) -> str:
        """Compute in a child and give its reply.

        Parameters
        ----------
        operation, payload : str
            Handed to `compute` in the child.
        on_progress : callable
            Told every progress frame, in this thread.
        should_stop : callable
            Asked every quarter of a second; True kills the child.
        timeout : float, seconds, or None
            The child is killed when they are over.

        Raises
        ------
        ChildFailed
            If the computation failed in an expected way.
        ChildDied
            If the child ended without an answer.
        TimedOut
            If it ran longer than `timeout`.
        Stop
            If `should_stop` said so, or this object was closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process, run = self._start(theirs, deadline)
            watch = _Run(process, run, ours, on_progress, should_stop, deadline, self)
            try:
                return watch.follow(Request(operation, payload))
            finally:
                self._forget(process, run)

    def close(self) -> None:
        """End the zygote and all children; runs under way raise `Stop`."""
        with self._changed:
            self._closed = True
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()
        if self._keeper is not threading.current_thread():
            self._keeper.join(timeout=5.0)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def status_of(self, process: _Process, run: int) -> int | None:
        """Wait a moment for the exit status of a child; None if the zygote went with it."""
        with self._changed:
            self._changed.wait_for(
                lambda: run in process.statuses or self._process is not process, _GONE_SECONDS
            )
            return process.statuses.get(run)

    def _forget(self, process: _Process, run: int) -> None:
        """Nobody asks for this run any more."""
        with self._changed:
            process.runs.discard(run)
            process.statuses.pop(run, None)

    def _is_ready(self) -> bool:
        return self._process is not None and self._process.ready

    def _start(self, line: socket.socket, deadline: float | None) -> tuple[_Process, int]:
        """Have a child forked for `line`."""
        patience = START_SECONDS if deadline is None else deadline - time.monotonic()
        if not self.wait_ready(max(0.0, min(patience, START_SECONDS))):
            if deadline is not None and time.monotonic() >= deadline:
                raise TimedOut("The job ran out of time before it could start.")
            raise ChildDied("the process that computes does not start")
        process, run = self._process, next(self._runs)
        if self._closed:
            raise Stop("The worker is shutting down.")
        if process is None:
            raise ChildDied("the process that computes died")
        with self._changed:
            process.runs.add(run)
        try:
            process.send(Start(run), line)
        except OSError:
            raise ChildDied("the process that computes died") from None
        return process, run

    def _keep(self) -> None:
        """Hold a zygote alive until the end: start, listen, bury, start again."""
        pause = _BACKOFF[0]
        while (process := self._spawn()) is not None:
            self._listen(process)
            with self._changed:
                self._process = None
                self._changed.notify_all()
            status = process.bury()
            if not self.closed:
                logger.warning("the process that computes ended with status %d", status)
            lived = time.monotonic() - process.started
            pause = _BACKOFF[0] if lived > _HEALTHY_SECONDS else min(pause * 2, _BACKOFF[1])
            with self._changed:
                self._changed.wait_for(lambda: self._closed, pause)

    def _spawn(self) -> _Process | None:
        """Start the process, unless the end came first."""
        with self._changed:
            if self._closed:
                return None
            self._process = process = _Process(self._command, self._environment)
            return process

    def _listen(self, process: _Process) -> None:
        """Note what the zygote reports until its line closes."""
        buffer = FrameBuffer()
        try:
            while data := process.control.recv(_BYTES):
                for frame in buffer.feed(data):
                    with self._changed:
                        if isinstance(frame, Ready):
                            process.ready = True
                        elif isinstance(frame, Exited) and frame.run in process.runs:
                            process.statuses[frame.run] = frame.status
                        self._changed.notify_all()
        except (OSError, FrameError):
            process.kill()


class _Run:
    """One computation, from request to answer."""

    def __init__(
        self,
        process: _Process,
        run: int,
        line: socket.socket,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        deadline: float | None,
        zygote: Zygote,
    ) -> None:
        self._process = process
        self._run = run
        self._line = line
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._deadline = deadline
        self._zygote = zygote
        self._next_poll = time.monotonic() + POLL_SECONDS

    def follow(self, request: Request) -> str:
        """Send the request and wait for the answer; whatever ends the wait ends the child."""
        answered = False
        try:
            self._line.settimeout(_SEND_SECONDS)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # seen as EOF below
                self._line.sendall(pack(request))
            answer = self._wait()
            answered = True
        except TimeoutError:
            raise ChildDied("a child did not read its request") from None
        finally:
            if not answered:
                self._kill()
        return self._judge(answer)

    def _wait(self) -> Reply | Failure | Crash | None:
        """Read frames until the closing one; None if the line ends without one."""
        buffer = FrameBuffer()
        while True:
            self._check()
            readable, _, _ = select.select([self._line], [], [], self._patience())
            if not readable:
                continue
            try:
                data = self._line.recv(_BYTES)
            except ConnectionResetError:
                return None
            if not data:
                return None
            for frame in buffer.feed(data):
                if isinstance(frame, Reply | Failure | Crash):
                    return frame
                if isinstance(frame, Progress):
                    self._on_progress(frame)

    def _patience(self) -> float:
        """Seconds until the next thing that must be looked at."""
        until = self._next_poll if self._deadline is None else min(self._next_poll, self._deadline)
        return max(0.0, until - time.monotonic())

    def _check(self) -> None:
        """Stop if time is up or somebody asks for it."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise TimedOut("The job took longer than its timeout.")
        if self._zygote.closed:
            raise Stop("The worker is shutting down.")
        if now >= self._next_poll:
            self._next_poll = now + POLL_SECONDS
            if self._should_stop():
                raise Stop("The job was cancelled or has a new owner.")

    def _kill(self) -> None:
        """Kill the child and see it dead; if the zygote does not do it, kill the zygote."""
        try:
            self._process.send(Kill(self._run))
            until = time.monotonic() + _GONE_SECONDS
            data = b"."
            while data and time.monotonic() < until:
                self._line.settimeout(max(0.001, until - time.monotonic()))
                data = self._line.recv(_BYTES)
            if data:
                self._process.kill()
        except TimeoutError:
            self._process.kill()
        except OSError:
            return  # the zygote is gone, and its children with it

    def _judge(self, answer: Reply | Failure | Crash | None) -> str:
        """Turn the closing frame into a result or an exception."""
        if isinstance(answer, Reply):
            return answer.text
        if isinstance(answer, Failure):
            raise ChildFailed(answer)
        if isinstance(answer, Crash):
            raise ChildDied(f"the computation {answer.reason}", answer.code)
        if self._zygote.closed:
            raise Stop("The worker is shutting down.")
        raise ChildDied(_obituary(self._zygote.status_of(self._process, self._run)))


def _obituary(status: int | None) -> str:
    """Say how a child ended that gave no answer."""
    if status is None:
        return "the process that computes died"
    if status == -signal.SIGKILL:
        return "the computation was killed, most likely for lack of memory"
    if status < 0:
        return f"the computation crashed with {signal.Signals(-status).name}"
    return f"the computation ended with status {status} and no answer"

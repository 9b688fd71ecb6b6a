"""The zygote and its children: the processes that compute.

`serve_zygote` loads the heavy libraries once and then forks a warm child per request, so that a
computation starts in milliseconds and can be killed at any instant without harm to anything else.
The zygote has one thread: a fork copies only the thread that forks, and a lock held by another
would stay locked in the child for ever.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from calibrant.errors import CalibrantError, Unavailable
from calibrant.jobs import lifeline
from calibrant.jobs.frames import (
    Crash,
    Exited,
    Failure,
    Finding,
    FrameBuffer,
    FrameError,
    Kill,
    Progress,
    Ready,
    Reply,
    Request,
    Start,
    pack,
    read_frame,
)

logger = logging.getLogger(__name__)

ProgressCall = Callable[[int, int, str], None]
Compute = Callable[[str, str, ProgressCall], str]

_CONTROL_BYTES = 1 << 16
_MAX_DESCRIPTORS = 16


def serve_zygote(compute: Compute, preload: Callable[[], object] | None = None) -> NoReturn:
    """Be a zygote: fork a child for every request until the worker closes the line or dies.

    Parameters
    ----------
    compute : callable (operation, payload, progress) -> reply text
        What a child does. A `CalibrantError` it raises ends the job with that code; any other
        exception counts as an accident and is tried again.
    preload : callable, optional
        Imports and warms what computations need, once, before the first fork.
    """
    lifeline.follow()
    control = _take_stdin()
    os.dup2(2, 1)  # whatever prints must not disturb a protocol
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the worker decides
    faulthandler.enable()
    if preload is not None:
        preload()
    _count_threads()
    gc.collect()
    gc.freeze()  # keeps the pages of the loaded libraries shared after a fork
    _Zygote(control, compute).serve()


def _count_threads() -> None:
    """Warn if a library started threads: a child may find their locks closed for ever."""
    tasks = Path("/proc/self/task")  # counts those that Python does not know, too
    if tasks.exists() and (threads := len(list(tasks.iterdir()))) > 1:
        logger.warning("%d threads are alive before the first fork", threads)


def _take_stdin() -> socket.socket:
    """Move the line to the worker from descriptor 0 to a private one."""
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control


class _Zygote:
    """The loop that forks, kills and buries."""

    def __init__(self, control: socket.socket, compute: Compute) -> None:
        self._control = control
        self._compute = compute
        self._buffer = FrameBuffer()
        self._lines: list[int] = []
        self._children: dict[int, int] = {}  # pid -> run
        self._wakeup, bell = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(bell, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)

    def serve(self) -> NoReturn:
        """Take requests until the line closes."""
        self._control.sendall(pack(Ready()))
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._wakeup], [], [])
            if self._wakeup in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, _CONTROL_BYTES)
                self._bury()
            if self._control.fileno() in ready:
                self._listen()

    def _listen(self) -> None:
        """Read what the worker says; leave, with all children, when it hangs up."""
        try:
            data, lines, _, _ = socket.recv_fds(self._control, _CONTROL_BYTES, _MAX_DESCRIPTORS)
        except ConnectionError:
            data, lines = b"", []
        self._lines.extend(lines)
        if not data:
            for pid in self._children:
                _kill_group(pid)
            os._exit(0)
        for frame in self._buffer.feed(data):
            if isinstance(frame, Start):
                self._fork(frame.run, socket.socket(fileno=self._lines.pop(0)))
            elif isinstance(frame, Kill):
                for pid in [pid for pid, run in self._children.items() if run == frame.run]:
                    _kill_group(pid)

    def _fork(self, run: int, line: socket.socket) -> None:
        """Start the child of a run."""
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # no memory or no process slot: the worker sees a child that died
            line.close()
            self._control.sendall(pack(Exited(run, os.EX_OSERR)))
            return
        if pid == 0:
            _be_child(self._compute, line, zygote, unwanted=[self._control.fileno(), self._wakeup])
        with contextlib.suppress(OSError):  # the child does the same; whoever comes first
            os.setpgid(pid, pid)
        line.close()
        self._children[pid] = run

    def _bury(self) -> None:
        """Collect the children that ended and report how."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            run = self._children.pop(pid)
            with contextlib.suppress(ConnectionError):  # the loop sees the end of the line itself
                self._control.sendall(pack(Exited(run, os.waitstatus_to_exitcode(status))))


def _kill_group(pid: int) -> None:
    """Kill a child that is not buried yet (so the pid is still its own) and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _be_child(
    compute: Compute, line: socket.socket, zygote: int, *, unwanted: list[int]
) -> NoReturn:
    """Compute one request and end; nothing of the zygote's loop ever runs here."""
    status = 1
    try:
        lifeline.follow(zygote)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in unwanted:
            os.close(descriptor)
        _answer(compute, line)
        status = 0
    except BaseException:  # noqa: BLE001 - the edge of a process: report, then end
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status)


def _answer(compute: Compute, line: socket.socket) -> None:
    """Read the request from the line, compute, and write one closing frame."""
    request = read_frame(line)
    if not isinstance(request, Request):
        return  # the worker gave up before it asked

    def progress(done: int, of: int, text: str = "") -> None:
        line.sendall(pack(Progress(int(done), int(of), str(text))))

    line.sendall(_outcome(compute, request, progress))


def _outcome(compute: Compute, request: Request, progress: ProgressCall) -> bytes:
    """Run the computation and put what came of it into a frame."""
    try:
        return pack(Reply(compute(request.operation, request.payload, progress)))
    except Unavailable as error:  # infrastructure, although it has a name: worth another try
        return pack(Crash(f"met a part that is down: {error.detail}", error.code))
    except CalibrantError as error:
        findings = tuple(Finding(each.pointer, each.message) for each in error.errors)
        return pack(Failure(error.code, error.detail, findings))
    except MemoryError:
        return pack(Crash("ran out of memory"))
    except FrameError as error:
        return pack(Crash(f"gave a reply that cannot be sent: {error}"))
    except Exception as error:  # noqa: BLE001 - the edge of a process
        traceback.print_exc()
        return pack(Crash(f"ended with {type(error).__name__}"))

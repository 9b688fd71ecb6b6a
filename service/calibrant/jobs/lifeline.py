"""Die with the parent: no process of the tree outlives the one that started it.

On Linux the kernel sends SIGKILL when the *thread* that started a process ends, so whoever
starts one must be a thread that lives as long as the process should. Elsewhere a thread watches
for a new parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Final

PARENT: Final = "CALIBRANT_PARENT_PID"
"""Environment variable in which a parent hands its pid to the process it starts."""

ORPHANED: Final = 72
"""Exit status of a process whose parent was gone before it could follow it."""

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.5

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def follow(parent: int | None = None) -> None:
    """Tie the life of this process to that of `parent` (default: the pid in the environment).

    Call it before anything that takes long. Ends the process at once if the parent is gone
    already. Does nothing without a parent to follow.
    """
    if parent is None:
        named = os.environ.get(PARENT, "")
        if not named.isdecimal():
            return
        parent = int(named)
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(ORPHANED)


def _watch(parent: int) -> None:
    """End the process as soon as it has another parent."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(ORPHANED)

"""A zygote whose children do what the payload tells them: the stand-in for real computing."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from calibrant.errors import Detail, Unavailable, Unusable
from calibrant.jobs import serve_zygote
from calibrant.jobs.child import ProgressCall


def compute(operation: str, payload: str, progress: ProgressCall) -> str:
    told: dict[str, Any] = json.loads(payload)
    if "log" in told:
        with Path(told["log"]).open("a", encoding="utf-8") as log:
            log.write(f"{operation} {os.getpid()} {os.getppid()}\n")
    return ACTIONS[operation](told, progress)


def echo(told: dict[str, Any], _: ProgressCall) -> str:
    return str(told.get("text", ""))


def whoami(*_: object) -> str:
    return json.dumps(
        {"pid": os.getpid(), "parent": os.getppid(), "loaded": "decimal" in sys.modules}
    )


def spin(told: dict[str, Any], _: ProgressCall) -> str:
    until = time.monotonic() + told["seconds"]
    while time.monotonic() < until:
        pass
    return "spun"


def steps(told: dict[str, Any], progress: ProgressCall) -> str:
    for done in range(1, told["of"] + 1):
        progress(done, told["of"], "counting")
        time.sleep(told.get("pause", 0.0))
    return "counted"


def family(_: dict[str, Any], progress: ProgressCall) -> str:
    child = subprocess.Popen(["sleep", "300"])
    progress(child.pid, 0, "pid")
    return spin({"seconds": 300}, progress)


def refuse(*_: object) -> str:
    raise Unusable("These rows will not do.", [Detail("/scores/0", "not a number")])


def flaky(told: dict[str, Any], progress: ProgressCall) -> str:
    """Have an accident as often as told, counted by the lines of the log."""
    lives = len(Path(told["log"]).read_text(encoding="utf-8").splitlines())
    return (
        echo(told, progress) if lives > told["accidents"] else ACTIONS[told["how"]](told, progress)
    )


def segfault(*_: object) -> str:
    return str(ctypes.string_at(0))


def killed(*_: object) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def leave(*_: object) -> str:
    sys.exit(3)


def bug(*_: object) -> str:
    raise ZeroDivisionError("a secret of the input")


def hungry(*_: object) -> str:
    raise MemoryError


def offline(*_: object) -> str:
    raise Unavailable("The blob store is away.")


def chatty(told: dict[str, Any], _: ProgressCall) -> str:
    print("this must not disturb the reply", flush=True)
    os.write(1, b"neither must this\n")
    return str(told["text"])


def long_reply(told: dict[str, Any], _: ProgressCall) -> str:
    return "x" * int(told["size"])


def not_text(*_: object) -> str:
    return "\ud800"


ACTIONS: dict[str, Any] = {
    "echo": echo,
    "whoami": whoami,
    "spin": spin,
    "steps": steps,
    "family": family,
    "refuse": refuse,
    "flaky": flaky,
    "segfault": segfault,
    "killed": killed,
    "leave": leave,
    "bug": bug,
    "hungry": hungry,
    "offline": offline,
    "chatty": chatty,
    "long_reply": long_reply,
    "not_text": not_text,
}


def preload() -> None:
    import decimal  # noqa: F401


if __name__ == "__main__":
    serve_zygote(compute, preload)

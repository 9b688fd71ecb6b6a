"""The line protocol of a runner: one JSON object a line in, one out; needs numpy and nothing else.

`load` prepares a case from `.npy` files, `run` repeats it and answers the process CPU time of every
repeat with the figures of the last, so that a fast wrong result is seen to be wrong.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

Figures = Mapping[str, float]
Work = Callable[[], Figures]
Prepare = Callable[..., Work]


def answer(cases: Mapping[str, Prepare], packages: Sequence[str]) -> None:
    """Answer the driver until it closes standard input."""
    channel = _own_output()
    work: Work | None = None
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            if ask["op"] == "load":
                arrays = {name: np.load(path) for name, path in ask["arrays"].items()}
                work = cases[ask["case"]](**arrays)
                reply: dict[str, Any] = {"versions": _versions(packages)}
            else:
                assert work is not None, "load comes first"
                reply = _run(work, ask["times"])
        except Exception as error:  # noqa: BLE001 - the driver shows it and goes on with the others
            reply = {"error": f"{type(error).__name__}: {error}"}
        channel.write(json.dumps(reply) + "\n")
        channel.flush()


def _own_output() -> TextIO:
    """Keep standard output for the protocol; what libraries print goes to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _run(work: Work, times: int) -> dict[str, Any]:
    spent: list[float] = []
    figures: Figures = {}
    for _ in range(times):
        start = time.process_time()
        figures = work()
        spent.append(time.process_time() - start)
    return {"cpu": spent, "figures": {name: float(value) for name, value in figures.items()}}


def _versions(packages: Sequence[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}

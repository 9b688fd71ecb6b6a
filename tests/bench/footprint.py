"""What the API process costs before it does anything: seconds of import, resident memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.server import Server

BANNED = ("numba", "torch", "onnxruntime", "sklearn", "scipy.stats", "scipy.optimize", "pyarrow")
IMPORT = f"""
import json, sys, time
wall, cpu = time.perf_counter(), time.process_time()
import calibrant.api.app
took = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([*took, [name for name in {BANNED!r} if name in sys.modules]]))
"""
IMPORT_SECONDS = 1.0
RESIDENT_MB = 280.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure with the bar it is meant to stay under."""

    name: str
    value: float
    unit: str
    bar: float
    note: str = ""


def importing(rounds: int) -> Bar:
    """Return the seconds that importing the API takes in a fresh process, without kernels."""
    walls, cpus, loaded = [], [], []
    for _ in range(rounds + 1):  # the first one may still have to write bytecode
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
        )
        wall, cpu, loaded = json.loads(done.stdout)
        walls.append(wall)
        cpus.append(cpu)
    note = f"CPU {statistics.median(cpus[1:]):.2f} s, load {os.getloadavg()[0]:.1f}"
    if loaded:
        note += f"; loads {', '.join(loaded)}, which it must not"
    wall = statistics.median(walls[1:])
    return Bar("import calibrant.api.app, wall", wall, "s", IMPORT_SECONDS, note)


def resident(name: str, server: Server) -> Bar:
    """Return the memory of a running server."""
    return Bar(name, server.rss(), "MB", RESIDENT_MB)

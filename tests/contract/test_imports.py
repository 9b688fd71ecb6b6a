"""The API process stays small: what it must not load is not loaded by importing it."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = [
    "torch",
    "onnx",
    "onnxruntime",
    "sklearn",
    "scipy.stats",
    "scipy.optimize",
    "pyarrow",
    "numba",
    "dbos",
    "matplotlib",
    "pandas",
    "alembic",
]


def loaded_by(module: str) -> set[str]:
    """Return the heavy modules that importing a module loads."""
    code = f"import sys, {module}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return set(done.stdout.split())


def test_importing_the_api_loads_nothing_heavy():
    assert loaded_by("calibrant.api.app") == set()


def test_importing_the_command_line_loads_nothing_heavy():
    assert loaded_by("calibrant.cli.main") == set()

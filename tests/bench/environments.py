"""One virtual environment per contender under `.bench/`, made on demand, all versions pinned here."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".bench"

NUMERIC = ("numpy==2.4.6", "scipy==1.17.1")
TORCH = ("torch==2.13.0", *NUMERIC)
SERVER = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
FASTAPI = ("fastapi==0.165.0", "pydantic==2.14.3", *SERVER, "numpy==2.4.6")

PINS: dict[str, tuple[str, ...]] = {
    "scikit-learn": ("scikit-learn==1.9.1", *NUMERIC),
    "torchmetrics": ("torchmetrics==1.9.0", *TORCH),
    "netcal": ("netcal==1.4.0", *TORCH),
    "probmetrics": ("probmetrics==1.3.0", "numba==0.68.1", *TORCH),  # imports numba undeclared
    "evidently": ("evidently==0.7.23", "pandas==2.3.3", *NUMERIC),  # cannot be imported with 3
    "echo": SERVER,
    "fastapi": FASTAPI,
    "fastapi-sklearn": (*FASTAPI, "scikit-learn==1.9.1", "scipy==1.17.1"),
}
"""Contender environments; `calibrant` is the environment that runs the bench."""


class Unavailable(Exception):
    """A contender's environment is not here and could not be made."""


def python(
    name: str,
    say: Callable[[str], None],
    *,
    home: Path = HOME,
    pins: Mapping[str, Sequence[str]] = PINS,
) -> Path:
    """Return the interpreter of an environment, made first when absent or pinned otherwise.

    Raises
    ------
    Unavailable
        If it has to be made and pip cannot: no network, or no such build for this machine.
    """
    if name == "calibrant":
        return Path(sys.executable)
    folder = home / name
    interpreter, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(pins[name])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return interpreter
    say(f"making .bench/{name}: {', '.join(pins[name])} ...")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder)
    # our pip serves them all, so that none has to be installed first
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        interpreter,
        "--disable-pip-version-check",
    ]
    command = [*pip, "install", "--quiet"]
    done = subprocess.run([*command, *pins[name]], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(folder)
        reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise Unavailable(f".bench/{name} could not be made: {reason}")
    stamp.write_text(wanted, encoding="utf-8")
    return interpreter

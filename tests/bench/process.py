"""A contender as the driver sees it: a process in its own environment that answers line by line."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

RUNNERS = Path(__file__).parent / "runners"
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR", "VECLIB_MAXIMUM")
}
PATIENCE = 900.0
"""Seconds after which a runner that does not answer is given up."""


class Broken(Exception):
    """A contender that cannot do its case; the text says what it said."""


class Runner:
    """One runner file in one interpreter, with one case loaded.

    Raises
    ------
    Broken
        If the runner fails or does not answer.
    """

    def __init__(self, python: Path, file: Path, case: str, arrays: Mapping[str, Path]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [python, file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={
                **os.environ,
                **ONE_THREAD,
                "PYTHONPATH": str(RUNNERS),
                "PYTHONWARNINGS": "ignore",
            },
        )
        paths = {name: str(path) for name, path in arrays.items()}
        try:
            loaded = self._ask({"op": "load", "case": case, "arrays": paths})
        except Broken:
            self.close()
            raise
        self.versions: dict[str, str] = loaded["versions"]

    def run(self, times: int) -> tuple[list[float], dict[str, float]]:
        """Repeat the case; return the CPU seconds of every repeat and the figures of the last."""
        reply = self._ask({"op": "run", "times": times})
        return reply["cpu"], reply["figures"]

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        ask, answers = self._process.stdin, self._process.stdout
        assert ask is not None
        assert answers is not None
        try:
            ask.write(json.dumps(request).encode() + b"\n")
            ask.flush()
        except BrokenPipeError:
            raise Broken(self._last_words()) from None
        if not select.select([answers], [], [], PATIENCE)[0]:
            raise Broken(f"no answer in {PATIENCE:.0f} s")
        line = answers.readline()
        if not line:
            raise Broken(self._last_words())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise Broken(reply["error"])
        return reply

    def _last_words(self) -> str:
        """Return the last line that the dead process wrote to standard error."""
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with status {self._process.returncode}"

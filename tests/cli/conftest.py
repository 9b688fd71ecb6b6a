"""The command, run in this process, and tables to run it on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from calibrant.cli.main import run

N_ROWS = 3_000
SAID = ("--scores", "p", "--labels", "y", "--task", "binary", "--score-kind", "probabilities")


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that was said, without line breaks."""
        return " ".join(f"{self.out} {self.err}".split())


@pytest.fixture
def calibrant(monkeypatch, capsys) -> Callable[..., Done]:
    """Run the command as its entry point does; a traceback fails the test."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["calibrant", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run()
        said = capsys.readouterr()
        assert "Traceback" not in said.err, said.err
        return Done(int(end.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="session")
def columns() -> dict[str, Any]:
    """Give rows whose scores are too extreme, more so in region `us`."""
    rng = np.random.default_rng(11)
    z = rng.normal(0, 1.2, N_ROWS)
    y = (rng.random(N_ROWS) < 1 / (1 + np.exp(-z))).astype(np.int64)
    region = np.where(np.arange(N_ROWS) % 3 == 0, "us", "eu")
    factor = np.where(region == "us", 2.5, 1.6)
    return {
        "id": np.arange(N_ROWS) + 1000,
        "p": 1 / (1 + np.exp(-factor * z)),
        "y": y,
        "region": region,
        "day": np.datetime64("2024-01-01", "us") + np.arange(N_ROWS) * np.timedelta64(3600, "s"),
    }


@pytest.fixture(scope="session")
def write(columns) -> Callable[..., Path]:
    """Give what writes the rows, or others, in the format of the suffix."""

    def made(path: Path, given: dict[str, Any] | None = None) -> Path:
        given = columns if given is None else given
        if path.suffix == ".npz":
            np.savez(path, **given)
            return path
        table = pa.table(given)
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, path)
        elif path.suffix == ".parquet":
            pyarrow.parquet.write_table(table, path)
        elif path.suffix == ".arrow":
            with pa.ipc.new_file(path, table.schema) as sink:
                sink.write_table(table)
        elif path.suffix == ".ndjson":
            import json

            rows = (
                {**row, "day": row["day"].isoformat() + "Z"} if "day" in row else row
                for row in table.to_pylist()
            )
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            raise AssertionError(path.suffix)
        return path

    return made


@pytest.fixture
def table(tmp_path, write) -> Path:
    return write(tmp_path / "rows.csv")


@pytest.fixture
def said() -> tuple[str, ...]:
    """Give the options that say which columns hold what."""
    return SAID

"""Whatever comes in: exit code 3, one sentence that names the place, no traceback, no echo."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

SECRET = "s3cret-value"
FILES = {
    "nothing": b"",
    "blank lines": b"\n\n\n",
    "only a header": b"p,y\n",
    "a ragged row": b"p,y\n0.5,1\n0.5\n0.2,1,7\n",
    "text among scores": f"p,y\n{SECRET},1\n0.5,0\n".encode(),
    "NaN scores": b"p,y\nnan,1\n0.5,0\n",
    "infinite scores": b"p,y\ninf,1\n0.5,0\n",
    "scores beyond 1": b"p,y\n1.5,1\n0.5,0\n",
    "labels beyond 1": b"p,y\n0.5,2\n0.5,0\n",
    "labels that are fractions": b"p,y\n0.5,0.5\n0.5,0\n",
    "huge integers": b"p,y\n0.5,99999999999999999999999999\n0.5,0\n",
    "no labels at all": b"p,y\n0.5,\n0.4,\n",
    "duplicate columns": b"p,p,y\n0.5,0.5,1\n0.4,0.4,0\n",
    "another column": b"q,y\n0.5,1\n0.4,0\n",
    "bytes of nothing": bytes(range(256)) * 8,
    "latin-1": "p,y,näme\n0.5,1,é\n0.5,0,é\n".encode("latin-1"),
    "a cut parquet file": b"PAR1" + b"\0" * 100,
    "a cut gzip file": b"\x1f\x8b\x08\x00" + b"\0" * 20,
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "deep nesting": b"[" * 100_000,
    "a lone surrogate": b'{"p": 0.5, "y": 1, "\\ud800": 1}\n{"p": 0.5, "y": 0, "\\ud800": 1}\n',
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_a_file_that_cannot_be_used(calibrant, tmp_path, said, content):
    file = tmp_path / "rows.data"
    file.write_bytes(content)
    done = calibrant("evaluate", file, *said)
    assert done.code == 3, done.out
    assert done.err.startswith("calibrant: ")
    assert len(done.err) < 2_000
    assert SECRET not in done.text
    assert "Traceback" not in done.text
    assert not list(tmp_path.glob("*.svg"))


@pytest.mark.parametrize("command", ["evaluate", "fit", "calibrate"])
def test_no_file_and_a_folder_in_its_place(calibrant, tmp_path, said, command):
    more = ("--calibrator", tmp_path / "x.json", "--out", tmp_path / "out.csv")
    for place in (tmp_path / "nowhere.csv", tmp_path):
        arguments = (command, place, *(more if command == "calibrate" else said))
        done = calibrant(*arguments)
        assert done.code == 3
        assert "There is no file" in done.err


@pytest.mark.parametrize(
    "text",
    [
        "gate = 1",
        "[[gate]]\nmetric = 'ece'\n",
        "[[gate]]\nmax = 0.1\n",
        "[[gate]]\nmetric = 'ece'\nmax = '0.1'\n",
        "[[gate]]\nmetric = 'ece'\nmax = true\n",
        "[[gate]]\nmetric = 'ece'\nmax = nan\n",
        "[[gate]]\nmetric = 'ece'\nmax = 0.1\nslice = 'x'\n",
        "[[gate]]\nmetric = 'beauty'\nmax = 0.1\n",
        "[[gate]]\nmetric = 'ece'\nmin = 0.2\nmax = 0.1\n",
        "[[gate]]\nmetric = 'ece'\nmax = 0.1\nslices = ['region=mars']\n",
        "[[gate]]\nmetric = 'nll'\nmax = 0.1\nbaseline = 'nobody'\n",
        "not toml at all [",
        "",
    ],
)
def test_gates_that_cannot_be_used(calibrant, tmp_path, table, said, text):
    gates = tmp_path / "gates.toml"
    gates.write_text(text, encoding="utf-8")
    done = calibrant("evaluate", table, *said, "--gate", gates)
    assert done.code == 3, done.text
    assert done.err.startswith("calibrant: ")


@pytest.mark.parametrize(
    "options",
    [
        ("--task", "guess"),
        ("--score-kind", "odds"),
        ("--metrics", "beauty"),
        ("--slice", "planet"),
        ("--weights", "planet"),
        ("--picture", "nowhere/at/all.svg"),
        ("--json", "nowhere/at/all.json"),
        ("--junit", "nowhere/at/all.xml"),
        ("--calibrator", "nowhere.json"),
        ("--gate", "nowhere.toml"),
        ("--beauty",),
    ],
)
def test_options_that_cannot_be_used(calibrant, monkeypatch, tmp_path, table, said, options):
    monkeypatch.chdir(tmp_path)
    done = calibrant("evaluate", table, *said, *options)
    assert done.code == 3, done.text
    assert done.err
    assert "Traceback" not in done.text


def test_rows_that_cannot_be_used_are_counted_and_placed(calibrant, tmp_path, write, said):
    p = np.full(5_000, 0.5)
    p[[7, 4_000]] = np.nan
    file = write(tmp_path / "rows.parquet", {"p": p, "y": np.arange(5_000) % 2})
    done = calibrant("evaluate", file, *said)
    assert done.code == 3
    assert "2" in done.err
    assert "7" in done.err


@pytest.mark.parametrize(
    "arguments", [("evaluate",), ("evaluate", "--no-such"), ("nothing",), ("fit", "nowhere.csv")]
)
def test_the_real_command_ends_with_three(tmp_path, arguments):
    command = [sys.executable, "-m", "calibrant.cli", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_the_real_command_says_its_version(tmp_path):
    from calibrant import __version__

    command = [sys.executable, "-m", "calibrant.cli", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, __version__)

"""The wheel holds what the product needs beside its code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True)
    (wheel,) = folder.glob("calibrant-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.live
def test_the_wheel_holds_every_file_of_the_package(names):
    here = ROOT / "service"
    expected = {
        path.relative_to(here).as_posix()
        for path in (here / "calibrant").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names


@pytest.mark.live
def test_the_wheel_holds_data_templates_static_files_and_migrations(names):
    for part in (
        "calibrant/cli/demo_data/flights_march.parquet",
        "calibrant/cli/demo_data/flights_may.parquet",
        "calibrant/storage/migrations/env.py",
        "calibrant/storage/migrations/versions/r0001_initial.py",
        "calibrant/api/pages/templates/",
        "calibrant/api/pages/static/",
    ):
        assert any(name.startswith(part) for name in names), part
    assert not any(name.startswith(("tests/", "deploy/", "openapi/")) for name in names)
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)

"""What is committed says nothing of the machine it was made on, and fits its own rules."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".txt", ".html", ".css", ".js", ".svg", ""}
ABSOLUTE = re.compile(r"(?<![\w.~-])/(?:root|work|home/\w+|Users/\w+|tmp/plan)/\w")
REGISTRY = re.compile(
    r"(?:index-url|find-links|trusted-host)[= ]+\S|//[\w.-]*(?:artifactory|nexus|devpi|jfrog)[\w.-]*"
)
MOST_LINES = 600


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    """Give the files that are, or would be, committed."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in files if path.is_file()]


def words(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.suffix in TEXT else ""


def test_no_file_holds_a_path_of_this_machine(committed):
    own = [str(ROOT), str(Path.home())] if len(str(Path.home())) > 1 else [str(ROOT)]
    for path in committed:
        text = words(path)
        found = ABSOLUTE.search(text)
        assert found is None, f"{path}: {found}"
        assert not any(f"{mine}/" in text for mine in own), path


def test_no_file_names_a_package_registry(committed):
    for path in committed:
        if path.name not in {"README.md", Path(__file__).name}:
            found = REGISTRY.search(words(path))
            assert found is None, f"{path}: {found}"


def test_no_file_is_longer_than_its_bound(committed):
    for path in committed:
        if path.suffix == ".py":
            assert words(path).count("\n") <= MOST_LINES, path


def test_every_package_is_a_package(committed):
    folders = {
        path.parent for path in committed if path.suffix == ".py" and "service" in path.parts
    }
    for folder in folders:
        assert (folder / "__init__.py").is_file(), folder


def test_the_lock_pins_every_dependency_exactly_once():
    lines = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"^[A-Za-z0-9._\[\]-]+==[^ ]+( *;.*)?$", pin) for pin in pins)
    names = {re.split(r"[=\[;]", pin)[0].lower().replace("_", "-") for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for requirement in wanted:
        name = re.split(r"[<>=;\[ ]", requirement)[0].lower().replace("_", "-")
        assert name in names, f"{name} is not pinned: run `make lock`"

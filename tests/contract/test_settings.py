"""README, `calibrant doctor` and `Settings` tell the same story."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from calibrant.cli.serve import read_settings
from calibrant.errors import Unusable
from calibrant.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(CALIBRANT_\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def documented() -> dict[str, tuple[str, str]]:
    """Return the table of settings in README: name to default and description."""
    rows = ROW.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(rows) == len({name for name, _, _ in rows}), "a setting is listed twice"
    return {name: (default, words) for name, default, words in rows}


def shown(default: object) -> str:
    if default == "":
        return "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_readme_lists_every_setting_with_its_default_and_description_and_no_other():
    expected = {
        f"CALIBRANT_{name.upper()}": (shown(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }
    assert documented() == expected


def test_every_variable_that_is_mentioned_anywhere_exists():
    known = {f"CALIBRANT_{name.upper()}" for name in Settings.model_fields}
    known |= {"CALIBRANT_TEST_SHARED", "CALIBRANT_PARENT_PID"}
    files = [ROOT / "README.md", ROOT / "docker-compose.yml", *(ROOT / "deploy").glob("Dockerfile")]
    files += (ROOT / "service").rglob("*.py")
    for path in files:
        mentioned = set(re.findall(r"CALIBRANT_[A-Z]+(?:_[A-Z]+)*", path.read_text("utf-8")))
        assert mentioned <= known, path


def test_settings_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("CALIBRANT_PORT", "8123")
    monkeypatch.setenv("CALIBRANT_AUTH", "keys")
    found = read_settings()
    assert (found.port, found.auth) == (8123, "keys")


def test_a_wrong_value_is_named_and_not_repeated(monkeypatch):
    monkeypatch.setenv("CALIBRANT_PORT", "secret-port")
    monkeypatch.setenv("CALIBRANT_CPU_SLOTS", "0")
    with pytest.raises(Unusable) as failure:
        read_settings()
    assert "CALIBRANT_PORT" in failure.value.detail
    assert "CALIBRANT_CPU_SLOTS" in failure.value.detail
    assert "secret-port" not in failure.value.detail


def test_settings_do_not_change_behind_anybodys_back():
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1

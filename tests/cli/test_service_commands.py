"""`keys`, `doctor`, `openapi`, `migrate`: the commands around a service."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
from pathlib import Path

import pytest

from calibrant.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def data(monkeypatch, tmp_path) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("CALIBRANT_DATA_DIR", str(folder))
    return folder


def test_a_key_is_printed_once_listed_without_its_secret_and_revoked(calibrant, data):
    made = calibrant("keys", "create", "--scopes", "read,fit", "--label", "ci", "--days", "3")
    assert made.code == 0, made.err
    secret = made.out.strip()
    assert len(secret) >= 32
    key = re.search(r"key (\S+):", made.err)[1]
    listed = calibrant("keys", "list")
    assert key in listed.out
    assert "ci" in listed.out
    assert "expires 20" in listed.out
    assert secret not in listed.text
    assert calibrant("keys", "revoke", key).code == 0
    assert "revoked" in calibrant("keys", "list").out
    stored = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert secret.encode() not in stored


def test_a_key_belongs_to_its_tenant(calibrant):
    made = calibrant("keys", "create", "--tenant", "acme")
    key = re.search(r"key (\S+):", made.err)[1]
    assert calibrant("keys", "list").out == ""
    assert key in calibrant("keys", "list", "--tenant", "acme").out
    assert calibrant("keys", "revoke", key).code == 3


@pytest.mark.parametrize(
    "options", [("--scopes", "everything"), ("--scopes", ""), ("--days", "0"), ("--tenant", "a/b")]
)
def test_a_key_that_makes_no_sense_is_not_made(calibrant, options):
    assert calibrant("keys", "create", *options).code == 3
    assert calibrant("keys", "list").out == ""


def test_doctor_finds_nothing_wrong_and_shows_every_setting(calibrant):
    done = calibrant("doctor")
    assert done.code == 0, done.text
    for part in ("kernels", "data folder", "metadata database", "blob store", "job database"):
        assert part in done.out
    for name in Settings.model_fields:
        assert f"CALIBRANT_{name.upper()}" in done.out


def test_doctor_names_what_is_wrong(calibrant, monkeypatch, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be", encoding="utf-8")
    monkeypatch.setenv("CALIBRANT_DATA_DIR", str(taken))
    monkeypatch.setenv("CALIBRANT_HOST", "0.0.0.0")
    done = calibrant("doctor")
    assert done.code == 1
    wrong = {line.split()[1] for line in done.out.splitlines() if line.startswith("no ")}
    assert {"data", "metadata", "exposure"} <= wrong


def test_doctor_says_that_a_database_is_not_one(calibrant, data):
    data.mkdir()
    (data / "calibrant.sqlite").write_bytes(b"this is not a database" * 100)
    done = calibrant("doctor")
    assert done.code == 1
    assert re.search(r"^no +metadata", done.out, re.MULTILINE)


def test_doctor_does_not_show_passwords(calibrant, monkeypatch):
    monkeypatch.setenv("CALIBRANT_DATABASE_URL", "postgresql+psycopg://me:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in calibrant("doctor").text


def test_migrate_makes_the_databases(calibrant, data):
    assert calibrant("migrate").code == 0
    with sqlite3.connect(data / "calibrant.sqlite") as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    database.close()
    assert {"datasets", "calibrator_versions", "jobs", "audit"} <= tables
    assert (data / "jobs.sqlite").exists()
    assert calibrant("migrate").code == 0


def test_openapi_is_printed_written_and_checked(calibrant, tmp_path):
    printed = calibrant("openapi")
    assert json.loads(printed.out)["openapi"].startswith("3.")
    file = tmp_path / "openapi.json"
    assert calibrant("openapi", "--write", file).code == 0
    assert file.read_text(encoding="utf-8") == printed.out
    assert calibrant("openapi", "--check", file).code == 0
    file.write_text(printed.out + " ", encoding="utf-8")
    stale = calibrant("openapi", "--check", file)
    assert stale.code == 3
    assert "make openapi" in stale.err


def test_serving_beyond_loopback_without_keys_is_refused(calibrant, monkeypatch, data):
    monkeypatch.setenv("CALIBRANT_HOST", "0.0.0.0")
    done = calibrant("serve")
    assert done.code == 3
    assert "CALIBRANT_AUTH=keys" in done.err
    assert not data.exists()


def test_a_taken_port_is_named_before_anything_starts(calibrant, monkeypatch, data):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("CALIBRANT_PORT", str(port))
        done = calibrant("serve")
    assert done.code == 3
    assert str(port) in done.err
    assert not data.exists()


def test_a_wrong_setting_is_named(calibrant, monkeypatch):
    monkeypatch.setenv("CALIBRANT_CPU_SLOTS", "many")
    done = calibrant("doctor")
    assert done.code == 3
    assert "CALIBRANT_CPU_SLOTS" in done.err

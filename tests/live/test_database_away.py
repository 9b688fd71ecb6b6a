"""Serving goes on while the metadata database cannot be used, and all comes back with it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.live
ROWS = {
    "task": "binary",
    "score_kind": "probabilities",
    "scores": [0.9, 0.8, 0.3, 0.2] * 50,
    "labels": [1, 0, 1, 0] * 50,
}
CALL = {"score_kind": "probabilities", "scores": [0.2, 0.7]}


@pytest.fixture
def own(run_service, tmp_path):
    with run_service(tmp_path / "data") as service:
        made = service.http.post(
            "/v1/calibrators/kept/versions",
            json={**ROWS, "method": "temperature", "alias": "champion"},
        )
        assert made.status_code == 201, made.text
        yield service


def served(service) -> tuple[int, list[float]]:
    answer = service.http.post("/v1/calibrators/kept/calibrate", json=CALL)
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == 1
    return answer.status_code, answer.json()["probabilities"]


def lose(database: Path) -> list[tuple[Path, Path]]:
    """Take the database away and put something unusable in its place."""
    moved = []
    for part in database.parent.glob(f"{database.name}*"):
        away = part.with_name(f"away-{part.name}")
        part.rename(away)
        moved.append((part, away))
    database.mkdir()
    return moved


def test_serving_goes_on_while_the_file_is_gone(own):
    before = served(own)
    infer = {
        "inputs": [
            {"name": "probabilities", "shape": [2], "datatype": "FP64", "data": CALL["scores"]}
        ]
    }
    model = "/v2/models/kept.calibrator/infer"
    assert own.http.post(model, json=infer).status_code == 200
    database = own.folder / "calibrant.sqlite"
    moved = lose(database)
    for _ in range(12):
        assert served(own) == before
        assert own.http.post(model, json=infer).status_code == 200
        time.sleep(0.25)
    assert own.http.get("/livez").status_code == 200
    database.rmdir()
    for part, away in moved:
        away.rename(part)
    own.until(lambda: own.http.post("/v1/evaluations", json=ROWS).status_code == 201, 30)
    moved_alias = own.http.put("/v1/calibrators/kept/aliases/other", json={"version": 1})
    assert moved_alias.status_code == 200


def test_serving_goes_on_while_the_database_is_locked(own):
    before = served(own)
    blocker = sqlite3.connect(own.folder / "calibrant.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        began = time.monotonic()
        for _ in range(20):
            assert served(own) == before
        assert time.monotonic() - began < 2.0
        refused = own.http.put("/v1/calibrators/kept/aliases/other", json={"version": 1})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    own.until(
        lambda: (
            own.http.put("/v1/calibrators/kept/aliases/other", json={"version": 1}).status_code
            == 200
        ),
        30,
    )


def test_writers_that_wait_for_the_database_do_not_hold_up_serving(own):
    served(own)
    large = {"score_kind": "probabilities", "scores": [0.123456789] * 40_000}
    blocker = sqlite3.connect(own.folder / "calibrant.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    def promote() -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.put(
                f"{own.url}/v1/calibrators/kept/aliases/other", json={"version": 1}, timeout=40
            )

    writers = [threading.Thread(target=promote, daemon=True) for _ in range(12)]
    try:
        for writer in writers:
            writer.start()
        time.sleep(1.0)
        began = time.monotonic()
        answer = own.http.post("/v1/calibrators/kept/calibrate", json=large)
        took = time.monotonic() - began
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
        for writer in writers:
            writer.join()
    assert answer.status_code == 200, answer.text
    assert took < 3.0


def test_a_restart_loses_nothing_that_was_acknowledged(own):
    before = served(own)
    lists = {
        path: own.http.get(f"/v1/{path}").json()
        for path in ("calibrators", "jobs", "audit", "evaluations")
    }
    own.process.kill()
    own.process.wait()
    own.start()
    assert served(own) == before
    for path, expected in lists.items():
        assert own.http.get(f"/v1/{path}").json() == expected, path

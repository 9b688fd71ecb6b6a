"""Keys made on the command line, used over HTTP: 401, 403, and what another tenant sees."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.live
ROWS = {
    "task": "binary",
    "score_kind": "probabilities",
    "scores": [0.9, 0.8, 0.3, 0.2] * 50,
    "labels": [1, 0, 1, 0] * 50,
}


@pytest.fixture(scope="module")
def locked(run_service, tmp_path_factory):
    with run_service(tmp_path_factory.mktemp("locked") / "data", AUTH="keys") as service:
        yield service


@pytest.fixture(scope="module")
def key(locked):
    """Make keys with the command that README names, while the service runs."""

    def make(scopes: str, tenant: str = "acme") -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "calibrant.cli", "keys", "create", "--scopes", scopes, "--tenant", tenant],
            env=locked.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return {"authorization": f"Bearer {done.stdout.strip()}"}

    return make


@pytest.fixture(scope="module")
def acme(key):
    return key("read,ingest,fit,promote,admin")


@pytest.fixture(scope="module")
def other(key):
    return key("read,ingest,fit,promote,admin", "other")


@pytest.fixture(scope="module")
def things(locked, acme) -> dict[str, Any]:
    """Let tenant acme own one of everything."""
    http = locked.http
    csv = "id,p,y\n" + "".join(f"{i},0.{1 + i % 9},{i % 2}\n" for i in range(300))
    dataset = http.post("/v1/datasets", content=csv, headers={**acme, "content-type": "text/csv"})
    assert dataset.status_code == 201, dataset.text
    evaluation = http.post("/v1/evaluations", json=ROWS, headers=acme)
    assert evaluation.status_code == 201, evaluation.text
    version = http.post(
        "/v1/calibrators/mine/versions",
        json={**ROWS, "method": "temperature", "alias": "champion"},
        headers=acme,
    )
    assert version.status_code == 201, version.text
    job = http.get("/v1/jobs", headers=acme).json()["items"][0]["id"]
    return {
        "dataset": dataset.json()["id"],
        "evaluation": evaluation.json()["id"],
        "job": job,
    }


def test_without_a_key_nobody_comes_in(locked):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": ""}):
        answer = locked.http.get("/v1/datasets", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (
            401,
            "application/problem+json",
        )
    assert locked.http.get("/livez").status_code == 200


def test_a_key_opens_what_its_scopes_say(locked, key):
    reader = key("read")
    assert locked.http.get("/v1/datasets", headers=reader).status_code == 200
    refused = locked.http.post("/v1/evaluations", json=ROWS, headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    moved = locked.http.put(
        "/v1/calibrators/mine/aliases/champion", json={"version": 1}, headers=reader
    )
    assert moved.status_code == 403


def test_what_is_another_tenants_is_not_there(locked, acme, other, things):
    paths = [
        f"/v1/datasets/{things['dataset']}",
        f"/v1/evaluations/{things['evaluation']}",
        f"/v1/evaluations/{things['evaluation']}/report.html",
        f"/v1/evaluations/{things['evaluation']}/reliability.svg",
        f"/v1/jobs/{things['job']}",
        f"/v1/jobs/{things['job']}/events",
        "/v1/calibrators/mine",
        "/v1/calibrators/mine/versions/1",
        "/v1/calibrators/mine/versions/1/artifact",
        f"/ui/evaluations/{things['evaluation']}",
        "/ui/calibrators/mine",
        "/v2/models/mine.calibrator",
    ]
    for path in paths:
        assert locked.http.get(path, headers=acme).status_code == 200, path
        assert locked.http.get(path, headers=other).status_code == 404, path


def test_another_tenant_cannot_change_use_or_list_it(locked, other, things):
    http = locked.http
    tries = [
        http.delete(f"/v1/datasets/{things['dataset']}", headers=other),
        http.delete(f"/v1/jobs/{things['job']}", headers=other),
        http.put("/v1/calibrators/mine/aliases/champion", json={"version": 1}, headers=other),
        http.delete("/v1/calibrators/mine/aliases/champion", headers=other),
        http.post(
            "/v1/calibrators/mine/calibrate",
            json={"score_kind": "probabilities", "scores": [0.5]},
            headers=other,
        ),
        http.post(
            "/v1/evaluations",
            json={
                "task": "binary",
                "score_kind": "probabilities",
                "dataset": things["dataset"],
                "columns": {"scores": ["p"], "labels": "y"},
            },
            headers=other,
        ),
        http.post("/v1/evaluations", json={**ROWS, "calibrator": "mine"}, headers=other),
    ]
    assert {answer.status_code for answer in tries} == {404}
    for path in ("datasets", "evaluations", "calibrators", "jobs"):
        assert http.get(f"/v1/{path}", headers=other).json()["items"] == [], path
    audited = http.get("/v1/audit", headers=other).json()["items"]
    assert {one["action"] for one in audited} == {"key.create"}


def test_names_of_two_tenants_do_not_meet(locked, acme, other, things):
    del things
    answer = locked.http.post(
        "/v1/calibrators/mine/versions", json={**ROWS, "method": "platt"}, headers=other
    )
    assert answer.json()["version"] == 1
    kinds = {
        locked.http.get("/v1/calibrators/mine/versions/1", headers=headers).json()["kind"]
        for headers in (acme, other)
    }
    assert kinds == {"temperature", "platt"}


def test_a_revoked_key_is_out_at_once(locked, key, acme):
    reader = key("read")
    assert locked.http.get("/v1/datasets", headers=reader).status_code == 200
    newest = locked.http.get("/v1/keys", headers=acme).json()["items"][0]
    assert locked.http.delete(f"/v1/keys/{newest['id']}", headers=acme).status_code == 200
    locked.until(lambda: locked.http.get("/v1/datasets", headers=reader).status_code == 401, 35)

"""Jobs from outside: they end in the list too, though nobody looks at them while they run."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.live
ROWS = {
    "task": "binary",
    "score_kind": "probabilities",
    "scores": [0.9, 0.8, 0.3, 0.2] * 50,
    "labels": [1, 0, 1, 0] * 50,
}
ASYNC = {"prefer": "respond-async"}


def listed(service, job_id: str) -> dict:
    items = service.http.get("/v1/jobs?limit=200").json()["items"]
    return next(job for job in items if job["id"] == job_id)


def test_a_job_that_failed_is_listed_as_failed_though_nobody_looked_at_it(service):
    broken = service.http.post(
        "/v1/datasets", content=b"p,y\n0.5\n1,2,3\n", headers={**ASYNC, "content-type": "text/csv"}
    )
    assert broken.status_code == 202
    service.until(lambda: listed(service, broken.json()["id"])["state"] == "failed", 20)


def test_a_job_that_was_cancelled_never_records_anything(service):
    rows = 300_000
    body = b"p,y\n" + b"0.5,1\n0.4,0\n" * (rows // 2)
    accepted = service.http.post(
        "/v1/datasets", content=body, headers={**ASYNC, "content-type": "text/csv"}
    )
    job_id = accepted.json()["id"]
    gone = service.http.delete(f"/v1/jobs/{job_id}")
    assert gone.status_code == 200, gone.text
    assert gone.json()["state"] == "cancelled"
    time.sleep(3)
    assert listed(service, job_id)["state"] == "cancelled"
    sizes = [one["n_rows"] for one in service.http.get("/v1/datasets?limit=200").json()["items"]]
    assert rows not in sizes


def test_events_follow_a_job_to_its_end(service):
    accepted = service.http.post(
        "/v1/calibrators/followed/versions", json={**ROWS, "method": "auto"}, headers=ASYNC
    )
    assert accepted.status_code == 202
    with service.http.stream("GET", f"{accepted.headers['location']}/events") as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    assert '"succeeded"' in lines[-1]
    assert '"followed"' in lines[-1]


def test_a_key_that_comes_twice_does_the_work_once(service):
    headers = {"idempotency-key": f"twice-{time.time_ns()}"}
    first, second = (
        service.http.post(
            "/v1/calibrators/twice/versions",
            json={**ROWS, "method": "temperature"},
            headers=headers,
        )
        for _ in range(2)
    )
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    other = service.http.post(
        "/v1/calibrators/twice/versions", json={**ROWS, "method": "platt"}, headers=headers
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

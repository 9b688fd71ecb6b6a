from __future__ import annotations

import gzip
import json

import pytest

CSV = "p,y,region\n" + "".join(
    f"{(row % 97) / 100},{row % 2},{'eu' if row % 3 else 'us'}\n" for row in range(300)
)


@pytest.fixture(scope="module")
def stored(api):
    headers = {"content-type": "text/csv"}
    answer = api("POST", "/v1/datasets?name=small", content=CSV.encode(), headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_upload_is_read_and_described(api, stored):
    assert (stored["n_rows"], stored["name"]) == (300, "small")
    assert {one["name"] for one in stored["columns"]} == {"p", "y", "region"}
    assert api.get(f"/v1/datasets/{stored['id']}").json() == stored
    assert stored["id"] in {one["id"] for one in api.get("/v1/datasets").json()["items"]}


def test_a_compressed_upload_is_the_same_data_set(api, stored):
    headers = {"content-type": "text/csv", "content-encoding": "gzip"}
    answer = api("POST", "/v1/datasets", content=gzip.compress(CSV.encode()), headers=headers)
    assert answer.json()["sha256"] == stored["sha256"]


def test_a_data_set_is_evaluated(api, stored):
    body = {
        "task": "binary",
        "score_kind": "probabilities",
        "dataset": stored["id"],
        "columns": {"scores": ["p"], "labels": "y", "slices": ["region"]},
    }
    answer = api.post("/v1/evaluations", body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["dataset_id"] == stored["id"]
    assert answer.json()["metrics"]["n"] == 300


def test_the_failure_of_a_job_is_the_failure_of_its_request(api, stored):
    body = {
        "task": "binary",
        "score_kind": "probabilities",
        "dataset": stored["id"],
        "columns": {"scores": ["absent"], "labels": "y"},
    }
    answer = api.post("/v1/evaluations", body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("media", "content"),
    [
        ("application/json", json.dumps({"p": [0.1, 0.9], "y": [0, 1]})),
        ("application/json", json.dumps([{"p": 0.1, "y": 0}, {"p": 0.9, "y": 1}])),
        ("application/x-ndjson", '{"p": 0.1, "y": 0}\n{"p": 0.9, "y": 1}\n'),
    ],
    ids=["columns", "rows", "lines"],
)
def test_json_tables_are_read(api, media, content):
    answer = api("POST", "/v1/datasets", content=content.encode(), headers={"content-type": media})
    assert answer.status_code == 201, answer.text
    assert answer.json()["n_rows"] == 2


@pytest.mark.parametrize(
    ("media", "content", "status"),
    [
        ("text/csv", b"", 422),
        ("application/pdf", b"%PDF", 415),
        ("application/vnd.apache.parquet", b"PAR1", 422),
    ],
    ids=["empty", "media type", "damaged"],
)
def test_what_is_not_a_table_is_refused(api, media, content, status):
    answer = api("POST", "/v1/datasets", content=content, headers={"content-type": media})
    assert answer.status_code in {status, 400}, answer.text


def test_a_data_set_is_forgotten(api):
    headers = {"content-type": "text/csv"}
    made = api("POST", "/v1/datasets", content=b"a,b\n1,2\n3,4\n", headers=headers)
    path = made.headers["location"]
    assert api("DELETE", path).status_code == 204
    assert api.get(path).status_code == 404
    assert api("DELETE", path).status_code == 404


def test_one_key_means_one_upload(api):
    headers = {"content-type": "text/csv", "idempotency-key": "upload-1"}
    first = api("POST", "/v1/datasets", content=b"a,b\n1,2\n", headers=headers)
    again = api("POST", "/v1/datasets", content=b"a,b\n1,2\n", headers=headers)
    assert first.json()["id"] == again.json()["id"]
    other = api("POST", "/v1/datasets", content=b"a,b\n1,3\n", headers=headers)
    assert other.json()["code"] == "idempotency_key_reused"

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def evaluated(api, rows):
    answer = api.post("/v1/evaluations", rows)
    assert answer.status_code == 201, answer.text
    return answer


def test_a_small_batch_is_answered_with_its_report(evaluated):
    said = evaluated.json()
    assert evaluated.headers["location"] == f"/v1/evaluations/{said['id']}"
    assert said["verdict"]["status"] == "miscalibrated"
    assert said["metrics"]["n"] == 2000
    assert {"eu", "us"} <= {part["name"].partition("=")[2] for part in said["slices"]}


def test_a_report_is_kept(api, evaluated):
    said = evaluated.json()
    assert api.get(evaluated.headers["location"]).json() == said
    listed = api.get("/v1/evaluations").json()["items"]
    assert said["id"] in {one["id"] for one in listed}


def test_a_report_has_pictures_and_a_document(api, evaluated):
    base = evaluated.headers["location"]
    picture = api.get(f"{base}/reliability.svg", params={"slice": "region=eu", "theme": "dark"})
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.text.startswith("<svg")
    assert api.get(f"{base}/reliability.json").json()["series"]
    document = api.get(f"{base}/report.html")
    assert document.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in document.headers["content-security-policy"]
    assert api.get(f"{base}/reliability.svg", params={"slice": "region=mars"}).status_code == 404


def test_respond_async_answers_with_a_job(api, rows):
    answer = api.post("/v1/evaluations", rows, headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    job = api.get(answer.headers["location"], headers={"prefer": "wait=20"}).json()
    assert job["state"] == "succeeded", job
    assert api.get(job["result"]["location"]).json()["metrics"]["n"] == 2000


def test_a_job_is_followed_to_its_end(api, rows):
    answer = api.post("/v1/evaluations", rows, headers={"prefer": "respond-async"})
    events = api.get(answer.headers["location"] + "/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert '"state":"succeeded"' in events.text.split("\n\n")[-2]


def test_a_job_that_is_over_is_not_cancelled(api, rows):
    answer = api.post("/v1/evaluations", rows, headers={"prefer": "respond-async"})
    where = answer.headers["location"]
    api.get(where, headers={"prefer": "wait=20"})
    assert api("DELETE", where).status_code == 409


def test_one_key_means_one_evaluation(api, rows):
    headers = {"idempotency-key": "evaluate-1"}
    first = api.post("/v1/evaluations", rows, headers=headers)
    again = api.post("/v1/evaluations", rows, headers=headers)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    other = api.post("/v1/evaluations", {**rows, "options": {"metrics": "all"}}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_failure_leaves_the_key_free(api, rows):
    headers = {"idempotency-key": "evaluate-2"}
    bad = {**rows, "labels": rows["labels"][:-1]}
    assert api.post("/v1/evaluations", bad, headers=headers).status_code == 422
    assert api.post("/v1/evaluations", rows, headers=headers).status_code == 201


def test_columns_of_other_lengths_are_named_and_counted(api, rows):
    answer = api.post("/v1/evaluations", {**rows, "labels": rows["labels"][:-1]})
    said = answer.json()
    assert (answer.status_code, said["code"]) == (422, "bad_batch")
    assert said["errors"] == [{"pointer": "/labels", "message": "1,999 values for 2,000 rows."}]


UNUSABLE = {
    "labels beyond the classes": {"labels": [2] * 2000},
    "labels that are not whole": {"labels": [0.5] * 2000},
    "negative weights": {"weights": [-1.0] * 2000},
    "logits as probabilities": {"score_kind": "probabilities"},
    "unknown metric": {"options": {"metrics": ["nonsense"]}},
    "gate on an unknown metric": {"gates": [{"metric": "nonsense", "max": 1}]},
    "gate without a bar": {"gates": [{"metric": "ece"}]},
    "one column as classes": {"task": "multiclass"},
}


@pytest.mark.parametrize("more", UNUSABLE.values(), ids=UNUSABLE)
def test_rows_that_cannot_be_used_are_refused(api, rows, more):
    answer = api.post("/v1/evaluations", {**rows, **more})
    assert answer.status_code == 422, answer.text


def test_rows_without_any_label_are_counted_and_nothing_is_said(api, rows):
    said = api.post("/v1/evaluations", {**rows, "labels": [None] * 2000}).json()
    assert said["verdict"]["status"] == "inconclusive"
    assert said["metrics"]["n_unlabelled"] == 2000


def test_more_slices_than_allowed_are_too_large(api, rows):
    answer = api.post("/v1/evaluations", {**rows, "options": {"max_slices": 5000}})
    assert answer.status_code == 413


def test_an_unknown_data_set_is_not_found(api):
    body = {
        "task": "binary",
        "score_kind": "logits",
        "dataset": "ds_absent",
        "columns": {"scores": ["p"], "labels": "y"},
    }
    assert api.post("/v1/evaluations", body).status_code == 404


@pytest.mark.usefixtures("flights")
def test_candidates_are_compared(api, rows):
    body = {**rows, "candidates": ["identity", "flights@champion"], "allow_overlap": True}
    said = api.post("/v1/evaluations", body).json()
    assert said["comparison"]["baseline"] == "identity"
    assert {one["name"] for one in said["comparison"]["candidates"]} == {"identity", "flights:1"}

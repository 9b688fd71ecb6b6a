from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("flights")


def test_a_fit_is_a_version_with_its_held_out_report(api, rows):
    answer = api.post(
        "/v1/calibrators/fresh/versions", {**rows, "method": "auto", "alias": "candidate"}
    )
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert answer.headers["location"] == "/v1/calibrators/fresh/versions/1"
    assert (said["name"], said["version"], said["method"]) == ("fresh", 1, "auto")
    assert said["summary"]["held_out"]["n"] > 0
    assert api.get("/v1/calibrators/fresh/versions/1").json() == said
    assert api.get("/v1/calibrators/fresh").json()["newest"] == 1
    assert api.get("/v1/calibrators/fresh/versions").json()["items"] == [said]
    evaluation = said["summary"]["evaluation"]
    assert api.get(f"/v1/evaluations/{evaluation}").status_code == 200


def test_an_artifact_is_json_or_a_graph(api):
    path = "/v1/calibrators/flights/versions/1/artifact"
    plain = api.get(path)
    assert plain.headers["content-type"] == "application/json"
    assert plain.json()["kind"] == "temperature"
    graph = api.get(path, headers={"accept": "application/onnx"})
    assert graph.headers["content-type"] == "application/onnx"
    assert len(graph.content) > 100
    preferred = api.get(path, headers={"accept": "application/json;q=0.5, application/onnx"})
    assert preferred.headers["content-type"] == "application/onnx"
    assert api.get(path, headers={"accept": "text/html"}).status_code == 406


def test_calibrators_are_listed_in_pages(api, flights):
    names, cursor = [], None
    while True:
        page = api.get(
            "/v1/calibrators", params={"limit": 1, **({"cursor": cursor} if cursor else {})}
        )
        names += [one["name"] for one in page.json()["items"]]
        cursor = page.json()["next"]
        if cursor is None:
            break
    assert flights in names
    assert names == sorted(names)


@pytest.mark.parametrize("name", ["Flights", "flights.calibrator", "-x", "a" * 64])
def test_a_name_that_is_not_allowed_is_unusable(api, rows, name):
    answer = api.post(f"/v1/calibrators/{name}/versions", rows)
    assert answer.status_code == 422, answer.text


def test_an_unknown_method_is_unusable(api, rows):
    answer = api.post("/v1/calibrators/x/versions", {**rows, "method": "magic"})
    assert answer.status_code == 422, answer.text


def test_rows_to_judge_on_come_from_one_place(api, rows):
    body = {
        **rows,
        "holdout": {"fraction": 0.5},
        "evaluate_on": {"dataset": "x", "columns": {"scores": ["p"]}},
    }
    answer = api.post("/v1/calibrators/x/versions", body)
    assert answer.json()["errors"][0]["pointer"] == "/holdout"


def test_judging_on_fitted_rows_is_refused_with_a_count(api, rows):
    judged = {key: rows[key] for key in ("scores", "labels", "slices")}
    body = {**rows, "method": "temperature", "evaluate_on": judged}
    answer = api.post("/v1/calibrators/overlap/versions", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "overlap")
    assert "2000 of 2000" in answer.json()["detail"]
    allowed = api.post("/v1/calibrators/overlap/versions", {**body, "allow_overlap": True})
    assert allowed.status_code == 201, allowed.text
    assert allowed.json()["summary"]["held_out"]["optimistic"] is True


def test_an_alias_names_a_version_that_there_is(api):
    for alias, version in (("latest", 1), ("v3", 1)):
        answer = api("PUT", f"/v1/calibrators/flights/aliases/{alias}", json={"version": version})
        assert answer.status_code == 422
    answer = api("PUT", "/v1/calibrators/flights/aliases/x", json={"version": 99})
    assert answer.status_code == 404


def test_every_move_is_in_the_audit_trail(api):
    api("PUT", "/v1/calibrators/flights/aliases/audited", json={"version": 1})
    api("DELETE", "/v1/calibrators/flights/aliases/audited")
    entries = api.get("/v1/audit").json()["items"]
    moves = [one for one in entries if "audited" in one["object"]]
    assert len(moves) == 2
    assert all(one["request_id"] for one in moves)

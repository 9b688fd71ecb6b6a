"""Every failure has one shape, and none of them repeats what was sent."""

from __future__ import annotations

import json

import pytest

MEMBERS = {"type", "title", "status", "detail", "code", "request_id", "errors"}
CANARY = "sekret-canary"


def is_problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert set(said) == MEMBERS
    assert said["status"] == status
    assert said["request_id"] == answer.headers["x-request-id"]
    return True


def routes(api):
    document = json.loads(api.get("/openapi.json").text)
    for path, item in sorted(document["paths"].items()):
        for method, operation in item.items():
            yield method.upper(), path, operation


def test_an_unknown_thing_is_a_problem_at_every_route(api):
    seen = 0
    for method, path, operation in routes(api):
        if "{" not in path or path.startswith("/v2") or "requestBody" in operation:
            continue
        unknown = path.replace("{version}", "77")
        for name in ("dataset_id", "evaluation_id", "job_id", "key_id", "name", "alias", "ref"):
            unknown = unknown.replace("{" + name + "}", "absent")
        seen += is_problem(api(method, unknown), 404)
    assert seen > 10


def test_a_wrong_method_is_a_problem_with_all_methods_at_every_route(api):
    paths = {path for _, path, _ in routes(api) if not path.startswith("/v2")}
    for path in sorted(paths):
        answer = api("PATCH", path.replace("{version}", "1"))
        assert is_problem(answer, 405)
        declared = {method for method, other, _ in routes(api) if other == path}
        assert declared <= set(answer.headers["allow"].split(", ")), path


def test_a_body_that_is_not_json_is_a_problem_at_every_route_that_takes_json(api):
    seen = 0
    for method, path, operation in routes(api):
        content = operation.get("requestBody", {}).get("content", {})
        if set(content) != {"application/json"}:
            continue
        path = path.replace("{name}", "n").replace("{alias}", "a").replace("{ref}", "identity-less")
        headers = {"content-type": "application/json"}
        answer = api(method, path, content=b"{" + CANARY.encode(), headers=headers)
        if path.endswith("/calibrate"):
            continue  # looks the calibrator up first
        seen += is_problem(answer, 400)
        assert CANARY not in answer.text
        seen += is_problem(
            api(method, path, content=b"x", headers={"content-type": "text/plain"}), 415
        )
    assert seen >= 8


def test_an_unknown_path_is_a_problem(api):
    assert is_problem(api.get("/v1/nothing"), 404)
    assert is_problem(api.get("/v1/nothing/at/all", params={"a": CANARY}), 404)


def test_a_parameter_out_of_range_is_a_problem_without_its_value(api):
    answer = api.get("/v1/datasets", params={"limit": CANARY})
    assert is_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "/query/limit"
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/absent", 404),
        ("/v2/models/absent.calibrator", 404),
        ("/v2/models/absent.calibrator/ready", 404),
        ("/v2/models/absent.calibrator/versions/x", 404),
        ("/v2/nothing", 404),
    ],
)
def test_the_inference_protocol_has_its_own_shape(api, path, status):
    answer = api.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


def test_a_wrong_method_under_v2_has_the_shape_of_the_protocol(api):
    for path in ("/v2/models/x.calibrator/infer", "/v2/health/live"):
        answer = api("PATCH", path)
        assert answer.status_code == 405
        assert set(answer.json()) == {"error"}


def test_a_request_id_is_kept_or_made(api):
    assert api.get("/livez", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = api.get("/livez", headers={"x-request-id": "bad id\x7f"}).headers["x-request-id"]
    assert made != "bad id\x7f"


def test_a_page_of_another_site_may_not_change_anything(api):
    headers = {"sec-fetch-site": "cross-site"}
    for path in ("/v1/evaluations", "/v1/calibrators/x/calibrate"):
        assert is_problem(api.post(path, {}, headers=headers), 403)


def test_answers_carry_security_headers(api):
    plain = api.get("/v1/datasets").headers
    assert (plain["x-content-type-options"], plain["cache-control"]) == ("nosniff", "no-store")
    policy = api.get("/docs").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy

"""Who may do what, and what one tenant sees of another."""

from __future__ import annotations

import base64

import pytest

from calibrant.operations import keys
from calibrant.settings import Settings

SCOPES = ("read", "ingest", "fit", "promote", "admin")


@pytest.fixture(scope="module")
def locked(tmp_path_factory, run_api):
    with run_api(Settings(data_dir=tmp_path_factory.mktemp("keys"), auth="keys")) as api:
        yield api


@pytest.fixture(scope="module")
def secret(locked):
    def make(*scopes, tenant="acme"):
        return keys.create(locked.context.metadata, tenant, label="", scopes=scopes).secret

    return make


def bearer(secret):
    return {"authorization": f"Bearer {secret}"}


def test_nobody_comes_in_without_a_key(locked):
    for path in ("/v1/datasets", "/v1/audit", "/metrics", "/ui"):
        answer = locked.get(path)
        assert answer.status_code == 401, path
    calibrate = locked.post("/v1/calibrators/x/calibrate", {})
    assert (calibrate.status_code, calibrate.headers["www-authenticate"]) == (401, "Bearer")
    assert locked.get("/ui").headers["www-authenticate"].startswith("Basic")


def test_probes_need_no_key(locked):
    for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs"):
        assert locked.get(path).status_code == 200, path


def test_a_key_comes_in_three_headers(locked, secret):
    key = secret("read")
    basic = base64.b64encode(b"me:" + key.encode()).decode()
    for headers in (bearer(key), {"x-api-key": key}, {"authorization": f"Basic {basic}"}):
        assert locked.get("/v1/datasets", headers=headers).status_code == 200
    assert locked.get("/v1/datasets", headers=bearer(key + "x")).status_code == 401
    assert locked.get("/v1/datasets", headers={"authorization": "Basic %%%"}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/evaluations", "read"),
        ("GET", "/metrics", "read"),
        ("POST", "/v1/calibrators/x/calibrate", "read"),
        ("POST", "/v2/models/x.calibrator/infer", "read"),
        ("POST", "/v1/datasets", "ingest"),
        ("DELETE", "/v1/datasets/x", "ingest"),
        ("POST", "/v1/evaluations", "fit"),
        ("POST", "/v1/calibrators/x/versions", "fit"),
        ("DELETE", "/v1/jobs/x", "fit"),
        ("PUT", "/v1/calibrators/x/aliases/y", "promote"),
        ("GET", "/v1/audit", "admin"),
        ("GET", "/v1/keys", "admin"),
    ],
)
def test_each_route_needs_its_scope(locked, secret, method, path, scope):
    others = [one for one in SCOPES if one not in {scope, "admin"}]
    headers = {"content-type": "application/json"}
    refused = locked(method, path, content=b"{}", headers=headers | bearer(secret(*others)))
    allowed = locked(method, path, content=b"{}", headers=headers | bearer(secret(scope)))
    assert refused.status_code == 403
    assert allowed.status_code not in {401, 403}


def test_a_fit_that_promotes_needs_both_scopes(locked, secret, rows):
    answer = locked.post(
        "/v1/calibrators/x/versions", {**rows, "alias": "candidate"}, headers=bearer(secret("fit"))
    )
    assert answer.status_code == 403


def test_what_is_another_tenants_is_not_there(locked, secret, rows):
    mine, theirs = bearer(secret("admin")), bearer(secret("admin", tenant="other"))
    made = locked.post("/v1/evaluations", rows, headers=mine)
    fitted = locked.post(
        "/v1/calibrators/mine/versions", {**rows, "method": "temperature"}, headers=mine
    )
    for path in (made.headers["location"], fitted.headers["location"]):
        assert locked.get(path, headers=mine).status_code == 200
        assert locked.get(path, headers=theirs).status_code == 404
    assert locked.get("/v1/evaluations", headers=theirs).json()["items"] == []
    body = {"score_kind": "logits", "scores": [1]}
    assert locked.post("/v1/calibrators/mine:1/calibrate", body, headers=mine).status_code == 200
    assert locked.post("/v1/calibrators/mine:1/calibrate", body, headers=theirs).status_code == 404


def test_a_key_is_made_used_and_revoked(locked, secret):
    admin = bearer(secret("admin"))
    made = locked.post("/v1/keys", {"label": "ci", "scopes": ["read"], "days": 3}, headers=admin)
    assert made.status_code == 201, made.text
    key = made.json()
    assert locked.get("/v1/keys", headers=bearer(key["secret"])).status_code == 403
    listed = locked.get("/v1/keys", headers=admin)
    assert key["key"]["id"] in {one["id"] for one in listed.json()["items"]}
    assert key["secret"] not in listed.text
    revoked = locked("DELETE", f"/v1/keys/{key['key']['id']}", headers=admin)
    assert revoked.json()["revoked"] is not None


def test_a_secret_is_never_kept_with_an_idempotency_key(locked, secret):
    headers = bearer(secret("admin")) | {"idempotency-key": "key-1"}
    assert locked.post("/v1/keys", {"scopes": ["read"]}, headers=headers).status_code == 201
    again = locked.post("/v1/keys", {"scopes": ["read"]}, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from calibrant.api.pages.rendering import STYLE
from calibrant.settings import Settings

HOSTILE = "</script><script>alert(1)</script>\u202e&\"'"


@pytest.fixture(scope="module")
def evaluated(api, rows) -> str:
    """Give an evaluation whose slices have hostile names."""
    slices = {"region": [HOSTILE if row % 2 else "us" for row in range(len(rows["labels"]))]}
    answer = api.post("/v1/evaluations", {**rows, "slices": slices})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture(scope="module")
def paths(evaluated, flights) -> list[str]:
    """Give an address of every page."""
    return [
        "/ui",
        "/ui/evaluations",
        f"/ui/evaluations/{evaluated}",
        f"/ui/evaluations/{evaluated}/diagram?slice={quote('region=' + HOSTILE)}",
        f"/ui/evaluations/{evaluated}/diagram?binning=equal_mass",
        "/ui/calibrators",
        f"/ui/calibrators/{flights}",
        f"/ui/calibrators/{flights}?version=1",
        "/ui/noise",
        "/ui/nowhere",
    ]


def csv_of(n: int = 300) -> bytes:
    rng = np.random.default_rng(3)
    p = rng.uniform(size=n).round(6)
    y = (rng.uniform(size=n) < p).astype(int)
    lines = [f"{p[i]},{y[i]},{'eu' if i % 2 else 'us'}" for i in range(n)]
    return "\n".join(["p,y,region", *lines]).encode()


def upload(api: Any, content: bytes, name: str = "mine.csv", **given: Any) -> Any:
    return api("POST", "/ui/files", files={"file": (name, content, "text/csv")}, **given)


@pytest.fixture(scope="module")
def dataset(api) -> str:
    """Give the address of an uploaded table."""
    answer = upload(api, csv_of())
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


FORM = {
    "task": "binary", "score_kind": "probabilities", "scores": "p", "labels": "y",
    "slices": "region",
}  # fmt: skip


def test_every_page_is_safe_and_complete(api, paths) -> None:
    for path in paths:
        answer = api.get(path)
        assert answer.status_code == (404 if path == "/ui/nowhere" else 200), path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        html = answer.text
        assert html.rstrip().endswith("</html>")
        assert '<html lang="en">' in html
        assert html.count("<h1>") == 1, path
        assert 'name="viewport"' in html


def test_no_page_has_script_or_style_of_its_own(api, paths) -> None:
    for path in paths:
        html = api.get(path).text
        assert "<script" not in html.lower(), path
        assert "<style" not in html, path
        assert not re.search(r"<[^>]*\s(style|on\w+)=", html), path
        assert "javascript:" not in html
        assert "\u202e" not in html


def test_pages_fetch_from_here_only(api, paths) -> None:
    for path in paths:
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', api.get(path).text):
            assert address.startswith(("/", "#", "?", "data:,")), (path, address)
            assert not address.startswith("//")


def test_links_inside_lead_somewhere(api, paths) -> None:
    seen = set()
    for path in paths:
        seen |= set(re.findall(r'href="(/(?:ui|v1)[^"#]*)', api.get(path).text))
    for address in seen:
        answer = api.get(address.replace("&amp;", "&").replace("&#39;", "'"))
        assert answer.status_code == 200, address


def test_the_style_sheet_may_be_kept_because_its_address_changes_with_it(api) -> None:
    address = re.search(r'href="(/ui/static/calibrant.css\?v=[0-9a-f]{16})"', api.get("/ui").text)
    assert address
    answer = api.get(address.group(1))
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == STYLE.read_bytes()


def test_themes_follow_the_reader() -> None:
    style = STYLE.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.usefixtures("evaluated")
def test_the_start_shows_a_verdict_a_form_and_lists(api, flights) -> None:
    html = api.get("/ui").text
    verdict = html.index("<h1>")
    assert verdict < html.index("<svg") < html.index('type="file"') < html.index("Calibrators</h2>")
    assert f"/ui/calibrators/{flights}" in html


def test_the_start_prefers_an_evaluation_with_a_finding(run_api, rows, tmp_path) -> None:
    rng = np.random.default_rng(5)
    p = np.full(4_000, 0.5)
    side = np.arange(4_000) % 2
    y = (rng.uniform(size=4_000) < np.where(side, 0.7, 0.3)).astype(int)
    hidden = {
        "task": "binary", "score_kind": "probabilities", "scores": p.tolist(),
        "labels": y.tolist(), "slices": {"side": ["b" if one else "a" for one in side]},
    }  # fmt: skip
    with run_api(Settings(data_dir=tmp_path)) as api:
        empty = api.get("/ui").text
        assert "Nothing has been evaluated here yet" in empty
        assert "curl -X POST http://calibrant.test/v1/evaluations" in empty
        assert api.post("/v1/evaluations", hidden).status_code == 201
        assert api.post("/v1/evaluations", rows).status_code == 201
        heading = re.search(r"<h1>(.*?)</h1>", api.get("/ui").text)
    assert heading
    assert "side=" in heading.group(1)


def command_in(html: str) -> tuple[str, str]:
    """Return path and body of the calibrate command that a page shows, as a shell reads it."""
    found = re.search(r"calibrant.test(/v1/\S+/calibrate) .*?-d '(.*?)'", html, re.DOTALL)
    assert found
    return found.group(1), unescape(found.group(2))


def test_a_calibrator_shows_how_to_call_and_to_promote_it(api, flights) -> None:
    html = api.get(f"/ui/calibrators/{flights}").text
    assert "Before and after, on held-out rows" in html
    path, body = command_in(html)
    assert json.loads(body)["scores"]
    answer = api("POST", path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert api.get(f"/ui/calibrators/{flights}?version=99").status_code == 404


def test_a_calibrator_of_slices_shows_them_and_how_to_name_them(api, rows) -> None:
    regions = ["it's 漢字" if row % 2 else "us" for row in range(len(rows["labels"]))]
    given = {**rows, "slices": {"region": regions}, "method": "platt", "per_slice": ["region"]}
    made = api.post("/v1/calibrators/per-region/versions", given)
    assert made.status_code == 201, made.text
    html = api.get("/ui/calibrators/per-region").text
    assert "region=it&#39;s 漢字" in html
    path, body = command_in(html)
    assert path == "/v1/calibrators/per-region:1/calibrate"
    assert "region" in json.loads(body)["slices"]
    answer = api("POST", path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text


def test_the_race_is_shown_with_doing_nothing_in_it(api, rows) -> None:
    assert api.post("/v1/calibrators/raced/versions", {**rows, "method": "auto"}).is_success
    html = api.get("/ui/calibrators/raced").text
    race = html[html.index("Candidates, cross-validated") :]
    assert '<th scope="row">identity</th>' in race
    assert '<th scope="row">temperature</th>' in race


def test_a_dropped_file_leads_to_its_columns_and_then_to_a_verdict(api, dataset) -> None:
    form = api.get(dataset).text
    assert re.search(r'name="scores" value="p" checked', form)
    assert re.search(r'<option value="y" selected', form)
    assert not re.search(r'name="score_kind"[^>]* checked', form)
    answer = api("POST", f"{dataset}/evaluations", data=FORM)
    assert answer.status_code == 303, answer.text
    page = api.get(answer.headers["location"])
    assert page.status_code == 200
    assert "region=eu" in page.text


def test_what_is_not_chosen_is_asked_for_beside_the_form(api, dataset) -> None:
    given = {key: value for key, value in FORM.items() if key != "score_kind"}
    answer = api("POST", f"{dataset}/evaluations", data=given)
    assert answer.status_code == 422
    assert "Say whether the scores are probabilities or logits." in answer.text
    assert 'role="alert"' in answer.text
    assert re.search(r'name="slices" value="region" checked', answer.text)


def test_columns_that_cannot_be_used_are_told_beside_the_form(api, dataset) -> None:
    answer = api("POST", f"{dataset}/evaluations", data=FORM | {"labels": "region"})
    assert answer.status_code in {303, 422}
    if answer.status_code == 303:
        answer = api.get(answer.headers["location"])
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    ("content", "name", "status"),
    [(b"", "empty.csv", 422), (b"\x00\x01\x02", "odd.bin", 415), (b"p,p\n1,2\n", "twice.csv", 400)],
)
def test_a_file_that_cannot_be_read_is_answered_with_a_page(api, content, name, status) -> None:
    answer = upload(api, content, name)
    if answer.status_code == 303:
        answer = api.get(answer.headers["location"])
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert 'role="alert"' in answer.text


def test_a_file_beyond_the_limit_is_answered_with_a_page(run_api, tmp_path) -> None:
    with run_api(Settings(data_dir=tmp_path, max_upload_bytes=2_000)) as api:
        answer = upload(api, csv_of(2_000))
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("text/html")


def test_a_job_that_is_not_over_shows_itself_and_looks_again(run_api, tmp_path) -> None:
    settings = Settings(data_dir=tmp_path, job_wait=0.0)
    with run_api(settings, worker=False) as api:
        answer = upload(api, csv_of())
        assert answer.status_code == 303
        place = answer.headers["location"]
        assert place.startswith("/ui/jobs/")
        page = api.get(place)
        assert 'http-equiv="refresh"' in page.text
        assert "Queued" in page.text
        assert api("POST", f"{place}/cancel").headers["location"] == "/ui"
        assert api.get(place).status_code >= 400


def test_another_site_may_not_send_a_file(api) -> None:
    answer = upload(api, csv_of(), headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


def test_with_keys_a_browser_is_asked_for_one(run_api, tmp_path) -> None:
    with run_api(Settings(data_dir=tmp_path, auth="keys")) as api:
        answer = api.get("/ui")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert answer.headers["content-type"].startswith("text/html")
        assert api.get("/ui/static/calibrant.css").status_code == 200


def test_failures_do_not_repeat_what_was_sent(api) -> None:
    answer = api.get("/ui/evaluations/x/diagram", params={"binning": "<img src=x>"})
    assert answer.status_code == 422
    assert "<img" not in answer.text

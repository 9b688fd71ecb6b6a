"""The hot route: what it answers, and that it refuses exactly what its schema says."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("flights")
PATH = "/v1/calibrators/flights/calibrate"


def test_scores_become_probabilities_and_the_version_is_named(api):
    answer = api.post(PATH, {"score_kind": "logits", "scores": [-3.0, 0.0, 3.0]})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    low, middle, high = said.pop("probabilities")
    assert said == {"calibrator": "flights", "version": 1, "alias": "champion", "n_fallback": 0}
    assert middle == pytest.approx(0.5)
    assert 1 / (1 + math.exp(3)) < low < 0.5 < high < 1 / (1 + math.exp(-3))


@pytest.mark.parametrize("ref", ["flights", "flights@champion", "flights:1"])
def test_a_version_has_three_names(api, ref):
    answer = api.post(f"/v1/calibrators/{ref}/calibrate", {"score_kind": "logits", "scores": [1]})
    assert answer.json()["version"] == 1


def test_ids_come_back(api):
    body = {"score_kind": "logits", "scores": [1, 2], "ids": ["a", 7]}
    assert api.post(PATH, body).json()["ids"] == ["a", "7"]


REFUSED = {
    "no score_kind": {"scores": [1]},
    "no scores": {"score_kind": "logits"},
    "empty scores": {"score_kind": "logits", "scores": []},
    "unknown score_kind": {"score_kind": "odds", "scores": [1]},
    "unknown field": {"score_kind": "logits", "scores": [1], "extra": 1},
    "text": {"score_kind": "logits", "scores": ["0.5"]},
    "bool": {"score_kind": "logits", "scores": [True]},
    "null": {"score_kind": "logits", "scores": [None]},
    "ragged": {"score_kind": "logits", "scores": [[1], [1, 2]]},
    "three classes": {"score_kind": "logits", "scores": [[1, 2, 3]]},
    "beyond one": {"score_kind": "probabilities", "scores": [1.5]},
    "ids too short": {"score_kind": "logits", "scores": [1, 2], "ids": ["a"]},
    "slices too short": {"score_kind": "logits", "scores": [1, 2], "slices": {"r": ["a"]}},
    "long slice": {"score_kind": "logits", "scores": [1], "slices": {"r": ["x" * 129]}},
    "not an object": [1],
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_the_schema_refuses_is_refused(api, body):
    answer = api.post(PATH, body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in {"unusable", "bad_batch"}


def test_a_bare_name_without_champion_says_what_to_do(api, rows):
    made = api.post("/v1/calibrators/bare/versions", {**rows, "method": "temperature"})
    assert made.status_code == 201, made.text
    answer = api.post("/v1/calibrators/bare/calibrate", {"score_kind": "logits", "scores": [1]})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_champion")


def test_a_promotion_is_served_at_once(api, rows):
    for method in ("temperature", "identity"):
        made = api.post("/v1/calibrators/moving/versions", {**rows, "method": method})
        assert made.status_code == 201, made.text
    for version in (1, 2, 1):
        moved = api("PUT", "/v1/calibrators/moving/aliases/champion", json={"version": version})
        assert moved.status_code == 200, moved.text
        answer = api.post(
            "/v1/calibrators/moving/calibrate", {"score_kind": "logits", "scores": [1]}
        )
        assert answer.json()["version"] == version
    assert api("DELETE", "/v1/calibrators/moving/aliases/champion").json()["version"] is None
    answer = api.post("/v1/calibrators/moving/calibrate", {"score_kind": "logits", "scores": [1]})
    assert answer.status_code == 409


def test_a_compressed_body_is_read(api):
    body = gzip.compress(b'{"score_kind":"logits","scores":[1]}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert api("POST", PATH, content=body, headers=headers).status_code == 200


def test_a_body_over_the_limit_points_to_data_sets(api):
    answer = api(
        "POST", PATH, content=b" " * (2**21 + 1), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert "/v1/datasets" in answer.json()["detail"]


def test_a_bomb_is_too_large(api):
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = api("POST", PATH, content=gzip.compress(bytes(50_000_000)), headers=headers)
    assert answer.status_code == 413


def test_a_large_batch_gives_the_same_as_small_ones(api):
    scores = np.linspace(-6, 6, 40_000).round(9)
    whole = api.post(PATH, {"score_kind": "logits", "scores": scores.tolist()}).json()[
        "probabilities"
    ]
    part = api.post(PATH, {"score_kind": "logits", "scores": scores[:100].tolist()}).json()
    assert whole[:100] == part["probabilities"]
    assert np.all(np.diff(whole) > 0)


def test_json_needs_its_media_type(api):
    body = b'{"score_kind":"logits","scores":[1]}'
    assert api("POST", PATH, content=body).status_code == 415
    charset = {"content-type": "application/json; charset=utf-8"}
    assert api("POST", PATH, content=body, headers=charset).status_code == 200

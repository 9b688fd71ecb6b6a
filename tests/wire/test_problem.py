from __future__ import annotations

import json

from calibrant.errors import BadBatch, Detail, NoChampion
from calibrant.wire.problem import render, render_inference


def test_a_problem_has_the_members_of_rfc_9457_and_ours():
    error = NoChampion("Nothing is promoted.", [Detail("/name", "No alias.")])
    assert json.loads(render(error, "r-1")) == {
        "type": "urn:calibrant:problem:no_champion",
        "title": "No champion",
        "status": 409,
        "detail": "Nothing is promoted.",
        "code": "no_champion",
        "request_id": "r-1",
        "errors": [{"pointer": "/name", "message": "No alias."}],
    }


def test_a_problem_stays_small_whatever_happened():
    findings = [Detail("/x" * 5000, "m" * 5000)] * 1000
    body = render(BadBatch("d" * 100_000, findings), "r")
    said = json.loads(body)
    assert len(said["errors"]) == 20
    assert all(len(one["message"]) <= 200 for one in said["errors"])
    assert len(body) < 16 * 1024


def test_the_inference_protocol_gets_one_sentence():
    said = json.loads(render_inference(BadBatch("Ragged.", [Detail("/inputs/0", "Short.")])))
    assert said == {"error": "Ragged. /inputs/0: Short."}

"""The OpenAPI document: FastAPI's routes, the hot routes, and the schemas of msgspec."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import msgspec
from fastapi import FastAPI

from calibrant.api.documenting import BINARY, KINDS, fails, gives, ref, takes
from calibrant.wire.inference import HEADER, InferenceRequest
from calibrant.wire.problem import MEDIA_TYPE, InferenceError, Problem
from calibrant.wire.requests import CalibrateRequest
from calibrant.wire.responses import Calibrated

_TEMPLATE = "#/components/schemas/{name}"
_COMMON = {401: "No credential, or an unknown one.", 403: "The credential lacks a scope."}
_ALWAYS = {
    422: "Well formed, but it cannot be used.",
    500: "Something unexpected.",
    503: "A part is down.",
}
_OPEN = ("/livez", "/readyz", "/docs", "/v2/health/live", "/v2/health/ready", "/v2")


@lru_cache(maxsize=1)
def described(app: FastAPI) -> bytes:
    """Return the document as it is served."""
    return json.dumps(document(app), sort_keys=True, ensure_ascii=False).encode()


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    made = json.loads(json.dumps(app.openapi()))
    for path, item in _hot_paths().items():
        made["paths"][path] = {**made["paths"].get(path, {}), **item}
    for path, item in made["paths"].items():
        for operation in item.values():
            _finish(path, operation)
    made["components"] = {
        "schemas": _schemas(),
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        },
    }
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def _schemas() -> dict[str, Any]:
    kinds = {**KINDS, "Problem": Problem, "InferenceError": InferenceError}
    _, components = msgspec.json.schema_components(list(kinds.values()), ref_template=_TEMPLATE)
    return components


def _finish(path: str, operation: dict[str, Any]) -> None:
    """Declare what every route may answer, in the form of its part of the API."""
    answers = operation["responses"]
    open_path = path in _OPEN
    for status, what in {**({} if open_path else _COMMON), **_ALWAYS}.items():
        answers.setdefault(str(status), {"description": what})
    if path.startswith("/v2"):
        answers.setdefault("400", {"description": "The request cannot be used."})
        answers.pop("422", None)
        content = {"application/json": {"schema": ref(InferenceError)}}
    else:
        answers.setdefault("400", {"description": "It cannot be read."})
        content = {MEDIA_TYPE: {"schema": ref(Problem)}}
    for status, answer in answers.items():
        if int(status) >= 400:
            answer["content"] = content
    if not open_path:
        operation["security"] = [{"bearer": []}, {"key": []}]


def _hot_paths() -> dict[str, Any]:
    infer = {
        "tags": ["inference protocol"],
        "description": "Inputs: `logits` or `probabilities` of shape [N, K] ([N], [N, 1] or [N, 2] "
        "for binary), and one BYTES input a slice dimension. Output: `calibrated`.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": ref(InferenceRequest)},
                "application/octet-stream": {"schema": BINARY},
            },
        },
        "responses": _answers(
            gives({"type": "object"}, "The outputs.") | fails(404, 408, 413, 429)
        ),
    }
    header = {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "Length of the JSON part, where binary tensors follow it.",
        "schema": {"type": "integer", "minimum": 0},
    }
    return {
        "/v1/calibrators/{ref}/calibrate": {
            "post": {
                "tags": ["calibrators"],
                "operationId": "calibrate",
                "summary": "Calibrate",
                "description": "Return calibrated probabilities. `ref` is `name` (its champion), "
                "`name@alias` or `name:3`.",
                "parameters": [_path("ref")],
                **takes(CalibrateRequest),
                "responses": _answers(
                    gives(ref(Calibrated), "Calibrated probabilities.")
                    | fails(404, 408, 409, 413, 415, 429)
                ),
            }
        },
        "/v2/models/{model}/infer": {
            "post": {
                **infer,
                "operationId": "infer",
                "summary": "Infer",
                "parameters": [_path("model"), header],
            }
        },
        "/v2/models/{model}/versions/{version}/infer": {
            "post": {
                **infer,
                "operationId": "infer_version",
                "summary": "Infer with a version",
                "parameters": [_path("model"), _path("version"), header],
            }
        },
        "/metrics": {
            "get": {
                "tags": ["service"],
                "operationId": "metrics",
                "summary": "Metrics",
                "description": "Return metrics in the Prometheus text format.",
                "responses": _answers(gives({"type": "string"}, "Metrics.", media="text/plain")),
            }
        },
    }


def _answers(answers: dict[int | str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(status): dict(answer) for status, answer in answers.items()}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}

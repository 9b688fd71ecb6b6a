"""The committed description is what the code does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from calibrant.api.openapi import rendered

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "openapi" / "examples").glob("*.json"))


def test_the_committed_document_is_fresh():
    committed = (ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8")
    assert committed == rendered(), "run: make openapi"


def test_operations_are_named_after_their_functions_and_every_reference_is_there():
    document = json.loads(rendered())
    names = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert len(names) == len(set(names))
    assert {"create_evaluation", "calibrate", "infer"} <= set(names)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    text = json.dumps(document)
    used = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert used <= known


def test_every_route_declares_its_failures():
    document = json.loads(rendered())
    for path, item in document["paths"].items():
        for operation in item.values():
            media = "application/json" if path.startswith("/v2") else "application/problem+json"
            failures = [code for code in operation["responses"] if int(code) >= 400]
            assert failures, path
            assert all(media in operation["responses"][code]["content"] for code in failures)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("flights")
def test_examples_answer_as_they_say(api, path):
    example = json.loads(path.read_text(encoding="utf-8"))
    answer = api(
        example["method"], example["path"], json=example.get("body"), headers=example.get("headers")
    )
    assert answer.status_code == example["status"], answer.text
    assert set(example["answer_has"]) <= set(answer.json())


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


def test_the_page_of_the_api_needs_nothing_else(api):
    page = api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "http://" not in page.text.replace("http://json-schema.org", "")
    assert "/v1/calibrators/{ref}/calibrate" in page.text


def test_importing_the_api_is_light():
    code = (
        "import sys, time; start = time.perf_counter(); import calibrant.api.app; "
        "heavy = {'torch', 'onnx', 'onnxruntime', 'pyarrow', 'numba', 'dbos', 'sklearn', "
        "'scipy.stats', 'scipy.optimize'} & set(sys.modules); "
        "assert not heavy, heavy; print(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

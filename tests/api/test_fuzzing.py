"""Requests made from the schema, and requests made to break it: nothing crashes, all is declared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from calibrant.api.openapi import rendered
from calibrant.settings import Settings

SCHEMA = schemathesis.openapi.from_dict(json.loads(rendered()))
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
CASES = [
    pytest.param(label, mode, id=f"{mode.value} {label}")
    for label, operation in OPERATIONS.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or operation.body or list(operation.iter_parameters())
]
BASE = "http://calibrant.test"
# JSON Schema cannot say that columns have one length, that scores are rows of one width, or that
# a body has rows or a data set: such bodies fit the schema and are refused
TOO_STRICT = [checks.positive_data_acceptance, checks.unsupported_method]
OPEN = [checks.ignored_auth]  # keys are off here; test_keys.py has them on


@pytest.fixture(scope="module")
def fuzzed(run_api: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    load_all_checks()
    quick = Settings(data_dir=tmp_path_factory.mktemp("fuzz"), auth="off", job_wait=0.01)
    with run_api(quick, worker=False) as api:
        yield api


def send(api: Any, case: Any) -> httpx.Response:
    prepared = requests.Request(**case.as_transport_kwargs(base_url=BASE)).prepare()
    headers = {name: value for name, value in prepared.headers.items() if name != "Content-Length"}
    return api(prepared.method, prepared.url, content=prepared.body or b"", headers=headers)


def check(api: Any, label: str, mode: GenerationMode, examples: int) -> None:
    operation = OPERATIONS[label]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=True,
    )
    def run(case: Any) -> None:
        try:
            answer = send(api, case)
        except (httpx.InvalidURL, UnicodeError, httpx.LocalProtocolError):
            return  # nothing that a client can send
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        case.validate_response(answer, excluded_checks=TOO_STRICT + OPEN)

    run()


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_a_few_requests_to_every_operation(fuzzed, label, mode):
    check(fuzzed, label, mode, 4)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("label", "mode"), CASES)
def test_many_requests_to_every_operation(fuzzed, label, mode):
    check(fuzzed, label, mode, 200)

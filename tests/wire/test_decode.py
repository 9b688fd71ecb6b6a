from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant.errors import BadRequest, CalibrantError, Unusable
from calibrant.wire.decode import decode
from calibrant.wire.requests import CalibrateRequest, EvaluateRequest


def body(scores: bytes = b"[0.5]", more: bytes = b"") -> bytes:
    return b'{"score_kind":"logits","scores":' + scores + more + b"}"


def refusal(content: bytes, kind: type = CalibrateRequest) -> CalibrantError:
    with pytest.raises(CalibrantError) as caught:
        decode(kind, content)
    return caught.value


def test_a_plain_body_is_decoded():
    assert decode(CalibrateRequest, body(b"[1, 2.5]")).scores == [1.0, 2.5]


@pytest.mark.parametrize("value", [b'"0.5"', b"true", b"null", b"{}"])
def test_only_numbers_are_numbers(value):
    error = refusal(body(b"[0.5," + value + b"]"))
    assert (error.status, error.errors[0].pointer) == (422, "/scores/1")


@pytest.mark.parametrize(
    "value", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"9" * 6000]
)
def test_numbers_that_are_not_finite_are_unusable(value):
    assert refusal(body(b"[" + value + b"]")).status == 422


@pytest.mark.parametrize(
    "text", [b"\\ud800", b"\\ud800abcdef", b"\\ud800\\u0041", b"\\udc00", b"a\\u0000b"]
)
def test_half_surrogates_and_nul_are_unusable(text):
    assert refusal(body(more=b',"slices":{"r":["' + text + b'"]}')).status == 422


def test_an_escaped_backslash_before_u0000_is_not_a_nul():
    decoded = decode(CalibrateRequest, body(more=b',"slices":{"r":["a\\\\u0000"]}'))
    assert decoded.slices == {"r": ["a\\u0000"]}


def test_a_whole_surrogate_pair_is_text():
    decoded = decode(CalibrateRequest, body(more=b',"slices":{"r":["\\ud83d\\ude00"]}'))
    assert decoded.slices == {"r": ["😀"]}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"nonsense", b"\xff\xfe", b'{"scores": [1,]}', body() + b" x", b"'"],
)
def test_what_is_not_json_is_a_bad_request(content):
    assert isinstance(refusal(content), BadRequest)


def test_deep_nesting_is_refused_at_once():
    deep = b"[" * 100_000 + b"]" * 100_000
    start = time.perf_counter()
    for content in (body(deep), b'{"score_kind":' + deep + b"}", deep):
        assert refusal(content).status in {400, 422}
    assert time.perf_counter() - start < 0.5


def test_the_last_of_duplicate_keys_wins():
    assert decode(CalibrateRequest, body(more=b',"score_kind":"probabilities"')).score_kind == (
        "probabilities"
    )


def test_an_unknown_field_is_refused_with_the_known_ones_and_without_its_name():
    error = refusal(body(more=b',"sekret":1'))
    assert "`score_kind`" in error.errors[0].message
    assert "sekret" not in error.detail + error.errors[0].message + error.errors[0].pointer


def test_an_unknown_choice_is_refused_with_the_choices_and_without_its_value():
    error = refusal(b'{"score_kind":"sekret","scores":[1]}')
    assert error.errors[0].pointer == "/score_kind"
    assert error.errors[0].message == "Must be one of `logits`, `probabilities`."


def test_a_field_missing_deep_inside_is_pointed_at():
    content = b'{"task":"binary","score_kind":"logits","dataset":"ds_1","columns":{}}'
    assert refusal(content, EvaluateRequest).errors[0].pointer == "/columns"


def test_labels_stay_in_range():
    content = b'{"task":"binary","score_kind":"logits","scores":[1],"labels":[%d]}'
    for label in (-1, 2**31, 2**63, 10**400):
        error = refusal(content.replace(b"%d", str(label).encode()[:4000]), EvaluateRequest)
        assert error.errors[0].pointer == "/labels/0"


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused_by_name(content):
    with pytest.raises((BadRequest, Unusable)):
        decode(CalibrateRequest, content)


@given(st.text(min_size=8, max_size=40))
def test_refusals_never_hold_the_input(text):
    import json

    for field in ("score_kind", text):
        content = json.dumps({"score_kind": "logits", "scores": [1], field: text}).encode()
        try:
            decode(CalibrateRequest, content)
        except CalibrantError as error:
            said = error.detail + "".join(one.pointer + one.message for one in error.errors)
            assert text not in said

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from calibrant.errors import BadRequest
from calibrant.wire.inference import read_inference, write_inference
from calibrant.wire.tensors import Tensor

SCORES = np.array([[1.0, 2.0], [3.0, 4.0]], dtype="<f4")


def request(**more: Any) -> dict[str, Any]:
    first = {"name": "logits", "shape": [2, 2], "datatype": "FP32", "data": SCORES.tolist()}
    return {"inputs": [first], **more}


def binary(size: int = 16, tail: bytes = SCORES.tobytes(), **more: Any) -> tuple[bytes, int]:
    first = {
        "name": "logits",
        "shape": [2, 2],
        "datatype": "FP32",
        "parameters": {"binary_data_size": size},
    }
    head = json.dumps({"inputs": [first], **more}).encode()
    return head + tail, len(head)


def answer(asked: Any, **more: Any) -> tuple[dict[str, Any], bytes]:
    body, length = write_inference(
        asked,
        [Tensor("calibrated", "FP64", (2,), np.array([0.25, 0.75]))],
        model="m",
        version="3",
        parameters={"calibrator_version": 3},
        **more,
    )
    return json.loads(body[:length]), body[length:] if length is not None else b""


def test_json_and_binary_inputs_read_alike():
    from_text = read_inference(json.dumps(request()).encode(), None).inputs[0]
    from_bytes = read_inference(*binary()).inputs[0]
    np.testing.assert_array_equal(from_text.values, from_bytes.values)


@pytest.mark.parametrize(
    ("size", "tail"), [(16, b""), (16, bytes(15)), (16, bytes(17)), (8, bytes(8)), (-1, b"")]
)
def test_binary_sizes_add_up_to_the_body(size, tail):
    with pytest.raises(BadRequest):
        read_inference(*binary(size, tail))


@pytest.mark.parametrize("length", [-1, 10_000])
def test_the_json_part_lies_inside_the_body(length):
    with pytest.raises(BadRequest):
        read_inference(b"{}", length)


def test_an_input_without_data_is_refused():
    with pytest.raises(BadRequest):
        read_inference(b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}', None)


def test_unreadable_json_is_a_bad_request_whatever_its_kind():
    for content in (b"{", b'{"inputs":1}', b'{"inputs":[]}', b'{"inputs":[{"name":1}]}'):
        with pytest.raises(BadRequest):
            read_inference(content, None)


def test_the_id_comes_back_and_is_absent_where_none_was_sent():
    assert answer(read_inference(json.dumps(request(id="a1")).encode(), None))[0]["id"] == "a1"
    assert "id" not in answer(read_inference(json.dumps(request()).encode(), None))[0]


def test_outputs_are_json_unless_asked_otherwise():
    said, tail = answer(read_inference(json.dumps(request()).encode(), None))
    assert said["outputs"] == [
        {"name": "calibrated", "datatype": "FP64", "shape": [2], "data": [0.25, 0.75]}
    ]
    assert tail == b""


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "calibrated", "parameters": {"binary_data": True}}]},
        {"outputs": [{"name": "calibrated"}], "parameters": {"binary_data_output": True}},
    ],
)
def test_outputs_are_binary_where_asked(more):
    said, tail = answer(read_inference(json.dumps(request(**more)).encode(), None))
    assert said["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert np.frombuffer(tail, "<f8").tolist() == [0.25, 0.75]


def test_one_output_may_stay_json_though_the_rest_is_binary():
    asked = request(
        outputs=[{"name": "calibrated", "parameters": {"binary_data": False}}],
        parameters={"binary_data_output": True},
    )
    assert answer(read_inference(json.dumps(asked).encode(), None))[1] == b""


def test_an_output_that_there_is_not_is_refused_without_its_name():
    asked = read_inference(json.dumps(request(outputs=[{"name": "sekret"}])).encode(), None)
    with pytest.raises(BadRequest, match="calibrated") as caught:
        answer(asked)
    assert "sekret" not in caught.value.detail

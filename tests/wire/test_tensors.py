from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant.errors import BadRequest
from calibrant.wire.tensors import DTYPES, Tensor, from_binary, from_json, to_binary

SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=4)


def example(datatype: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(math.prod(shape))
    dtype = DTYPES[datatype]
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, size=shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return rng.integers(bounds.min, bounds.max, size=shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("datatype", DTYPES)
def test_binary_round_trip(datatype):
    array = example(datatype, (3, 2))
    data = to_binary(Tensor("x", datatype, array.shape, array))
    back = from_binary("x", datatype, array.shape, memoryview(data), "/inputs/0")
    np.testing.assert_array_equal(back.values, array)


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("nested", [True, False])
def test_json_round_trip_flat_and_nested(datatype, nested):
    array = example(datatype, (3, 2))
    data = json.dumps((array if nested else array.reshape(-1)).tolist()).encode()
    back = from_json("x", datatype, array.shape, data, "/inputs/0")
    np.testing.assert_array_equal(back.values, array)
    assert back.values.dtype == array.dtype


@given(SHAPES, st.sampled_from(sorted(DTYPES)), st.integers(-8, 8))
def test_a_binary_tensor_has_exactly_its_size(shape, datatype, off):
    size = math.prod(shape) * DTYPES[datatype].itemsize
    data = memoryview(bytes(max(0, size + off)))
    if len(data) == size:
        assert from_binary("x", datatype, shape, data, "/").values.shape == tuple(shape)
    else:
        with pytest.raises(BadRequest):
            from_binary("x", datatype, shape, data, "/")


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_bytes_round_trip(items):
    data = to_binary(Tensor("x", "BYTES", (len(items),), items))
    assert from_binary("x", "BYTES", (len(items),), memoryview(data), "/").values == items


@pytest.mark.parametrize(
    "data", [b"\x05\0\0\0ab", b"\x01\0\0", b"\0\0\0\0\0\0\0\0", b"\xff\xff\xff\xffab"]
)
def test_bytes_that_do_not_add_up_are_refused(data):
    with pytest.raises(BadRequest):
        from_binary("x", "BYTES", (1,), memoryview(data), "/")


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("INT8", b"[200]"),
        ("UINT8", b"[-1]"),
        ("INT64", b"[9223372036854775808]"),
        ("INT32", b"[1.5]"),
        ("INT32", b"[true]"),
        ("FP32", b'["1"]'),
        ("FP32", b"[true]"),
        ("FP32", b"[NaN]"),
        ("FP32", b"[null]"),
        ("BOOL", b"[1]"),
        ("BYTES", b"[1]"),
        ("FP64", b"{}"),
        ("FP64", b"1"),
        ("FP64", b"[1,2]"),
        ("FP64", b"[]"),
        ("FP64", b"[[1]]"),
        ("FP64", b"[" * 5000 + b"]" * 5000),
    ],
)
def test_json_data_fit_their_datatype_and_shape(datatype, data):
    with pytest.raises(BadRequest):
        from_json("x", datatype, (1,), data, "/inputs/0")


@pytest.mark.parametrize("data", [b"[[1,2],[3]]", b"[[1,2],3]", b"[[1,2,3],[4,5,6]]"])
def test_nested_data_have_the_declared_shape(data):
    with pytest.raises(BadRequest):
        from_json("x", "FP64", (3, 2), data, "/inputs/0")


def test_nested_texts_are_flattened():
    back = from_json("x", "BYTES", (2, 1), b'[["a"],["\xc3\xa9"]]', "/")
    assert back.values == [b"a", "é".encode()]


def test_brain_floats_are_refused_in_words():
    with pytest.raises(BadRequest, match="send FP32"):
        from_binary("x", "BF16", (1,), memoryview(b"\0\0"), "/")


def test_a_bool_is_zero_or_one():
    with pytest.raises(BadRequest):
        from_binary("x", "BOOL", (1,), memoryview(b"\x02"), "/")


@pytest.mark.parametrize("shape", [[], [-1], [1, 1, 1, 1, 1]])
def test_shapes_have_one_to_four_dimensions(shape):
    with pytest.raises(BadRequest):
        from_binary("x", "FP32", shape, memoryview(b"\0" * 4), "/")


def test_a_huge_declared_shape_costs_nothing():
    with pytest.raises(BadRequest):
        from_binary("x", "FP32", [2**62, 2**62], memoryview(b""), "/")

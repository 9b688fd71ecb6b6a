"""Tensors of the Open Inference Protocol: JSON data and the binary extension.

https://github.com/kserve/open-inference-protocol, `inference_rest.md` and the binary data
extension. Sizes must equal shape times item size and add up to the body.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadRequest, Detail

MAX_RANK = 4

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One named tensor.

    Attributes
    ----------
    values : array of `shape`, or a flat list of bytes for the datatype BYTES
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | list[bytes]


def _nested(item: Any) -> msgspec.json.Decoder[Any]:
    kind: Any = list[item]
    for _ in range(MAX_RANK - 1):
        kind = list[Union[item, kind]]  # noqa: UP007 - `|` does not take types built at run time
    return msgspec.json.Decoder(kind)


_JSON_DATA = {
    "b": _nested(bool),
    "u": _nested(int),
    "i": _nested(int),
    "f": _nested(float),
    "S": _nested(str),
}


def shape_of(shape: Sequence[int], pointer: str) -> tuple[int, ...]:
    """Check a declared shape.

    Raises
    ------
    BadRequest
        If it has no or more than four dimensions, or one that is negative.
    """
    if not 1 <= len(shape) <= MAX_RANK or any(size < 0 for size in shape):
        raise BadRequest(
            "A shape has 1 to 4 dimensions, none of them negative.",
            [Detail(f"{pointer}/shape", "1 to 4 dimensions, none negative.")],
        )
    return tuple(shape)


def dtype_of(datatype: str, pointer: str) -> np.dtype[Any] | None:
    """Return the array type of a datatype, None for BYTES.

    Raises
    ------
    BadRequest
        If the datatype is unknown, or BF16, which numpy cannot hold.
    """
    if datatype == "BYTES":
        return None
    if datatype == "BF16":
        raise BadRequest(
            "The datatype BF16 is not read here: send FP32, which holds every BF16 value exactly.",
            [Detail(f"{pointer}/datatype", "BF16 is not supported; send FP32.")],
        )
    if datatype not in DTYPES:
        raise BadRequest(
            f"The datatype must be one of {', '.join(DTYPES)} or BYTES.",
            [Detail(f"{pointer}/datatype", "Not a datatype of the protocol.")],
        )
    return DTYPES[datatype]


def from_json(
    name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview, pointer: str
) -> Tensor:
    """Read a tensor from JSON, flat or nested as its shape.

    Raises
    ------
    BadRequest
        If values are of another type, out of range, or not as many as the shape says.
    """
    form, dtype = shape_of(shape, pointer), dtype_of(datatype, pointer)
    try:
        values = _JSON_DATA["S" if dtype is None else dtype.kind].decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadRequest(
            f"The data of an input do not fit its datatype {datatype}.",
            [Detail(f"{pointer}/data", f"Expected values of datatype {datatype}, flat or nested.")],
        ) from None
    nested = bool(values) and isinstance(values[0], list)
    if dtype is None:
        return Tensor(name, datatype, form, _flat_texts(values, form, pointer))
    try:
        array = np.array(values, dtype=dtype)
    except (ValueError, TypeError, OverflowError):
        raise BadRequest(
            f"The data of an input are ragged, or out of the range of {datatype}.",
            [Detail(f"{pointer}/data", f"Ragged, or out of the range of {datatype}.")],
        ) from None
    if (array.shape != form) if nested else (array.size != math.prod(form)):
        raise _wrong_size(pointer, form)
    return Tensor(name, datatype, form, array.reshape(form))


def _flat_texts(values: list[Any], form: tuple[int, ...], pointer: str) -> list[bytes]:
    for size in form[1:] if values and isinstance(values[0], list) else ():
        if not all(isinstance(row, list) and len(row) == size for row in values):
            raise _wrong_size(pointer, form)
        values = [item for row in values for item in row]
    if len(values) != math.prod(form) or not all(isinstance(item, str) for item in values):
        raise _wrong_size(pointer, form)
    return [item.encode() for item in values]


def from_binary(
    name: str, datatype: str, shape: Sequence[int], data: memoryview, pointer: str
) -> Tensor:
    """Read a tensor from its little-endian bytes, without a copy.

    Raises
    ------
    BadRequest
        If there are not exactly as many bytes as shape and datatype say.
    """
    form, dtype = shape_of(shape, pointer), dtype_of(datatype, pointer)
    if dtype is None:
        return Tensor(name, datatype, form, _split_texts(data, form, pointer))
    if len(data) != math.prod(form) * dtype.itemsize:
        raise _wrong_size(pointer, form)
    array = np.frombuffer(data, dtype=dtype).reshape(form)
    if dtype.kind == "b" and len(data) and array.view(np.uint8).max() > 1:
        raise BadRequest(
            "A BOOL element must be 0 or 1.", [Detail(pointer, "A byte above 1 in BOOL data.")]
        )
    return Tensor(name, datatype, form, array)


def _split_texts(data: memoryview, form: tuple[int, ...], pointer: str) -> list[bytes]:
    values, place = [], 0
    while place + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, place)
        place += 4
        values.append(bytes(data[place : place + length]))
        place += length
    if place != len(data) or len(values) != math.prod(form):
        raise _wrong_size(pointer, form)
    return values


def to_binary(tensor: Tensor) -> bytes:
    """Write a tensor as little-endian bytes."""
    if isinstance(tensor.values, list):
        return b"".join(struct.pack("<I", len(item)) + item for item in tensor.values)
    return tensor.values.tobytes()


def _wrong_size(pointer: str, form: tuple[int, ...]) -> BadRequest:
    return BadRequest(
        "The data of an input have another size than its shape and datatype say.",
        [Detail(pointer, f"Expected {math.prod(form):,} values of the declared datatype.")],
    )

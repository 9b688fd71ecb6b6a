"""Requests and responses of the Open Inference Protocol, version 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from msgspec import Meta, Raw, Struct, field

from calibrant.errors import BadRequest, CalibrantError, Detail
from calibrant.wire.decode import decode
from calibrant.wire.tensors import Tensor, from_binary, from_json, to_binary

Parameter = str | float | int | bool
Parameters = dict[str, Parameter]
HEADER = "inference-header-content-length"
JSON_MEDIA_TYPE = "application/json"
BINARY_MEDIA_TYPE = "application/octet-stream"


class InputTensor(Struct, frozen=True, kw_only=True):
    """An input as it stands in the JSON part."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: Raw = field(default_factory=Raw)


class WantedOutput(Struct, frozen=True, kw_only=True):
    """An output the caller asks for."""

    name: str
    parameters: Parameters = {}


class InferenceRequest(Struct, frozen=True, kw_only=True):
    """The JSON part of a request; unknown fields are ignored, as the protocol has extensions."""

    inputs: Annotated[list[InputTensor], Meta(min_length=1, max_length=64)]
    outputs: list[WantedOutput] | None = None
    id: Annotated[str, Meta(max_length=256)] | None = None
    parameters: Parameters = {}


@dataclass(frozen=True, slots=True)
class Inference:
    """A request with its tensors read.

    Attributes
    ----------
    wanted : mapping of output name to whether it is to be binary, or None for all outputs
    binary : bool
        Whether outputs are binary that do not say so themselves.
    """

    id: str | None
    inputs: Sequence[Tensor]
    wanted: Mapping[str, bool] | None
    binary: bool
    parameters: Mapping[str, Parameter]


def read_inference(body: bytes, header_length: int | None) -> Inference:
    """Read a request; `header_length` is the length of its JSON part, None for all of it.

    Raises
    ------
    BadRequest
        Whatever is wrong with it: the protocol has one status for that.
    """
    if header_length is not None and not 0 <= header_length <= len(body):
        raise BadRequest(f"`{HEADER}` must lie between 0 and the length of the body.")
    head = body if header_length is None else body[:header_length]
    try:
        request = decode(InferenceRequest, head)
    except CalibrantError as error:
        raise BadRequest(error.detail, error.errors) from None
    tail = memoryview(body)[len(head) :]
    binary = bool(request.parameters.get("binary_data_output", False))
    wanted = request.outputs and {
        output.name: bool(output.parameters.get("binary_data", binary))
        for output in request.outputs
    }
    return Inference(
        request.id, _read_inputs(request.inputs, tail), wanted or None, binary, request.parameters
    )


def _read_inputs(inputs: Sequence[InputTensor], tail: memoryview) -> list[Tensor]:
    tensors, place = [], 0
    for index, given in enumerate(inputs):
        pointer = f"/inputs/{index}"
        size = given.parameters.get("binary_data_size")
        if size is None:
            if not bytes(given.data):
                raise _bad_input(pointer, "Neither `data` nor `binary_data_size`.")
            tensors.append(from_json(given.name, given.datatype, given.shape, given.data, pointer))
            continue
        if type(size) is not int or size < 0 or bytes(given.data):
            raise _bad_input(pointer, "`binary_data_size` must be a byte count, without `data`.")
        if place + size > len(tail):
            raise _bad_input(pointer, "`binary_data_size` passes the end of the body.")
        piece = tail[place : place + size]
        tensors.append(from_binary(given.name, given.datatype, given.shape, piece, pointer))
        place += size
    if place != len(tail):
        raise BadRequest("The binary data are longer than the sizes of the inputs add up to.")
    return tensors


def _bad_input(pointer: str, message: str) -> BadRequest:
    return BadRequest("An input cannot be read.", [Detail(pointer, message)])


def write_inference(
    request: Inference,
    outputs: Sequence[Tensor],
    *,
    model: str,
    version: str,
    parameters: Parameters,
) -> tuple[bytes, int | None]:
    """Write a response with the outputs that were asked for.

    Returns
    -------
    (bytes, int or None)
        The body, and the length of its JSON part where binary tensors follow it.

    Raises
    ------
    BadRequest
        If an output was asked for that there is not.
    """
    tails: list[bytes] = []
    described = [
        _write_output(tensor, binary=binary, tails=tails)
        for tensor, binary in _chosen(request, outputs)
    ]
    answer: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        answer["id"] = request.id
    answer["parameters"] = parameters
    answer["outputs"] = described
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([head, *tails]), len(head)) if tails else (head, None)


def _chosen(request: Inference, outputs: Sequence[Tensor]) -> list[tuple[Tensor, bool]]:
    if request.wanted is None:
        return [(tensor, request.binary) for tensor in outputs]
    known = {tensor.name: tensor for tensor in outputs}
    if not request.wanted.keys() <= known.keys():
        raise BadRequest(f"There is no such output; there is: {', '.join(known)}.")
    return [(known[name], binary) for name, binary in request.wanted.items()]


def _write_output(tensor: Tensor, *, binary: bool, tails: list[bytes]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": tensor.shape,
    }
    if binary:
        tails.append(to_binary(tensor))
        described["parameters"] = {"binary_data_size": len(tails[-1])}
    elif isinstance(tensor.values, list):
        described["data"] = [item.decode(errors="replace") for item in tensor.values]
    else:
        described["data"] = tensor.values.reshape(-1)
    return described

"""The hot routes as plain functions: calibrate, and inference on calibrators.

They run before FastAPI, which would cost more than their work. What they accept and refuse is what
`describing.py` says of them; a contract test holds the two together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.types import Receive

from calibrant.api.answers import JSON, Answer
from calibrant.api.body import JSON_REMEDY, OFF_LOOP_BYTES, read_body
from calibrant.api.service import Service
from calibrant.errors import BadBatch, BadRequest, Detail, NotFound, UnsupportedMedia
from calibrant.operations.batch import check_lengths, check_limits, check_slices
from calibrant.operations.context import Caller
from calibrant.wire import inference
from calibrant.wire.columns import score_array, texts
from calibrant.wire.decode import decode
from calibrant.wire.requests import CalibrateRequest, ScoreKind, slice_texts
from calibrant.wire.tensors import Tensor

if TYPE_CHECKING:
    from calibrant.operations.calibrate import Servable

Headers = Mapping[bytes, bytes]
SUFFIX = ".calibrator"
_SCORES: dict[str, ScoreKind] = {"logits": "logits", "probabilities": "probabilities"}
_MAX_VERSION_DIGITS = 10


async def calibrate(
    service: Service, ref: str, caller: Caller, receive: Receive, headers: Headers
) -> Answer:
    """Answer `POST /v1/calibrators/{ref}/calibrate`."""
    caller.need("read")
    check_json(headers)
    settings = service.settings
    body = await read_body(
        receive,
        headers,
        limit=settings.max_json_bytes,
        deadline=settings.receive_timeout,
        remedy=JSON_REMEDY,
    )
    serving = service.runtime.serving
    servable = serving.peek(caller.tenant, ref)
    if servable is None:
        servable = await asyncio.to_thread(serving.resolve, caller.tenant, ref)
    if len(body) <= OFF_LOOP_BYTES:
        return _calibrated(service, servable, body)
    return await service.batches.run(partial(_calibrated, service, servable, body))


async def infer(
    service: Service,
    name: str,
    version: str | None,
    caller: Caller,
    receive: Receive,
    headers: Headers,
) -> Answer:
    """Answer `POST /v2/models/{name}[/versions/{version}]/infer`."""
    caller.need("read")
    settings = service.settings
    header_length = _header_length(headers)
    limit = settings.max_json_bytes if header_length is None else settings.max_body_bytes
    body = await read_body(receive, headers, limit=limit, deadline=settings.receive_timeout)
    serving, ref = service.runtime.serving, reference(name, version)
    servable = serving.peek(caller.tenant, ref)
    if servable is None:
        servable = await asyncio.to_thread(serving.resolve, caller.tenant, ref)
    if len(body) <= OFF_LOOP_BYTES:
        return _inferred(service, servable, body, header_length, name)
    return await service.batches.run(
        partial(_inferred, service, servable, body, header_length, name)
    )


def reference(name: str, version: str | None) -> str:
    """Return the reference that a model of the inference protocol stands for.

    Raises
    ------
    NotFound
        If it is not a calibrator, or the version is not a number.
    """
    if not name.endswith(SUFFIX):
        raise NotFound(f"There is no such model; a calibrator answers to `<name>{SUFFIX}`.")
    base = name.removesuffix(SUFFIX)
    if version is None:
        return base
    if not version.isdecimal() or len(version) > _MAX_VERSION_DIGITS:
        raise NotFound("A version is a number.")
    return f"{base}:{int(version)}"


def check_json(headers: Headers) -> None:
    """Raise `UnsupportedMedia` unless the body is said to be JSON."""
    media = headers.get(b"content-type", b"")
    if media != JSON and media.partition(b";")[0].strip().lower() != JSON:
        raise UnsupportedMedia("Send JSON, with `Content-Type: application/json`.")


def _calibrated(service: Service, servable: Servable, body: bytes) -> Answer:
    request = decode(CalibrateRequest, body)
    scores = score_array(request.scores)
    check_limits(scores, service.settings)
    ids = None
    if request.ids is not None:
        ids = texts(request.ids, "/ids")
        check_lengths(len(scores), {"ids": ids})
    slices: dict[str, list[str | None]] = {}
    if request.slices is not None:
        slices = slice_texts(request.slices)
        check_slices(slices, len(scores))
    probabilities, n_fallback = servable.calibrate(scores, request.score_kind, slices)
    _count(service, len(scores), n_fallback)
    answer: dict[str, Any] = {
        "calibrator": servable.name,
        "version": servable.version,
        "alias": servable.alias,
        "probabilities": probabilities,
        "n_fallback": n_fallback,
    }
    if ids is not None:
        answer["ids"] = ids
    return Answer(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))


def _inferred(
    service: Service, servable: Servable, body: bytes, header_length: int | None, name: str
) -> Answer:
    request = inference.read_inference(body, header_length)
    score_kind, scores, slices = _tensors(request)
    check_limits(scores, service.settings)
    check_slices(slices, len(scores))
    probabilities, n_fallback = servable.calibrate(scores, score_kind, slices)
    _count(service, len(scores), n_fallback)
    shaped = _as_sent(probabilities, scores)
    parameters: dict[str, inference.Parameter] = {
        "calibrator_version": servable.version,
        "n_fallback": n_fallback,
    }
    if servable.alias is not None:
        parameters["alias"] = servable.alias
    content, json_length = inference.write_inference(
        request,
        [Tensor("calibrated", "FP64", shaped.shape, shaped)],
        model=name,
        version=str(servable.version),
        parameters=parameters,
    )
    if json_length is None:
        return Answer(content)
    length = (inference.HEADER.encode(), b"%d" % json_length)
    return Answer(content, 200, inference.BINARY_MEDIA_TYPE.encode(), (length,))


def _tensors(
    request: inference.Inference,
) -> tuple[ScoreKind, NDArray[Any], dict[str, list[str | None]]]:
    """Split inputs into the scores and the slice columns."""
    kinds = [tensor for tensor in request.inputs if tensor.name in _SCORES]
    if len(kinds) != 1:
        raise BadRequest("Send exactly one input named `logits` or `probabilities`.")
    scores = kinds[0]
    if not isinstance(scores.values, np.ndarray) or scores.values.dtype.kind != "f":
        raise BadRequest("Scores have the datatype FP16, FP32 or FP64.")
    if scores.values.ndim > 2 or not scores.values.size:
        raise BadRequest("Scores have the shape [N] or [N, K], with at least one row.")
    values = scores.values.astype(np.float32) if scores.datatype == "FP16" else scores.values
    slices = {tensor.name: _slice(tensor) for tensor in request.inputs if tensor is not scores}
    return _SCORES[scores.name], values, slices


def _slice(tensor: Tensor) -> list[str | None]:
    pointer = f"/inputs/{tensor.name}"
    if not isinstance(tensor.values, list) or tensor.shape[1:] not in {(), (1,)}:
        raise BadRequest(
            "Inputs beside the scores are slices: BYTES of shape [N] or [N, 1].",
            [Detail(pointer, "Expected BYTES of shape [N] or [N, 1].")],
        )
    try:
        return texts([item.decode() for item in tensor.values], pointer)
    except UnicodeDecodeError:
        raise BadBatch("A slice value is not UTF-8.", [Detail(pointer, "Not UTF-8.")]) from None


def _as_sent(probabilities: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Give binary probabilities the shape in which the scores came."""
    values = np.ascontiguousarray(probabilities, dtype=np.float64)
    if values.ndim == scores.ndim:
        return values
    if scores.shape[1] == 1:
        return values.reshape(-1, 1)
    return np.column_stack([1.0 - values, values])


def _header_length(headers: Headers) -> int | None:
    value = headers.get(inference.HEADER.encode())
    if value is None:
        check_inference_json(headers)
        return None
    if not value.isdigit() or len(value) > 12:
        raise BadRequest(f"`{inference.HEADER}` must be a number of bytes.")
    return int(value)


def check_inference_json(headers: Headers) -> None:
    """Raise `BadRequest` for binary data whose JSON part has no length."""
    media = headers.get(b"content-type", JSON)
    if media != JSON and media.partition(b";")[0].strip().lower() != JSON:
        raise BadRequest(
            f"Send JSON, or JSON followed by binary tensors with `{inference.HEADER}`."
        )


def _count(service: Service, rows: int, fallback: int) -> None:
    service.metrics.calibrated_rows += rows
    service.metrics.fallback_rows += fallback

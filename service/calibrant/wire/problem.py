"""Failures as they cross the network: RFC 9457 problems, and one sentence for the inference protocol."""

from __future__ import annotations

import msgspec

from calibrant.errors import CalibrantError

MEDIA_TYPE = "application/problem+json"
MAX_MESSAGE = 200
MAX_DETAIL = 1000


class Finding(msgspec.Struct, frozen=True):
    """One finding inside a problem."""

    pointer: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as RFC 9457 describes it; never holds input values."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[Finding]


class InferenceError(msgspec.Struct, frozen=True):
    """A failure as the Open Inference Protocol describes it."""

    error: str


def problem(error: CalibrantError, request_id: str) -> Problem:
    """Describe a failure for its caller."""
    return Problem(
        type=f"urn:calibrant:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=clip(error.detail, MAX_DETAIL),
        code=error.code,
        request_id=request_id,
        errors=[
            Finding(clip(found.pointer, MAX_MESSAGE), clip(found.message, MAX_MESSAGE))
            for found in error.errors[: error.max_errors]
        ],
    )


def render(error: CalibrantError, request_id: str) -> bytes:
    """Encode a failure as `application/problem+json`."""
    return msgspec.json.encode(problem(error, request_id))


def render_inference(error: CalibrantError) -> bytes:
    """Encode a failure as `{"error": ...}`, findings in the same sentence."""
    text = error.detail
    if error.errors:
        text += " " + "; ".join(f"{found.pointer}: {found.message}" for found in error.errors)
    return msgspec.json.encode(InferenceError(clip(text, MAX_DETAIL)))


def inference_status(status: int) -> int:
    """Return the status under `/v2`, where every request nobody can use is a 400."""
    return 400 if status in {409, 415, 422} else status


def clip(text: str, length: int) -> str:
    """Shorten a text, visibly."""
    return text if len(text) <= length else text[: length - 1] + "…"

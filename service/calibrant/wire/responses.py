"""What is answered, read off the attributes of what operations return."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


class Response(Struct, frozen=True, kw_only=True):
    """Base of every answer."""


class Dataset(Response, frozen=True, kw_only=True):
    """An uploaded table; `proposal` says which column seems to hold what."""

    id: str
    name: str | None
    sha256: str
    media_type: str
    n_rows: int
    n_bytes: int
    columns: list[dict[str, Any]]
    proposal: dict[str, Any]
    created: datetime


class Evaluation(Response, frozen=True, kw_only=True):
    """An evaluation as lists show it."""

    id: str
    dataset_id: str | None
    headline: dict[str, Any]
    optimistic: bool
    created: datetime


class Evaluated(Response, frozen=True, kw_only=True):
    """What a report is known by."""

    id: str
    dataset_id: str | None
    created: datetime


class Calibrator(Response, frozen=True, kw_only=True):
    """A name, its newest version, and its aliases."""

    name: str
    newest: int
    aliases: dict[str, int]
    created: datetime


class CalibratorVersion(Response, frozen=True, kw_only=True):
    """One fit: its status, its table of candidates, held-out before and after."""

    name: str
    version: int
    task: str
    n_classes: int
    kind: str
    method: str
    status: str
    servable: bool
    artifact_sha256: str
    onnx_sha256: str | None
    certificate: dict[str, Any] | None
    summary: dict[str, Any]
    dataset_id: str | None
    job_id: str | None
    created: datetime


class AliasMove(Response, frozen=True, kw_only=True):
    """What became of an alias: the version before and now."""

    name: str
    alias: str
    previous: int | None
    version: int | None


class Progress(Response, frozen=True, kw_only=True):
    """How far a job is."""

    done: int
    of: int
    text: str


class Job(Response, frozen=True, kw_only=True):
    """A piece of long work."""

    id: str
    operation: str
    state: str
    created: datetime
    finished: datetime | None
    progress: Progress | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None


class AuditEntry(Response, frozen=True, kw_only=True):
    """One deed: who did what, and when."""

    sequence: int
    who: str
    action: str
    object: str
    object_sha256: str | None
    result: str
    detail: dict[str, Any]
    request_id: str | None
    time: datetime


class Key(Response, frozen=True, kw_only=True):
    """What is known about an API key; neither the secret nor its hash."""

    id: str
    label: str
    scopes: list[str]
    created: datetime
    expires: datetime | None
    revoked: datetime | None


class NewKey(Response, frozen=True, kw_only=True):
    """A fresh API key; `secret` is shown this once."""

    key: Key
    secret: str


class Calibrated(Response, frozen=True, kw_only=True):
    """Calibrated probabilities, and the version they come from."""

    calibrator: str
    version: int
    alias: str | None
    probabilities: list[float | list[float]]
    n_fallback: int
    ids: list[str] | msgspec.UnsetType = msgspec.UNSET


class ServerMetadata(Response, frozen=True, kw_only=True):
    """The server, as the Open Inference Protocol describes it."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Response, frozen=True, kw_only=True):
    """One tensor of a model."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Response, frozen=True, kw_only=True):
    """A calibrator, as the Open Inference Protocol describes a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


def of(kind: type[T], value: Any) -> T:
    """Read an answer off the attributes of a value."""
    return msgspec.convert(value, kind, from_attributes=True)


def encode(value: Any) -> bytes:
    """Encode an answer as JSON; a number that is not finite becomes `null`."""
    return msgspec.json.encode(value)


def encode_page(kind: type[Any], items: Iterable[Any], cursor: str | None) -> bytes:
    """Encode some of a list, and the cursor for what follows."""
    return msgspec.json.encode({"items": [of(kind, item) for item in items], "next": cursor})

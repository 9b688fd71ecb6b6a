"""What is kept of calibrators: names, versions, artifacts, and the aliases that promote them."""

from __future__ import annotations

import msgspec

from calibrant.errors import NotFound, NotServable
from calibrant.numerics.calibrators.model import Calibrator, SlicedCalibrator, from_dict
from calibrant.operations.context import Caller, Context
from calibrant.storage.blobs import Blobs
from calibrant.storage.metadata import AliasMove, CalibratorVersion, Page
from calibrant.storage.metadata import Calibrator as Named
from calibrant.storage.references import parse_ref


def page(context: Context, caller: Caller, *, limit: int, cursor: str | None) -> Page[Named]:
    """Return names with their aliases, in the order of the alphabet."""
    return context.metadata.calibrators.page(caller.tenant, limit=limit, cursor=cursor)


def get(context: Context, caller: Caller, name: str) -> Named:
    """Return a name with its aliases."""
    return context.metadata.calibrators.get(caller.tenant, name)


def versions(
    context: Context, caller: Caller, name: str, *, limit: int, cursor: str | None
) -> Page[CalibratorVersion]:
    """Return the versions of a name, newest first."""
    return context.metadata.calibrators.versions(caller.tenant, name, limit=limit, cursor=cursor)


def version(context: Context, caller: Caller, name: str, number: int) -> CalibratorVersion:
    """Return one version."""
    return context.metadata.calibrators.version(caller.tenant, name, number)


def find(context: Context, tenant: str, reference: str) -> CalibratorVersion:
    """Return the version that a reference means where it is read; a bare name is the newest."""
    return context.metadata.calibrators.resolve(tenant, parse_ref(reference), serving=False)


def artifact(context: Context, caller: Caller, name: str, number: int) -> bytes:
    """Return the parameters of a version, as JSON."""
    return context.blobs.get(version(context, caller, name, number).artifact_sha256)


def onnx(context: Context, caller: Caller, name: str, number: int) -> bytes:
    """Return the ONNX graph of a version.

    Raises
    ------
    NotFound
        If the fit ended in a status without a graph.
    """
    found = version(context, caller, name, number)
    if found.onnx_sha256 is None:
        raise NotFound(f"This version has no graph: its fit ended as `{found.status}`.")
    return context.blobs.get(found.onnx_sha256)


def load(blobs: Blobs, found: CalibratorVersion) -> Calibrator | SlicedCalibrator:
    """Return the calibrator of a version; every field is checked, nothing is executed."""
    return from_dict(msgspec.json.decode(blobs.get(found.artifact_sha256)))


def set_alias(context: Context, caller: Caller, name: str, alias: str, number: int) -> AliasMove:
    """Let an alias mean a version: promotion and roll-back.

    Raises
    ------
    NotServable
        If the status of that version forbids serving it.
    """
    found = version(context, caller, name, number)
    if not found.servable:
        raise NotServable(
            f"Version {number} of {name} ended as `{found.status}` and cannot be served: look at "
            "its diagnostics, send other rows or another method, or fit with `force`."
        )
    return context.metadata.calibrators.set_alias(
        caller.tenant, name, alias, number, who=caller.actor, request_id=caller.request_id
    )


def drop_alias(context: Context, caller: Caller, name: str, alias: str) -> AliasMove:
    """Remove an alias."""
    return context.metadata.calibrators.delete_alias(
        caller.tenant, name, alias, who=caller.actor, request_id=caller.request_id
    )

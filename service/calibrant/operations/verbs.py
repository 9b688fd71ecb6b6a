"""What a worker can do: each job's computation, and how its result is recorded."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from calibrant.errors import Unusable
from calibrant.numerics.warm import warm_all
from calibrant.operations import datasets, evaluations, fits
from calibrant.operations.context import Caller, Context
from calibrant.operations.jobs import Order
from calibrant.storage.metadata import Metadata


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of job.

    `compute` runs in a killable child and may run more than once; `commit` runs in the worker,
    inside a transaction, and counts once.
    """

    spec: type
    reply: type
    compute: Callable[..., Any]
    commit: Callable[..., dict[str, object]]


VERBS = {
    "ingest": Verb(datasets.Upload, datasets.Taken, datasets.compute, datasets.commit),
    "evaluate": Verb(
        evaluations.Request, evaluations.Reply, evaluations.compute, evaluations.commit
    ),
    "fit": Verb(fits.FitSpec, fits.Reply, fits.compute, fits.commit),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A child's reply: for whom it is, and what was computed (as JSON)."""

    caller: Caller
    reply: msgspec.Raw


def compute(
    context: Context, operation: str, payload: str, progress: Callable[[int, int, str], None]
) -> str:
    """Carry out an order; what it returns is for `commit`."""
    order = msgspec.json.decode(payload, type=Order)
    verb = _verb(operation)
    spec: Any = msgspec.json.decode(order.spec, type=verb.spec)
    reply = verb.compute(context, order.caller, spec, progress)
    done = Done(caller=order.caller, reply=msgspec.Raw(msgspec.json.encode(reply)))
    return msgspec.json.encode(done).decode()


def commit(metadata: Metadata, job_id: str, operation: str, reply: str) -> str:
    """Record what was computed, once, together with the end of the job.

    Raises
    ------
    Stop
        If the job was cancelled meanwhile: nothing is recorded then.
    """
    done = msgspec.json.decode(reply, type=Done)
    verb = _verb(operation)
    made: Any = msgspec.json.decode(done.reply, type=verb.reply)
    with metadata.transaction() as t:
        result = verb.commit(t, done.caller, job_id, made)
        return msgspec.json.encode(
            t.jobs.finish(done.caller.tenant, job_id, result).result
        ).decode()


def _verb(operation: str) -> Verb:
    if operation not in VERBS:
        raise Unusable(f"This worker does not know the operation `{operation}`.")
    return VERBS[operation]


def preload() -> None:
    """Import and warm what computations need, once, before children are forked."""
    for module in ("pyarrow.parquet", "scipy.optimize", "scipy.stats", "onnx", "onnxruntime"):
        try:
            importlib.import_module(module)
        except ImportError:  # onnxruntime comes with the worker extra
            continue
    warm_all()

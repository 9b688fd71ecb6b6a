"""Fit calibrators as jobs, and record each as a new version of its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from calibrant.errors import Unusable
from calibrant.operations import evaluations, jobs
from calibrant.operations.context import Caller, Context
from calibrant.operations.data import Data, open_data
from calibrant.operations.evaluate.report import IDENTITY
from calibrant.operations.fit import Outcome, Recipe, fit_and_judge
from calibrant.operations.holdout import Holdout
from calibrant.operations.overlap import fit_rows_blob
from calibrant.storage.metadata import Repositories
from calibrant.storage.names import check_alias, check_name

ProgressCall = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSpec:
    """A fit as a job carries it.

    Attributes
    ----------
    name : str
        Of the calibrator; the result is its next version.
    holdout : Holdout
        How rows are held out where `evaluate_on` is None.
    evaluate_on : Data or None
        Rows to judge the fit on; then all rows of `data` are fitted.
    alias : str or None
        Given to the new version if its status allows serving it.
    allow_overlap : bool
        Judge on rows that were fitted, stamped `optimistic`, instead of refusing.
    """

    name: str
    data: Data
    recipe: Recipe
    holdout: Holdout = field(default_factory=Holdout)
    evaluate_on: Data | None = None
    alias: str | None = None
    allow_overlap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the computation hands over to be recorded."""

    name: str
    method: str
    task: str
    n_classes: int
    kind: str
    status: str
    servable: bool
    artifact_sha256: str
    onnx_sha256: str
    certificate: dict[str, Any]
    summary: dict[str, Any]
    fit_rows_sha256: str
    dataset: str | None
    alias: str | None
    evaluation: evaluations.Reply


def submit(
    context: Context, caller: Caller, spec: FitSpec, *, idempotency_key: str | None = None
) -> str:
    """Accept a fit; return its job.

    Raises
    ------
    Unusable
        If the name or the alias is not allowed.
    NotFound
        If a data set is not there.
    """
    if check_name(spec.name) == IDENTITY:
        raise Unusable(f"`{IDENTITY}` is the name of the scores as they came: take another.")
    if spec.alias is not None:
        check_alias(spec.alias)
    for data in (spec.data, spec.evaluate_on):
        if data is not None and data.dataset is not None:
            context.metadata.datasets.get(caller.tenant, data.dataset)
    return jobs.submit(context, caller, "fit", spec, idempotency_key=idempotency_key)


def compute(context: Context, caller: Caller, spec: FitSpec, progress: ProgressCall) -> Reply:
    """Fit, judge, export and certify in a child process; nothing is recorded yet."""
    tenant, other = caller.tenant, spec.evaluate_on
    outcome = fit_and_judge(
        open_data(context, tenant, spec.data),
        spec.recipe,
        holdout=spec.holdout,
        evaluate_on=None if other is None else open_data(context, tenant, other),
        name=spec.name,
        allow_overlap=spec.allow_overlap,
        progress=progress,
    )
    made, blobs = outcome.made, context.blobs
    return Reply(
        name=spec.name,
        method=spec.recipe.method,
        task=made.calibrator.task,
        n_classes=made.calibrator.n_classes,
        kind=made.kind,
        status=made.status,
        servable=made.servable,
        artifact_sha256=blobs.put(msgspec.json.encode(made.calibrator.to_dict())).sha256,
        onnx_sha256=blobs.put(outcome.onnx).sha256,
        certificate=msgspec.to_builtins(outcome.certificate),
        summary=summary(outcome),
        fit_rows_sha256=blobs.put(fit_rows_blob(outcome.identities)).sha256,
        dataset=spec.data.dataset,
        alias=spec.alias,
        evaluation=evaluations.keep(context, outcome.report, of=other or spec.data),
    )


def commit(t: Repositories, caller: Caller, job_id: str, reply: Reply) -> dict[str, object]:
    """Record the version, its held-out report and its alias; the same job does so once."""
    report = evaluations.commit(t, caller, job_id, reply.evaluation)
    version = t.calibrators.add_version(
        caller.tenant,
        reply.name,
        task=reply.task,
        n_classes=reply.n_classes,
        kind=reply.kind,
        method=reply.method,
        status=reply.status,
        servable=reply.servable,
        artifact_sha256=reply.artifact_sha256,
        onnx_sha256=reply.onnx_sha256,
        certificate=reply.certificate,
        summary={**reply.summary, "evaluation": report["id"]},
        fit_rows_sha256=reply.fit_rows_sha256,
        dataset_id=reply.dataset,
        job_id=job_id,
    )
    if reply.alias is not None and reply.servable:
        t.calibrators.set_alias(
            caller.tenant,
            reply.name,
            reply.alias,
            version.version,
            who=caller.actor,
            request_id=caller.request_id,
        )
    return {
        "kind": "calibrator",
        "name": reply.name,
        "version": version.version,
        "location": f"/v1/calibrators/{reply.name}/versions/{version.version}",
    }


def summary(outcome: Outcome) -> dict[str, Any]:
    """Return what is told of a fit: its candidates, and held-out rows before and after."""
    made, report = outcome.made, outcome.report
    assert report.comparison is not None
    before, after = report.comparison.candidates
    return {
        "n_fit": outcome.n_fit,
        "text": made.text,
        "candidates": msgspec.to_builtins(made.candidates),
        "slices": msgspec.to_builtins(made.slices),
        "shrinkage": msgspec.to_builtins(made.shrinkage),
        "diagnostics": msgspec.to_builtins(made.diagnostics),
        "held_out": {
            "n": report.metrics.n,
            "optimistic": report.optimistic,
            "verdict": report.verdict.sentence,
            "before": evaluations.figures(before.metrics),
            "after": evaluations.figures(after.metrics),
            "differences": msgspec.to_builtins(after.differences),
        },
    }

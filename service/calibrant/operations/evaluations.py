"""Evaluate predictions, in the request or as a job, and keep the reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibrators.model import Calibrator, SlicedCalibrator
from calibrant.numerics.predictions import Predictions
from calibrant.operations import calibrators
from calibrant.operations.context import Caller, Context
from calibrant.operations.data import Data, Opened, open_data, opened
from calibrant.operations.evaluate import evaluate
from calibrant.operations.evaluate.report import (
    IDENTITY,
    EvaluateSpec,
    Metrics,
    Report,
    decode,
    encode,
)
from calibrant.operations.overlap import overlap, refuse_overlap
from calibrant.storage.metadata import CalibratorVersion, Evaluation, Page, Repositories

ProgressCall = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An evaluation as a job carries it."""

    data: Data
    spec: EvaluateSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the computation hands over to be recorded."""

    report_sha256: str
    headline: dict[str, object]
    optimistic: bool
    dataset: str | None
    inline: str | None


def run_inline(
    context: Context, caller: Caller, spec: EvaluateSpec, predictions: Predictions
) -> tuple[Evaluation, Report]:
    """Evaluate rows that came with the request, and keep the report."""
    source = opened(predictions)
    report = _report(context, caller.tenant, spec, source, _silent)
    reply = _kept(context, report, dataset=None, inline=source.source)
    with context.metadata.transaction() as t:
        record = _record(t, caller, reply, None)
    return record, report


def compute(context: Context, caller: Caller, request: Request, progress: ProgressCall) -> Reply:
    """Evaluate in a child process: nothing is recorded yet, but the report is stored."""
    source = open_data(context, caller.tenant, request.data)
    report = _report(context, caller.tenant, request.spec, source, progress)
    return keep(context, report, of=request.data)


def commit(t: Repositories, caller: Caller, job_id: str, reply: Reply) -> dict[str, object]:
    """Record a finished evaluation; the same job does so once."""
    record = _record(t, caller, reply, job_id)
    return {"kind": "evaluation", "id": record.id, "location": f"/v1/evaluations/{record.id}"}


def get(context: Context, caller: Caller, evaluation_id: str) -> Evaluation:
    """Return the record of an evaluation."""
    return context.metadata.evaluations.get(caller.tenant, evaluation_id)


def page(context: Context, caller: Caller, *, limit: int, cursor: str | None) -> Page[Evaluation]:
    """Return evaluations, newest first."""
    return context.metadata.evaluations.page(caller.tenant, limit=limit, cursor=cursor)


def report(context: Context, record: Evaluation) -> Report:
    """Return the whole report of an evaluation."""
    return decode(context.blobs.get(record.report_sha256))


def figures(metrics: Metrics) -> dict[str, float | None]:
    """Return the few figures by which two calibrators are told apart."""
    floor = metrics.ece_noise_floor
    return {
        "nll": metrics.nll,
        "brier": metrics.brier,
        "ece": metrics.ece,
        "ece_noise_floor": None if floor is None else floor.mean,
        "rmsce_debiased": metrics.rmsce_debiased,
        "bias": metrics.bias,
        "accuracy": metrics.accuracy,
        "auroc": metrics.auroc,
    }


def headline(report: Report) -> dict[str, object]:
    """Return what a list shows of a report."""
    metrics = report.metrics
    floor = metrics.ece_noise_floor
    return {
        "status": report.verdict.status,
        "sentence": report.verdict.sentence,
        "finding": report.verdict.finding,
        "task": report.task,
        "calibrator": report.calibrator,
        "n": metrics.n,
        "ece": metrics.ece,
        "ece_noise_floor": None if floor is None else floor.mean,
        "nll": metrics.nll,
    }


def _report(
    context: Context, tenant: str, spec: EvaluateSpec, source: Opened, progress: ProgressCall
) -> Report:
    versions = _versions(context, tenant, spec)
    concrete = _with_versions(spec, versions)
    candidates: dict[str, Calibrator | SlicedCalibrator] = {
        _name(found): calibrators.load(context.blobs, found) for found in versions.values()
    }
    n_overlap = _check_overlap(context, versions, source, allowed=spec.allow_overlap)
    made = evaluate(source.chunks, concrete, candidates, n_rows=source.n_rows, progress=progress)
    return replace(made, optimistic=n_overlap > 0, n_overlap=n_overlap)


def _versions(context: Context, tenant: str, spec: EvaluateSpec) -> dict[str, CalibratorVersion]:
    """Return the version that each reference of a specification means."""
    named = {*spec.candidates, spec.calibrator, spec.baseline}
    named |= {gate.baseline for gate in spec.gates}
    references = sorted(name for name in named if name not in {None, IDENTITY} and name)
    return {name: calibrators.find(context, tenant, name) for name in references}


def _name(found: CalibratorVersion) -> str:
    return f"{found.name}:{found.version}"


def _with_versions(spec: EvaluateSpec, versions: dict[str, CalibratorVersion]) -> EvaluateSpec:
    """Replace aliases by the versions they mean now: a report names what it used."""
    names: dict[str | None, str | None] = {
        reference: _name(found) for reference, found in versions.items()
    }

    def concrete(reference: str | None) -> str | None:
        return names.get(reference, reference)

    return replace(
        spec,
        calibrator=concrete(spec.calibrator),
        baseline=concrete(spec.baseline),
        candidates=tuple(dict.fromkeys(str(concrete(name)) for name in spec.candidates)),
        gates=tuple(replace(gate, baseline=concrete(gate.baseline)) for gate in spec.gates),
    )


def _check_overlap(
    context: Context, versions: dict[str, CalibratorVersion], source: Opened, *, allowed: bool
) -> int:
    fitted = [found for found in versions.values() if found.fit_rows_sha256 is not None]
    if not fitted:
        return 0
    rows: NDArray[np.uint64] = source.identities()
    worst = 0
    for found in fitted:
        count = overlap(context.blobs, found, rows)
        refuse_overlap(count, len(rows), _name(found), allowed=allowed)
        worst = max(worst, count)
    return worst


def keep(context: Context, made: Report, *, of: Data) -> Reply:
    """Store a report made on rows of `of`; `commit` records it."""
    return _kept(context, made, dataset=of.dataset, inline=of.inline)


def _kept(context: Context, made: Report, *, dataset: str | None, inline: str | None) -> Reply:
    return Reply(
        report_sha256=context.blobs.put(encode(made)).sha256,
        headline=headline(made),
        optimistic=made.optimistic,
        dataset=dataset,
        inline=inline,
    )


def _record(t: Repositories, caller: Caller, reply: Reply, job_id: str | None) -> Evaluation:
    return t.evaluations.add(
        caller.tenant,
        headline=reply.headline,
        report_sha256=reply.report_sha256,
        dataset_id=reply.dataset,
        inline_sha256=reply.inline,
        optimistic=reply.optimistic,
        job_id=job_id,
    )


def _silent(done: int, of: int, text: str) -> None:
    """Take progress nobody asked for."""

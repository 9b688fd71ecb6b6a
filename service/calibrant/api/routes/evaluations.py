"""Evaluations: rows in, a report out; its pictures, and one printable document."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from calibrant.api.deps import (
    ContextDep,
    Cursor,
    Fitter,
    Limit,
    Prefer,
    Reader,
    ServiceDep,
    body,
)
from calibrant.api.documenting import TEXT, fails, gives, page_of, ref, takes
from calibrant.api.once import once
from calibrant.api.rows import data_of, limit_slices, predictions_of
from calibrant.api.service import Service
from calibrant.api.waiting import encoded, outcome
from calibrant.operations import datasets, draw, evaluations, jobs
from calibrant.operations.context import Caller, Context
from calibrant.operations.draw.pictures import figure_of
from calibrant.operations.evaluate.report import EvaluateSpec, Report, to_document
from calibrant.wire import responses
from calibrant.wire.requests import EvaluateRequest

if TYPE_CHECKING:
    from calibrant.storage.metadata import Evaluation

router = APIRouter(tags=["evaluations"])
SVG = "image/svg+xml"
_PICTURE_POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
_WHOLE = {"allOf": [ref(responses.Evaluated), ref(Report)]}
Slice = Annotated[
    str, Query(max_length=300, description="`dim=value`; `__all__` for all rows.", alias="slice")
]
Binning = Annotated[Literal["equal_width", "equal_mass"], Query()]
Theme = Annotated[Literal["light", "dark"], Query()]


@router.post(
    "/v1/evaluations",
    status_code=201,
    openapi_extra=takes(EvaluateRequest),
    responses={
        **gives(_WHOLE, "The report.", status=201, location=True),
        **gives(ref(responses.Job), "It is being computed.", status=202, location=True),
        **fails(404, 408, 409, 413, 415, 429),
    },
)
async def create_evaluation(
    request: Request,
    service: ServiceDep,
    caller: Fitter,
    prefer: Prefer,
    asked: Annotated[EvaluateRequest, Depends(body(EvaluateRequest))],
) -> Response:
    """Evaluate rows sent inline, or a data set; small batches are answered at once."""

    async def work(order: str | None) -> Response:
        columns = asked.inline()
        spec = spec_of(asked, service)
        small = columns is not None and len(columns.scores) <= service.settings.inline_rows
        if small and not prefer.respond_async:
            return await _at_once(service, caller, asked, spec)
        patience = prefer.patience(service.settings.job_wait)
        return await _as_job(service, caller, asked, spec, patience, order)

    return await once(request, caller, work)


@router.get("/v1/evaluations", responses=gives(page_of(responses.Evaluation), "Newest first."))
def list_evaluations(
    context: ContextDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List evaluations, newest first."""
    found = evaluations.page(context, caller, limit=limit, cursor=cursor)
    items = [responses.of(responses.Evaluation, one) for one in found.items]
    return encoded({"items": items, "next": found.next})


@router.get(
    "/v1/evaluations/{evaluation_id}", responses={**gives(_WHOLE, "The report."), **fails(404)}
)
def get_evaluation(
    context: ContextDep,
    caller: Reader,
    evaluation_id: str,
    diagrams: Annotated[bool, Query(description="Whether reliability data go along.")] = False,
) -> Response:
    """Return a report."""
    record = evaluations.get(context, caller, evaluation_id)
    return encoded(answer(record, evaluations.report(context, record), diagrams=diagrams))


@router.get(
    "/v1/evaluations/{evaluation_id}/reliability.svg",
    responses={**gives(TEXT, "The diagram.", media=SVG), **fails(404)},
)
def get_reliability_svg(
    context: ContextDep,
    caller: Reader,
    evaluation_id: str,
    slice_name: Slice = "__all__",
    binning: Binning = "equal_width",
    theme: Theme = "light",
) -> Response:
    """Draw the reliability diagram of all rows or of one slice."""
    report = _report(context, caller, evaluation_id)
    picture = draw.report_picture(report, slice_name=slice_name, binning=binning, theme=theme)
    return Response(picture, headers=_PICTURE_POLICY, media_type=SVG)


@router.get(
    "/v1/evaluations/{evaluation_id}/reliability.json",
    responses={**gives({"type": "object"}, "What the diagram shows."), **fails(404)},
)
def get_reliability_json(
    context: ContextDep,
    caller: Reader,
    evaluation_id: str,
    slice_name: Slice = "__all__",
    binning: Binning = "equal_width",
) -> Response:
    """Return what the reliability diagram shows: one series, or before and after."""
    return encoded(figure_of(_report(context, caller, evaluation_id), slice_name, binning))


@router.get(
    "/v1/evaluations/{evaluation_id}/report.html",
    responses={**gives(TEXT, "The document.", media="text/html"), **fails(404)},
)
def get_report_html(context: ContextDep, caller: Reader, evaluation_id: str) -> Response:
    """Return a report as one printable document that needs nothing else."""
    from calibrant.api.pages.report import report_document  # templates load on first use

    record = evaluations.get(context, caller, evaluation_id)
    made = report_document(
        evaluations.report(context, record),
        title=f"Evaluation {record.id}",
        created=record.created,
    )
    headers = {"content-security-policy": made.policy}
    return Response(made.html, headers=headers, media_type="text/html")


def spec_of(asked: EvaluateRequest, service: Service) -> EvaluateSpec:
    """Return what operations are asked for.

    Raises
    ------
    TooLarge
        If more slices are asked for than one report may have.
    """
    names = ("task", "score_kind", "calibrator", "candidates", "baseline", "allow_overlap")
    options = msgspec.structs.asdict(asked.options)
    if options["metrics"] == "all":
        options["metrics"] = ["all"]
    options["max_slices"] = limit_slices(asked.options.max_slices, service.settings)
    fields = {name: getattr(asked, name) for name in names}
    gates = [msgspec.structs.asdict(gate) for gate in asked.gates]
    return msgspec.convert({**fields, "options": options, "gates": gates}, EvaluateSpec)


def answer(record: Evaluation, report: Report, *, diagrams: bool = False) -> dict[str, Any]:
    """Return a report as it is answered, with what it is known by."""
    known = msgspec.to_builtins(responses.of(responses.Evaluated, record))
    return {**known, **to_document(report, diagrams=diagrams)}


async def _at_once(
    service: Service, caller: Caller, asked: EvaluateRequest, spec: EvaluateSpec
) -> Response:
    context = service.runtime.context

    def work() -> Response:
        predictions = predictions_of(asked, service.settings)
        record, report = evaluations.run_inline(context, caller, spec, predictions)
        return encoded(answer(record, report), 201, location=f"/v1/evaluations/{record.id}")

    return await service.reports.run(work)


async def _as_job(
    service: Service,
    caller: Caller,
    asked: EvaluateRequest,
    spec: EvaluateSpec,
    patience: float,
    order: str | None,
) -> Response:
    context = service.runtime.context

    def submit() -> str:
        if asked.dataset is not None:
            datasets.get(context, caller, asked.dataset)  # a wrong id is told now, not by the job
        data = data_of(asked, asked.task, asked.score_kind, context)
        request = evaluations.Request(data=data, spec=spec)
        return jobs.submit(context, caller, "evaluate", request, idempotency_key=order)

    async def made(result: Mapping[str, Any]) -> Response:
        def found() -> Response:
            record = evaluations.get(context, caller, result["id"])
            whole = answer(record, evaluations.report(context, record))
            return encoded(whole, 201, location=result["location"])

        return await asyncio.to_thread(found)

    return await outcome(context, caller, await asyncio.to_thread(submit), patience, made)


def _report(context: Context, caller: Caller, evaluation_id: str) -> Report:
    return evaluations.report(context, evaluations.get(context, caller, evaluation_id))

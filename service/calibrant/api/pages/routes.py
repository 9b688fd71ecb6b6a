"""Where the pages are; each handler is one operation and one template."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from calibrant.api.body import read_body, save_body
from calibrant.api.deps import (
    ContextDep,
    Cursor,
    Fitter,
    Ingester,
    Reader,
    ServiceDep,
)
from calibrant.api.pages import choosing, figures, fits
from calibrant.api.pages.answering import PageRoute, page, see, style
from calibrant.api.pages.report import pictures, report_values
from calibrant.api.pages.uploads import FilePart
from calibrant.api.waiting import failure_of, outcome
from calibrant.errors import CalibrantError, NotFound, Unusable
from calibrant.operations import calibrators, datasets, draw, evaluations, jobs
from calibrant.operations.context import Caller, Context
from calibrant.operations.evaluate.report import Report

router = APIRouter(prefix="/ui", route_class=PageRoute, include_in_schema=False)
RECENT = 5
LOOKED_AT = 50
_FORM_BYTES = 2**20


@router.get("")
def home(request: Request, service: ServiceDep, context: ContextDep, caller: Reader) -> Response:
    """Show the newest finding first."""
    found = evaluations.page(context, caller, limit=LOOKED_AT, cursor=None).items
    told = [one for one in found if one.headline.get("finding")] or list(found)
    newest = told[0] if told else None
    report = evaluations.report(context, newest) if newest else None
    return page(
        "home.html",
        report=report,
        newest=newest,
        pictures=pictures(report) if report else None,
        evaluations=found[:RECENT],
        calibrators=calibrators.page(context, caller, limit=RECENT, cursor=None).items,
        limit=service.settings.max_upload_bytes,
        base=_base(request),
    )


@router.get("/static/calibrant.css")
def style_sheet() -> Response:
    """Return the style sheet; its address holds its digest, so it may be kept."""
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(style()[0], headers=headers, media_type="text/css")


@router.get("/evaluations")
def list_evaluations(
    request: Request,
    service: ServiceDep,
    context: ContextDep,
    caller: Reader,
    cursor: Cursor = None,
) -> Response:
    """List evaluations, newest first."""
    found = evaluations.page(context, caller, limit=LOOKED_AT, cursor=cursor)
    return page(
        "evaluations.html",
        items=found.items,
        next=found.next,
        limit=service.settings.max_upload_bytes,
        base=_base(request),
    )


@router.get("/evaluations/{evaluation_id}")
def show_evaluation(context: ContextDep, caller: Reader, evaluation_id: str) -> Response:
    """Show a report."""
    record = evaluations.get(context, caller, evaluation_id)
    report = evaluations.report(context, record)

    def link(name: str) -> str:
        return f"/ui/evaluations/{record.id}/diagram?{urlencode({'slice': name})}"

    mass = f"/ui/evaluations/{record.id}/diagram?binning=equal_mass"
    there = report.diagram(binning="equal_mass") is not None
    values = report_values(report, slice_link=link, mass_link=mass if there else None)
    return page("evaluation.html", record=record, **values)


@router.get("/evaluations/{evaluation_id}/diagram")
def show_diagram(
    context: ContextDep,
    caller: Reader,
    evaluation_id: str,
    name: Annotated[str, Query(max_length=300, alias="slice")] = "__all__",
    binning: Annotated[draw.Binning, Query()] = "equal_width",
) -> Response:
    """Show the diagram of one slice, or of all rows."""
    record = evaluations.get(context, caller, evaluation_id)
    report = evaluations.report(context, record)
    svg = draw.report_picture(report, slice_name=name, binning=binning)
    swapped = "equal_mass" if binning == "equal_width" else "equal_width"
    query = urlencode({"slice": name, "binning": swapped})
    there = report.diagram(name, binning=swapped) is not None
    return page(
        "diagram.html",
        record=record,
        slice=name,
        binning=binning,
        other=f"/ui/evaluations/{record.id}/diagram?{query}" if there else None,
        svg=svg,
        lines=figures.slice_lines(report, name),
    )


@router.get("/calibrators")
def list_calibrators(
    request: Request, context: ContextDep, caller: Reader, cursor: Cursor = None
) -> Response:
    """List calibrators by name."""
    found = calibrators.page(context, caller, limit=LOOKED_AT, cursor=cursor)
    return page("calibrators.html", items=found.items, next=found.next, base=_base(request))


@router.get("/calibrators/{name}")
def show_calibrator(
    request: Request,
    context: ContextDep,
    caller: Reader,
    name: str,
    version: Annotated[int | None, Query(ge=1)] = None,
    cursor: Cursor = None,
) -> Response:
    """Show a version of a calibrator: the asked one, else the champion, else the newest."""
    found = calibrators.get(context, caller, name)
    number = version or found.aliases.get("champion", found.newest)
    shown = calibrators.version(context, caller, name, number)
    older = calibrators.versions(context, caller, name, limit=LOOKED_AT, cursor=cursor)
    dimensions: tuple[str, ...] = ()
    if shown.summary.get("slices"):
        dimensions = getattr(calibrators.load(context.blobs, shown), "dimensions", ())
    report = _held_out_report(context, caller, shown.summary)
    served = "champion" in found.aliases
    return page(
        "calibrator.html",
        calibrator=found,
        shown=shown,
        shown_aliases=[alias for alias, of in sorted(found.aliases.items()) if of == number],
        versions=older.items,
        next=older.next,
        candidates=fits.race(shown.summary),
        pictures=pictures(report) if report else None,
        reference=name if served and found.aliases["champion"] == number else f"{name}:{number}",
        served=served,
        corrected=fits.corrected(shown.summary, dimensions),
        example=fits.example(shown.task, shown.n_classes, dimensions, shown.summary),
        base=_base(request),
        text=figures.text,
    )


@router.post("/files")
async def take_file(
    request: Request,
    service: ServiceDep,
    context: ContextDep,
    caller: Ingester,
) -> Response:
    """Keep an uploaded table and have it read."""
    part = FilePart(request.receive, request.headers.get("content-type", ""))
    settings = service.settings
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        path = Path(folder) / "upload"
        with path.open("wb") as target:
            await save_body(
                part.receive,
                dict(request.headers.raw),
                target,
                limit=settings.max_upload_bytes,
                deadline=settings.receive_timeout,
            )
            if not target.tell():
                raise Unusable("The file is empty: it needs a row for each prediction.")

        def submit() -> str:
            # what a browser says a file is depends on the machine; its name and content do not
            kind = "application/octet-stream"
            return datasets.submit(context, caller, path, kind, file_name=part.file_name[-200:])

        job_id = await asyncio.to_thread(submit)
    return await _follow(context, caller, job_id, settings.job_wait)


@router.get("/datasets/{dataset_id}")
def choose_columns(context: ContextDep, caller: Reader, dataset_id: str) -> Response:
    """Show what is proposed for each column, to be confirmed."""
    record = datasets.get(context, caller, dataset_id)
    return _form(record.id, record.n_rows, record.columns, choosing.proposed(record.columns))


@router.post("/datasets/{dataset_id}/evaluations")
async def evaluate(
    request: Request,
    service: ServiceDep,
    context: ContextDep,
    caller: Fitter,
    dataset_id: str,
) -> Response:
    """Evaluate a data set as chosen; what is missing is said beside the form."""
    settings = service.settings
    body = await read_body(
        request.receive,
        dict(request.headers.raw),
        limit=_FORM_BYTES,
        deadline=settings.receive_timeout,
    )
    record = await asyncio.to_thread(datasets.get, context, caller, dataset_id)
    choice = choosing.chosen(body)
    try:
        asked = choosing.request_of(choice, record.id, max_slices=settings.max_slices)
        job_id = await asyncio.to_thread(jobs.submit, context, caller, "evaluate", asked)
        return await _follow(context, caller, job_id, settings.job_wait)
    except CalibrantError as problem:
        if problem.status != Unusable.status:
            raise
        return _form(record.id, record.n_rows, record.columns, choice, problem=problem)


@router.get("/jobs/{job_id}")
def show_job(context: ContextDep, caller: Reader, job_id: str) -> Response:
    """Show a job until it is over, then what it made."""
    job = jobs.look(context, caller, job_id)
    if not job.over:
        return page("job.html", job=job)
    if job.result is None:
        raise failure_of(job)
    return see(_place(job.result))


@router.post("/jobs/{job_id}/cancel")
def cancel_job(context: ContextDep, caller: Fitter, job_id: str) -> Response:
    """Stop a job."""
    jobs.cancel(context, caller, job_id)
    return see("/ui")


@router.get("/noise")
def show_noise(caller: Reader) -> Response:
    """Show two diagrams of which one is broken."""
    del caller
    made = draw.bet()
    return page("noise.html", bet=made, svg=made.picture(), told=made.picture(told=True))


@router.get("/{path:path}")
def nowhere(path: str) -> Response:
    """Answer an address that has no page."""
    del path
    raise NotFound("There is no such page.")


def _form(
    dataset_id: str,
    n_rows: int,
    known: Mapping[str, Any],
    choice: choosing.Choice,
    *,
    problem: CalibrantError | None = None,
) -> Response:
    return page(
        "dataset.html",
        status=problem.status if problem else 200,
        dataset_id=dataset_id,
        n_rows=n_rows,
        columns=choosing.columns_of(known),
        chosen=choice,
        roles=choosing.ROLES,
        remarks=choosing.remarks(known),
        hint_kind=(known.get("proposal") or {}).get("score_kind"),
        problem=problem,
    )


def _held_out_report(context: Context, caller: Caller, summary: Mapping[str, Any]) -> Report | None:
    """Return the report a fit was judged by, if it has one."""
    evaluation_id = summary.get("evaluation")
    if evaluation_id is None:
        return None
    return evaluations.report(context, evaluations.get(context, caller, evaluation_id))


async def _follow(context: Context, caller: Caller, job_id: str, patience: float) -> Response:
    """Wait for a job a little; then show what it made, or how far it is."""

    async def made(result: Mapping[str, Any]) -> Response:
        return see(_place(result))

    answer = await outcome(context, caller, job_id, patience, made)
    return answer if answer.status_code == 303 else see(f"/ui/jobs/{job_id}")


def _place(result: Mapping[str, Any]) -> str:
    """Return the page of what a job made."""
    kind = result["kind"]
    if kind == "dataset":
        return f"/ui/datasets/{quote(str(result['id']))}"
    if kind == "evaluation":
        return f"/ui/evaluations/{quote(str(result['id']))}"
    return f"/ui/calibrators/{quote(str(result['name']))}"


def _base(request: Request) -> str:
    """Return the address under which the caller reached the service, for commands to paste."""
    return str(request.base_url).rstrip("/")

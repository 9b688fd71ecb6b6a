"""Jobs: look, cancel, follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from calibrant.api.deps import ContextDep, Cursor, Fitter, Limit, Prefer, Reader
from calibrant.api.documenting import TEXT, fails, gives, page_of, ref
from calibrant.api.waiting import encoded, wait
from calibrant.operations import jobs
from calibrant.operations.context import Caller, Context
from calibrant.wire import responses

router = APIRouter(tags=["jobs"])
EVENTS = "text/event-stream"
TICK_SECONDS = 0.25
BEAT_SECONDS = 15.0  # a comment now and then keeps proxies from closing the stream
_JOB = ref(responses.Job)


@router.get("/v1/jobs", responses=gives(page_of(responses.Job), "Newest first."))
def list_jobs(
    context: ContextDep, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List jobs, newest first."""
    found = jobs.page(context, caller, limit=limit, cursor=cursor)
    return encoded({"items": [_answer(job) for job in found.items], "next": found.next})


@router.get("/v1/jobs/{job_id}", responses={**gives(_JOB, "The job."), **fails(404)})
async def get_job(context: ContextDep, caller: Reader, prefer: Prefer, job_id: str) -> Response:
    """Return a job; with `Prefer: wait=N` once it is over, or after N seconds."""
    return encoded(_answer(await wait(context, caller, job_id, prefer.wait or 0.0)))


@router.delete("/v1/jobs/{job_id}", responses={**gives(_JOB, "The job."), **fails(404, 409)})
def cancel_job(context: ContextDep, caller: Fitter, job_id: str) -> Response:
    """Stop a job."""
    return encoded(_answer(jobs.cancel(context, caller, job_id)))


@router.get(
    "/v1/jobs/{job_id}/events",
    responses={
        **gives(TEXT, "An event `job` at each change, until it is over.", media=EVENTS),
        **fails(404),
    },
)
async def follow_job(context: ContextDep, caller: Reader, job_id: str) -> Response:
    """Follow a job: server-sent events with its state and progress."""
    first = await asyncio.to_thread(jobs.look, context, caller, job_id)
    return StreamingResponse(_events(context, caller, first), media_type=EVENTS)


async def _events(context: Context, caller: Caller, job: jobs.Job) -> AsyncIterator[bytes]:
    told, silence = b"", 0.0
    while True:
        state = responses.encode(_answer(job))
        if state != told:
            yield b"event: job\ndata: " + state + b"\n\n"
            told, silence = state, 0.0
        if job.over:
            return
        await asyncio.sleep(TICK_SECONDS)
        silence += TICK_SECONDS
        if silence >= BEAT_SECONDS:
            yield b": still at work\n\n"
            silence = 0.0
        job = await asyncio.to_thread(jobs.look, context, caller, job.id)


def _answer(job: jobs.Job) -> Any:
    return responses.of(responses.Job, job)

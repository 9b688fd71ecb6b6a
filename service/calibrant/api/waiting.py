"""Answer with the result of a job, or with the job where it takes longer than the caller waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response

from calibrant import errors
from calibrant.operations import jobs
from calibrant.operations.context import Caller, Context
from calibrant.wire import responses

MEDIA_TYPE = "application/json"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25


def encoded(value: Any, status: int = 200, *, location: str | None = None) -> Response:
    """Return an answer as JSON."""
    headers = None if location is None else {"location": location}
    return Response(responses.encode(value), status, headers, MEDIA_TYPE)


async def outcome(
    context: Context,
    caller: Caller,
    job_id: str,
    patience: float,
    answer: Callable[[Mapping[str, Any]], Awaitable[Response]],
) -> Response:
    """Wait for a job for at most `patience` seconds.

    Returns
    -------
    Response
        What `answer` makes of the job's result; 202 with the job where it is not over yet.

    Raises
    ------
    CalibrantError
        The failure of the job.
    """
    job = await wait(context, caller, job_id, patience)
    if not job.over:
        body = responses.encode(responses.of(responses.Job, job))
        return Response(body, 202, {"location": f"/v1/jobs/{job_id}"}, MEDIA_TYPE)
    if job.result is None:
        raise failure_of(job)
    return await answer(job.result)


async def wait(context: Context, caller: Caller, job_id: str, patience: float) -> jobs.Job:
    """Return a job once it is over, or after `patience` seconds."""
    clock = asyncio.get_running_loop().time
    deadline, pause = clock() + patience, _FIRST_PAUSE
    while True:
        job = await asyncio.to_thread(jobs.look, context, caller, job_id)
        left = deadline - clock()
        if job.over or left <= 0:
            return job
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def failure_of(job: jobs.Job) -> errors.CalibrantError:
    """Return the failure of a job as the failure it was in the worker."""
    error = job.error or {"code": job.state, "detail": f"The job ended: {job.state}."}
    found = errors.CalibrantError(
        str(error.get("detail", "The job failed.")),
        [
            errors.Detail(str(one.get("pointer", "")), str(one.get("message", "")))
            for one in error.get("errors") or ()
        ],
    )
    kind = _KINDS.get(str(error.get("code")))
    if kind is not None:
        found.status, found.code, found.title = kind.status, kind.code, kind.title
    if found.status == errors.Stop.status:  # a word between processes, not one of HTTP
        found.status = errors.Conflict.status
    return found


def _tree(kind: type[errors.CalibrantError]) -> list[type[errors.CalibrantError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


_KINDS = {kind.code: kind for kind in _tree(errors.CalibrantError)}

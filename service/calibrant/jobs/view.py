"""What a job looks like from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled", "timed_out"]


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a running job is: `done` of `of`, and what it does."""

    done: int
    of: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job ended without a result.

    Attributes
    ----------
    code : str
        As in `errors.py`, or `crashed`.
    detail : str
        For a person.
    errors : tuple of (pointer, message)
    """

    code: str
    detail: str
    errors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JobView:
    """A job at one moment.

    Attributes
    ----------
    job_id, operation, tenant : str
    state : str
        `queued`, `running`, `succeeded`, `failed`, `cancelled` or `timed_out`.
    progress : JobProgress, or None
        While running, once the computation has said something.
    result : str, or None
        What `commit` returned; set when succeeded.
    error : JobError, or None
        Set when failed, cancelled or timed out.
    attempts : int
        How often a worker began it; more than one after an accident.
    created_at, started_at, finished_at : float, seconds since 1970 in UTC; the latter two or None
    """

    job_id: str
    operation: str
    tenant: str
    state: JobState
    progress: JobProgress | None
    result: str | None
    error: JobError | None
    attempts: int
    created_at: float
    started_at: float | None
    finished_at: float | None

    @property
    def done(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in {"queued", "running"}

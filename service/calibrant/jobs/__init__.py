"""Run work elsewhere, durably, to the end.

The process tree of `calibrant serve`; every line is killed by the kernel when the one above dies::

    supervisor                starts the others again when they die, under the same name
    ├── api                   `JobQueue`: puts jobs in, looks, cancels; runs no job
    └── worker                `run_worker`: dbos; one per device slot, on any number of hosts
        └── zygote            `serve_zygote`: one thread, libraries loaded, forks per request
            └── child         computes one step of one job; may be killed at any instant

A job is a row of the job database. It goes `queued` -> `running` -> `succeeded`, `failed`,
`cancelled` or `timed_out`; whatever process dies, the row stays, and a worker takes it again:
the same one at its restart, or another one when the lease of the first has run out. What is
recorded is never computed again, what was interrupted is.
"""

from calibrant.jobs.child import serve_zygote
from calibrant.jobs.queue import CPU, GPU, JobQueue, prepare
from calibrant.jobs.view import JobError, JobProgress, JobState, JobView
from calibrant.jobs.worker import WorkerConfig, run_worker
from calibrant.jobs.zygote import ChildDied, ChildFailed, Zygote

__all__ = [
    "CPU",
    "GPU",
    "ChildDied",
    "ChildFailed",
    "JobError",
    "JobProgress",
    "JobQueue",
    "JobState",
    "JobView",
    "WorkerConfig",
    "Zygote",
    "prepare",
    "run_worker",
    "serve_zygote",
]

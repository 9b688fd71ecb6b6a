"""What a worker does beside jobs: find accepted ones that got lost, and keep the store tidy."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta

from calibrant.errors import CalibrantError
from calibrant.operations import jobs
from calibrant.operations.context import Context

log = logging.getLogger(__name__)

RESUME_SECONDS = 2.0
TIDY_SECONDS = 3600.0
MIN_AGE = timedelta(days=7)
"""Age below which a blob is kept although nothing points to it: a queued job may yet do so."""


def tidy(context: Context) -> None:
    """Forget old idempotency keys, torn writes, and blobs that nothing points to."""
    keys = context.metadata.idempotency.purge()
    torn = context.blobs.sweep()
    gone = context.blobs.collect(context.metadata.referenced_blobs(), min_age=MIN_AGE)
    log.debug("upkeep: %s idempotency keys, %s torn writes, %s", keys, torn, gone)


def keep_up(context: Context) -> None:
    """Do both, now and again and again, in a thread that ends with the process."""

    def work() -> None:
        told: set[str] = set()
        tidied = -TIDY_SECONDS
        while True:
            try:
                jobs.resume(context, told)
                if time.monotonic() - tidied >= TIDY_SECONDS:
                    tidied = time.monotonic()
                    tidy(context)
            except (CalibrantError, OSError):
                log.exception("upkeep failed; it is tried again")
            time.sleep(RESUME_SECONDS)

    threading.Thread(target=work, name="upkeep", daemon=True).start()

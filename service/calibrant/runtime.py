"""The composition root: opens and closes every part once, from one `Settings` value."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from calibrant.errors import Unusable
from calibrant.jobs.queue import JobQueue
from calibrant.operations.calibrate import Serving
from calibrant.operations.context import Context
from calibrant.settings import Settings
from calibrant.storage.blobs import Blobs
from calibrant.storage.metadata import Metadata
from calibrant.storage.pepper import read_or_make_pepper


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that is open in one process."""

    settings: Settings
    context: Context
    serving: Serving


@contextmanager
def open_metadata(settings: Settings, *, migrate: bool = True) -> Iterator[Metadata]:
    """Open the metadata database, brought to this version unless a parent has done that."""
    pepper = read_or_make_pepper(settings.data_dir / "pepper")
    metadata = Metadata(settings.metadata_url, pepper=pepper)
    try:
        if migrate:
            metadata.migrate()
        yield metadata
    finally:
        metadata.close()


@contextmanager
def open_context(settings: Settings, *, migrate: bool = True) -> Iterator[Context]:
    """Open what operations need: metadata, blobs, the job queue."""
    with open_metadata(settings, migrate=migrate) as metadata:
        jobs = JobQueue(settings.jobs_url)
        try:
            yield Context(settings, metadata, Blobs(settings.blobs_url), jobs)
        finally:
            jobs.close()


@contextmanager
def open_runtime(settings: Settings) -> Iterator[Runtime]:
    """Open everything an API process needs."""
    check_exposure(settings)
    with open_context(settings) as context:
        serving = Serving(context.metadata, context.blobs)
        serving.start()
        try:
            yield Runtime(settings, context, serving)
        finally:
            serving.close()


def use_kernel_cache(settings: Settings) -> None:
    """Let numba keep its compiled kernels under the data folder; call before numba is imported."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.data_dir.resolve() / "kernels"))


def warm() -> None:
    """Load the compiled kernels, so that no request waits for them."""
    from calibrant.numerics.warm import warm

    warm()


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond loopback without keys, unless that is said explicitly.

    Raises
    ------
    Unusable
        With what to set.
    """
    if settings.auth == "keys" or settings.allow_open or _is_loopback(settings.host):
        return
    raise Unusable(
        f"Listening on {settings.host} without API keys would let anybody in. Set "
        "CALIBRANT_AUTH=keys (make one: calibrant keys create), or CALIBRANT_ALLOW_OPEN=true if "
        "something in front of the service checks who calls."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""`calibrant serve`, `worker`, `migrate`, and the processes they are made of."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Callable

import typer

from calibrant import __version__
from calibrant.errors import Unavailable, Unusable
from calibrant.settings import Settings


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    Unusable
        Naming each `CALIBRANT_*` variable that cannot be used.
    """
    from pydantic import ValidationError

    try:
        settings = Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"CALIBRANT_{str(found['loc'][0]).upper()}: {found['msg']}" for found in error.errors()
        )
        raise Unusable(f"The environment cannot be used: {wrong}.") from None
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for chatty in ("alembic", "dbos"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return settings


def serve() -> None:
    """Start the service: the API and, beside it, one worker; Ctrl-C stops both.

    Settings come from `CALIBRANT_*` variables; `calibrant doctor` shows them.
    """
    from calibrant.cli.supervisor import Service, Supervisor
    from calibrant.jobs import lifeline
    from calibrant.runtime import check_exposure, use_kernel_cache

    lifeline.follow()  # the demo starts this process, and must not leave it behind
    settings = read_settings()
    check_exposure(settings)
    _check_port(settings)
    use_kernel_cache(settings)
    migrate_all(settings)
    compile_kernels(settings)
    command = (sys.executable, "-m", "calibrant.cli")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    typer.echo(f"calibrant on http://{host}:{settings.port}  pages: /ui  API: /docs", err=True)
    services = [Service("api", (*command, "api")), Service("worker", (*command, "worker"))]
    raise typer.Exit(Supervisor(services).run())


def compile_kernels(settings: Settings) -> None:
    """Compile the kernels once, in a process of its own, before several would do it at a time."""
    done = settings.data_dir / "kernels" / f"{__version__}.complete"
    if done.exists():
        return
    typer.echo("compiling the numeric kernels, once; this takes about a minute", err=True)
    warm = "from calibrant.numerics.warm import warm_all; warm_all()"
    subprocess.run([sys.executable, "-c", warm], check=True)  # noqa: S603 - our own words
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()


def api() -> None:
    """Run the API process."""
    import uvicorn

    from calibrant.runtime import use_kernel_cache

    settings = read_settings()
    use_kernel_cache(settings)
    from calibrant.api.app import create_app
    from calibrant.cli.protocol import server_config

    uvicorn.Server(server_config(create_app(settings), settings)).run()


def worker() -> None:
    """Run a worker: it takes jobs from the queue and computes them in child processes."""
    from calibrant.jobs.worker import WorkerConfig, run_worker
    from calibrant.operations import upkeep, verbs
    from calibrant.runtime import open_context, use_kernel_cache

    settings = read_settings()
    use_kernel_cache(settings)
    config = WorkerConfig(
        url=settings.jobs_url,
        executor_id=f"{socket.gethostname()}-cpu0",
        queues={"cpu": settings.cpu_slots},
    )
    with open_context(settings) as context:
        upkeep.keep_up(context)

        def commit(job_id: str, operation: str, reply: str) -> str:
            return verbs.commit(context.metadata, job_id, operation, reply)

        run_worker(config, commit)


def child() -> None:
    """Be the zygote of a worker: warm, and forked once per computation."""
    from calibrant.jobs.child import serve_zygote
    from calibrant.operations import verbs
    from calibrant.runtime import open_context, use_kernel_cache

    settings = read_settings()
    use_kernel_cache(settings)

    def compute(operation: str, payload: str, progress: Callable[[int, int, str], None]) -> str:
        # opened after the fork: a connection must not be shared with the zygote
        with open_context(settings, migrate=False) as context:
            return verbs.compute(context, operation, payload, progress)

    serve_zygote(compute, verbs.preload)


def migrate() -> None:
    """Bring the databases to this version; `serve` does it by itself."""
    migrate_all(read_settings())
    typer.echo("the databases are up to date")


def migrate_all(settings: Settings) -> None:
    """Bring metadata and job database to this version."""
    from calibrant.jobs.queue import prepare
    from calibrant.runtime import open_metadata

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_metadata(settings):
        prepare(settings.jobs_url)


def _check_port(settings: Settings) -> None:
    """Say that a port is taken before anything starts, not from inside a restarting child."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Unavailable(
                f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}). Is calibrant "
                "running already? Set CALIBRANT_PORT to another port."
            ) from None

"""`calibrant doctor`: look at this machine and these settings, and say what would not work."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from calibrant import __version__
from calibrant.cli.printing import console
from calibrant.cli.serve import read_settings
from calibrant.errors import CalibrantError
from calibrant.settings import Settings

Finding = tuple[str, bool, str]

MIN_FREE_BYTES = 2**30


def doctor() -> None:
    """Check the installation, the settings and the databases; exit 1 if something is wrong."""
    out = console()
    settings = read_settings()
    out.print(f"calibrant {__version__}, Python {platform.python_version()}, {platform.platform()}")
    findings = list(_findings(settings))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, good, words in findings:
        table.add_row("[green]ok[/]" if good else "[red]no[/]", name, escape(words))
    out.print(table)
    out.print()
    out.print(_settings_table(settings))
    if not all(good for _, good, _ in findings):
        raise typer.Exit(1)


def _findings(settings: Settings) -> Iterator[Finding]:
    checks: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("kernels", _kernels),
        ("data folder", _data_folder),
        ("metadata database", _metadata),
        ("blob store", _blobs),
        ("job database", _jobs),
        ("exposure", _exposure),
    )
    for name, check in checks:
        try:
            yield name, True, check(settings)
        except (CalibrantError, OSError) as error:
            yield name, False, str(error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the other checks go on
            yield name, False, f"{type(error).__name__}: {error}".partition("\n")[0]
    yield "worker extra", *_extra()


def _kernels(settings: Settings) -> str:
    from calibrant.runtime import use_kernel_cache

    use_kernel_cache(settings)
    from calibrant.numerics.calibrators.apply import calibrate
    from calibrant.numerics.calibrators.model import Calibrator

    started = time.perf_counter()
    half = Calibrator("temperature", "binary", 2, {"temperature": 2.0})
    answer = calibrate(half, np.array([0.0, 2.0]), score_kind="logits")
    if abs(answer[1] - 1 / (1 + np.exp(-1))) > 1e-12:
        raise CalibrantError("The compiled kernels compute wrong numbers on this machine.")
    return f"compiled and right, in {time.perf_counter() - started:.1f} s (cached afterwards)"


def _data_folder(settings: Settings) -> str:
    folder = settings.data_dir.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as probe:
        probe.write(b"probe")
        probe.flush()
        os.fsync(probe.fileno())
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise CalibrantError(f"{folder} has only {free / 2**20:.0f} MiB free.")
    return f"{folder}, {free / 2**30:.0f} GiB free"


def _metadata(settings: Settings) -> str:
    from calibrant.runtime import open_metadata

    with open_metadata(settings) as metadata:
        metadata.ping()
    return settings.metadata_url.rpartition("@")[2]


def _blobs(settings: Settings) -> str:
    from calibrant.storage.blobs import Blobs

    blobs = Blobs(settings.blobs_url)
    if blobs.get(blobs.put(b"calibrant doctor").sha256) != b"calibrant doctor":
        raise CalibrantError("What was written could not be read back.")
    return settings.blobs_url.rpartition("@")[2]


def _jobs(settings: Settings) -> str:
    from calibrant.jobs.queue import JobQueue, prepare

    prepare(settings.jobs_url)
    queue = JobQueue(settings.jobs_url)
    try:
        queue.check()
    finally:
        queue.close()
    return settings.jobs_url.rpartition("@")[2]


def _exposure(settings: Settings) -> str:
    from calibrant.runtime import check_exposure

    check_exposure(settings)
    keys = "API keys are asked for" if settings.auth == "keys" else "no keys, loopback only"
    return f"{settings.host}:{settings.port}, {keys}"


def _extra() -> tuple[bool, str]:
    if importlib.util.find_spec("onnxruntime") is None:
        return True, "not installed: artifacts are certified by the ONNX reference evaluator only"
    names = ("onnxruntime-gpu", "onnxruntime")
    found = next(name for name in names if _installed(name))
    return True, f"{found} {version(found)}"


def _installed(name: str) -> bool:
    try:
        version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _settings_table(settings: Settings) -> Table:
    table = Table("setting", "value", "what it is", box=None, pad_edge=False)
    for name, field in type(settings).model_fields.items():
        value = str(getattr(settings, name))
        shown = value.rpartition("@")[2] if name.endswith("_url") else value
        table.add_row(f"CALIBRANT_{name.upper()}", escape(shown), field.description or "")
    return table

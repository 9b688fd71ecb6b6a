"""`calibrant demo`: real flight delays through the main job, over HTTP, with the finding first."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calibrant.cli.printing import console
from calibrant.errors import CalibrantError, Unavailable
from calibrant.jobs import lifeline
from calibrant.operations.draw.bet import bet

COLUMNS = {"scores": ["p_late"], "labels": "late", "ids": "id", "time": "time"}
SLICES = ["hour_bucket", "origin", "carrier"]
METHODS: dict[str, dict[str, Any]] = {
    "temperature": {"method": "temperature"},
    "platt": {"method": "platt"},
    "isotonic": {"method": "isotonic"},
    "auto": {"method": "auto"},
    "per-hour": {"method": "isotonic", "per_slice": ["hour_bucket"]},
}
START_SECONDS = 180.0
"""The first start compiles the kernels."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The running service, and what was said to it so far."""

    http: httpx.Client
    folder: Path
    out: Console


def demo(
    exit_: Annotated[
        bool, typer.Option("--exit", help="Stop at the end; the exit code tells if all went well.")
    ] = False,
    folder: Annotated[
        Path, typer.Option(help="Where the demo keeps its data; emptied at the start.")
    ] = Path(".calibrant/demo"),
    port: Annotated[int, typer.Option(help="Port of the service; 0 takes a free one.")] = 0,
) -> None:
    """Walk real flight-delay predictions through evaluating, fitting, promoting and serving."""
    out = console()
    _empty(folder)
    with _service(folder, port) as (http, process):
        steps = Demo(http, folder, out)
        with out.status("starting the service (the first start compiles kernels)") as status:
            _wait_ready(http, process)
            story = _walk(steps, status.update)
        _tell(steps, story)
        check(story)
        if exit_:
            out.print("[green]every step did what it should[/]")
            return
        out.print(f"\nThe service stays on [bold]{http.base_url}[/] until Ctrl-C.")
        _until_interrupted(process)


@dataclass(frozen=True, slots=True)
class Story:
    """What the service answered, step by step."""

    raw: dict[str, Any]
    versions: dict[str, dict[str, Any]]
    compared: dict[str, Any]
    repaired: dict[str, Any]
    promoted: dict[str, Any]
    served: dict[str, Any]
    hidden: dict[str, Any]


def _walk(demo: Demo, say: Callable[[str], None]) -> Story:
    """Do the main job through the API."""
    say("uploading the predictions for March and May 2013")
    march, may = (_upload(demo, month) for month in ("march", "may"))
    say("evaluating May as it came")
    raw = _evaluate(demo, may)
    versions = {}
    for name, method in METHODS.items():
        say(f"fitting {name} on March, judging it on May")
        versions[name] = _fit(demo, march, may, method)
    references = {name: f"flights:{version['version']}" for name, version in versions.items()}
    say("comparing the calibrators on the same flights of May")
    compared = _evaluate(demo, may, candidates=["identity", *references.values()])
    best = compared["comparison"]["best"]
    repaired = _evaluate(demo, may, calibrator=best)
    say(f"promoting {best}")
    number = int(best.partition(":")[2])
    promoted = _answer(
        demo.http.put("/v1/calibrators/flights/aliases/champion", json={"version": number})
    )
    say("serving calibrated probabilities")
    served = _answer(demo.http.post("/v1/calibrators/flights/calibrate", json=EXAMPLE_CALL))
    say("looking for what the aggregate hides")
    hidden = _evaluate(demo, may, calibrator=references["isotonic"])
    return Story(raw, versions, compared, repaired, promoted, served, hidden)


EXAMPLE_CALL = {
    "score_kind": "probabilities",
    "scores": [0.21, 0.21],
    "slices": {"hour_bucket": ["early", "evening"]},
}


def _upload(demo: Demo, month: str) -> dict[str, Any]:
    table = files("calibrant.cli") / "demo_data" / f"flights_{month}.parquet"
    return _answer(
        demo.http.post(
            "/v1/datasets",
            params={"name": f"flights-{month}"},
            content=table.read_bytes(),
            headers={"content-type": "application/vnd.apache.parquet", "prefer": "wait=60"},
        )
    )


def _rows(dataset: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": "binary",
        "score_kind": "probabilities",
        "dataset": dataset["id"],
        "columns": {**COLUMNS, "slices": SLICES},
    }


def _evaluate(demo: Demo, dataset: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {**_rows(dataset), **more}
    return _answer(demo.http.post("/v1/evaluations", json=body, headers={"prefer": "wait=120"}))


def _fit(
    demo: Demo, march: dict[str, Any], may: dict[str, Any], method: dict[str, Any]
) -> dict[str, Any]:
    on = {key: value for key, value in _rows(may).items() if key in {"dataset", "columns"}}
    body = {**_rows(march), **method, "evaluate_on": on}
    return _answer(
        demo.http.post(
            "/v1/calibrators/flights/versions", json=body, headers={"prefer": "wait=120"}
        )
    )


def _answer(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON of a good answer.

    Raises
    ------
    CalibrantError
        With the problem's words, if it is not good or not ready.
    """
    if response.status_code == 202:
        raise CalibrantError(f"{response.request.url.path} took too long on this machine.")
    if response.is_error:
        problem = response.json()
        raise CalibrantError(f"{response.request.url.path}: {problem.get('detail', problem)}")
    found: dict[str, Any] = response.json()
    return found


def check(story: Story) -> None:
    """Compare with what these flights must show.

    Raises
    ------
    CalibrantError
        Naming the first figure that is off.
    """
    slices, repaired = _by_name(story.hidden), _by_name(story.repaired)
    for name, found, expected in (
        ("ECE of May as it came", story.raw["metrics"]["ece"], 0.0411),
        ("ECE of May after isotonic", story.hidden["metrics"]["ece"], 0.0110),
        ("gap of early flights", slices["hour_bucket=early"]["bias"], 0.1066),
        ("gap of evening flights", slices["hour_bucket=evening"]["bias"], -0.0906),
    ):
        if abs(found - expected) > 5e-4:
            raise CalibrantError(f"{name} is {found:.4f}, expected about {expected:.4f}.")
    if not story.hidden["verdict"]["finding"]:
        raise CalibrantError("The report does not say what the aggregate hides.")
    for name in ("hour_bucket=early", "hour_bucket=evening"):
        if abs(repaired[name]["bias"]) > abs(slices[name]["bias"]) / 2:
            raise CalibrantError(f"The promoted calibrator does not halve the gap of {name}.")
    early, evening = story.served["probabilities"]
    if not 0 < early < evening < 1:
        raise CalibrantError("The promoted calibrator does not tell early from evening flights.")


def _by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["name"]: part["metrics"] for part in report["slices"]}


def _tell(demo: Demo, story: Story) -> None:
    """Print the story: the finding first."""
    out = demo.out
    out.print(f"[bold]{escape(story.hidden['verdict']['sentence'])}[/]\n")
    out.print(
        "These are real predictions of delays for flights out of New York in May 2013 "
        "(nycflights13, CC0), calibrated by isotonic regression on those of March."
    )
    _print_hours(demo, story)
    _print_pictures(demo, story)
    _print_bet(demo)
    _print_fits(demo, story)
    _print_served(demo, story)
    _print_yours(demo, story)


def _print_hours(demo: Demo, story: Story) -> None:
    table = Table(title="\nMay, by time of day", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("", "flights", "predicted", "delayed", "gap", ""):
        table.add_column(name, justify="right" if name else "left")
    rows = [("all", story.hidden["metrics"])] + [
        (name.partition("=")[2], metrics)
        for name, metrics in _by_name(story.hidden).items()
        if name.startswith("hour_bucket=")
    ]
    for name, m in rows:
        colour = "red" if m["bias"] > 0 else "blue"
        table.add_row(
            name,
            f"{m['n']:,}",
            f"{m['mean_score']:.3f}",
            f"{m['base_rate']:.3f}",
            f"{m['bias']:+.3f}",
            f"[{colour}]{'█' * round(abs(m['bias']) * 200)}[/]",
        )
    demo.out.print(table)


def _print_pictures(demo: Demo, story: Story) -> None:
    base = demo.http.base_url
    where = f"/v1/evaluations/{story.hidden['id']}/reliability.svg"
    for name, query in (("all", ""), ("early", "?slice=hour_bucket%3Dearly")):
        picture = demo.http.get(where + query).raise_for_status()
        (demo.folder / f"may-{name}.svg").write_text(picture.text, encoding="utf-8")
    demo.out.print("[bold]Two pictures[/] say the same (also as files in the demo folder):")
    demo.out.print(f"  all flights    {base}{where}", soft_wrap=True)
    demo.out.print(f"  early flights  {base}{where}?slice=hour_bucket%3Dearly", soft_wrap=True)
    demo.out.print(f"  with the rest  {base}/ui\n", soft_wrap=True)


def _print_bet(demo: Demo) -> None:
    found = bet()
    for name, told in (("bet", False), ("bet-told", True)):
        picture = demo.folder / f"{name}.svg"
        picture.write_text(found.picture(told=told), encoding="utf-8")
    eces = {found.broken: found.broken_ece}
    eces["A" if found.broken == "B" else "B"] = found.calibrated_ece
    demo.out.print(
        f"[bold]A bet:[/] two models, {found.n} rows each. A shows an ECE of {eces['A']:.3f}, B of "
        f"{eces['B']:.3f}. Which one is broken?  {demo.http.base_url}/ui/noise",
        soft_wrap=True,
    )
    demo.out.print(
        f"  It is {found.broken}, over-confident by a factor of {found.stretch:g}. At n = {found.n} "
        f"chance alone gives a perfect model {found.floor.mean:.3f} (up to {found.floor.p95:.3f}), "
        f"and in {found.fooled:.0%} of such pairs the perfect one looks worse: no ECE here comes "
        "without that floor.\n"
    )


def _print_fits(demo: Demo, story: Story) -> None:
    table = Table(
        title="Fitted on March, judged on the same flights of May",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("calibrator", "", "log loss", "Δ to none, 95 %", "ECE"):
        table.add_column(name, justify="left" if name in {"calibrator", ""} else "right")
    names = {f"flights:{version['version']}": name for name, version in story.versions.items()}
    comparison = story.compared["comparison"]
    for part in comparison["candidates"]:
        label = names.get(part["name"], "none")
        change = part["differences"].get("nll")
        moved = (
            "-"
            if change is None
            else f"{change['value']:+.4f} ({change['interval'][0]:+.4f}, {change['interval'][1]:+.4f})"
        )
        best = part["name"] == comparison["best"]
        table.add_row(
            f"[bold]{label} ← best[/]" if best else label,
            part["name"] if label != "none" else "",
            f"{part['metrics']['nll']:.4f}",
            moved,
            f"{part['metrics']['ece']:.4f}",
        )
    demo.out.print(table)
    hidden, repaired = _by_name(story.hidden), _by_name(story.repaired)
    gaps = ", ".join(
        f"{hour} {hidden[name]['bias']:+.3f} to {repaired[name]['bias']:+.3f}"
        for hour, name in (("early", "hour_bucket=early"), ("evening", "hour_bucket=evening"))
    )
    demo.out.print(
        "The best by log loss is not the one with the smallest aggregate ECE: it mends the gaps "
        f"themselves ({gaps}) instead of letting them cancel.\n"
    )


def _print_served(demo: Demo, story: Story) -> None:
    early, evening = story.served["probabilities"]
    demo.out.print(
        f"[bold]Promoted[/] version {story.promoted['version']} to flights@champion. A score of "
        f"0.21 is now served as {early:.3f} for an early flight and {evening:.3f} for an evening "
        "one.\n"
    )


def _print_yours(demo: Demo, story: Story) -> None:
    """Print commands that work when pasted; each uses the demo's data until yours takes its place."""
    del story
    sample, gates = demo.folder / "your.csv", demo.folder / "gates.toml"
    _write_sample(sample)
    gates.write_text(
        '[[gate]]\nmetric = "bias"\nmin = -0.05\nmax = 0.05\nslices = ["*"]\n', encoding="utf-8"
    )
    command = Path(sys.argv[0]).name if shutil.which("calibrant") else _relative(sys.argv[0])
    out = demo.out
    out.print("[bold]Now yours.[/] Each line works as it stands; put your own file in.")
    out.print("\na verdict on a file:", style="dim")
    out.print(f"  {command} evaluate {sample} --yes", soft_wrap=True, markup=False)
    out.print("a gate in CI (exit code 0 pass, 1 fail, 2 inconclusive):", style="dim")
    out.print(
        f"  {command} evaluate {sample} --yes --gate {gates} --junit {demo.folder / 'gate.xml'}",
        soft_wrap=True,
        markup=False,
    )
    out.print("a call from a server:", style="dim")
    out.print(
        f"  curl -s {demo.http.base_url}/v1/calibrators/flights/calibrate "
        "-H 'content-type: application/json' "
        """-d '{"score_kind": "probabilities", "scores": [0.21, 0.21], """
        """"slices": {"hour_bucket": ["early", "evening"]}}'""",
        soft_wrap=True,
        markup=False,
    )


def _relative(path: str) -> str:
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return path


def _write_sample(path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    source = files("calibrant.cli") / "demo_data" / "flights_may.parquet"
    with source.open("rb") as handle:
        pyarrow.csv.write_csv(pyarrow.parquet.read_table(handle), path)


def _empty(folder: Path) -> None:
    """Start from nothing, but never remove what is not the demo's."""
    marker = folder / ".calibrant-demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise Unavailable(f"{folder} holds something that is not a demo: say another --folder.")
    kernels = folder / "data" / "kernels"
    for found in folder.glob("*") if folder.exists() else ():
        if found.is_dir():
            for inner in found.iterdir():
                if inner != kernels:
                    shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
        elif found != marker:
            found.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    marker.touch()


@contextmanager
def _service(folder: Path, port: int) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """Start the service on loopback with the embedded default, and end it afterwards."""
    port = port or _free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CALIBRANT_")},
        "CALIBRANT_PORT": str(port),
        "CALIBRANT_DATA_DIR": str(folder / "data"),
        "CALIBRANT_LOG_LEVEL": "warning",
        lifeline.PARENT: str(os.getpid()),
    }
    log = folder / "service.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "calibrant.cli", "serve"],
            env=environment,
            stdout=sink,
            stderr=sink,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=150) as http:
            yield http, process
    except (httpx.HTTPError, CalibrantError) as error:
        raise CalibrantError(f"The demo stopped: {error} The service's log is {log}.") from error
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def _free_port() -> int:
    """Return 8000 if it is free, else any free port."""
    for port in (8000, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable("No port is free on 127.0.0.1.")


def _wait_ready(http: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CalibrantError("The service ended while it was starting.")
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise CalibrantError(f"The service was not ready after {START_SECONDS:.0f} s.")


def _until_interrupted(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait()
    except KeyboardInterrupt:
        console(err=True).print("stopping")

"""`calibrant fit`: fit a calibrator on a file, judge it on rows it has not seen, write it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from calibrant.cli import files
from calibrant.cli.printing import console, print_report
from calibrant.errors import NotServable
from calibrant.operations.fit import Made, Recipe, fit_and_judge
from calibrant.operations.holdout import Holdout


def fit(
    file: files.File,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where the calibrator (JSON) goes.")
    ] = Path("calibrator.json"),
    method: Annotated[
        str, typer.Option(help="`auto` or a kind: temperature, isotonic, ...")
    ] = "auto",
    scores: files.Scores = None,
    labels: files.Labels = None,
    task: files.TaskOption = None,
    score_kind: files.KindOption = None,
    slices: files.Slices = None,
    weights: files.Weights = None,
    ids: files.Ids = None,
    time: files.Time = None,
    groups: files.Groups = None,
    yes: files.Yes = False,
    per_slice: Annotated[
        list[str] | None, typer.Option(help="Correct per slice of this column; repeatable.")
    ] = None,
    holdout: Annotated[float, typer.Option(help="Share of rows held out.")] = 0.3,
    by: Annotated[
        Literal["hash", "time", "group"], typer.Option(help="Hold out by hash, time or group.")
    ] = "hash",
    evaluate_on: Annotated[
        Path | None, typer.Option(help="Judge on this file, with the same columns, instead.")
    ] = None,
    onnx: Annotated[Path | None, typer.Option(help="Write the ONNX graph too.")] = None,
    force: Annotated[bool, typer.Option(help="Write a fit whose status forbids serving.")] = False,
) -> None:
    """Fit a calibrator; what is reported of it comes from held-out rows only."""
    wanted = files.Wanted(
        scores=scores, labels=labels, task=task, score_kind=score_kind,
        slices=None if slices is None and not per_slice else [*(slices or []), *(per_slice or [])],
        weights=weights, ids=ids, time=time, groups=groups, yes=yes,
    )  # fmt: skip
    progress = console(err=True)
    with files.open_table(file, wanted) as table:
        recipe = Recipe(
            task=table.task,
            score_kind=table.score_kind,
            method=method,
            per_slice=tuple(per_slice or ()),
            force=force,
        )
        other = nullcontext(None) if evaluate_on is None else files.open_like(evaluate_on, table)
        with other as judged, progress.status("fitting") as status:
            outcome = fit_and_judge(
                table.source,
                recipe,
                holdout=Holdout(fraction=holdout, by=by),
                evaluate_on=None if judged is None else judged.source,
                progress=lambda _done, _of, text: status.update(text),
            )
    made = outcome.made
    screen = console()
    screen.print(
        f"[bold]{made.kind}[/], status [bold]{made.status}[/], fitted on {outcome.n_fit:,} rows"
    )
    _print_candidates(screen, made)
    screen.print("\n[bold]On held-out rows:[/]")
    print_report(screen, outcome.report)
    if not made.servable:
        raise NotServable(f"The fit ended as `{made.status}` and is not written; see --force.")
    out.write_bytes(msgspec.json.format(msgspec.json.encode(made.calibrator.to_dict()), indent=1))
    largest = max(outcome.certificate.max_difference.values())
    agreed = f"its ONNX graph agrees with the kernels to {largest:.0e}"
    screen.print(f"calibrator: {out} ({agreed})", markup=False, soft_wrap=True)
    if onnx is not None:
        onnx.write_bytes(outcome.onnx)
        screen.print(f"graph: {onnx}", markup=False, soft_wrap=True)


def _print_candidates(screen: Console, made: Made) -> None:
    if not made.candidates:
        return
    table = Table(
        "candidate", "log loss, 5 folds", "gain over identity, 95 %", "status", box=box.SIMPLE_HEAD
    )
    for candidate in made.candidates:
        chosen = " ←" if candidate.kind == made.kind else ""
        gain = "-"
        if candidate.gain is not None:
            gain = f"{candidate.gain:+.5f} ({candidate.gain_low:+.5f}, {candidate.gain_high:+.5f})"
        loss = "-" if candidate.loss is None else f"{candidate.loss:.5f}"
        table.add_row(candidate.kind + chosen, loss, gain, candidate.status)
    screen.print(table)

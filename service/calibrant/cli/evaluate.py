"""`calibrant evaluate`: the verdict on a file, its picture, and gates for a build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from calibrant.cli import files
from calibrant.cli.gates import exit_code, junit, markdown, read_gates
from calibrant.cli.printing import console, print_report
from calibrant.errors import BadRequest, NotFound
from calibrant.numerics.calibrators.model import Calibrator, SlicedCalibrator, from_dict
from calibrant.operations.draw import report_picture
from calibrant.operations.evaluate import evaluate as evaluate_rows
from calibrant.operations.evaluate.report import (
    EvaluateOptions,
    EvaluateSpec,
    Report,
    to_document,
)


def evaluate(
    file: files.File,
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
    calibrator: Annotated[
        Path | None, typer.Option(help="Judge the scores after this calibrator (a JSON artifact).")
    ] = None,
    gate: Annotated[
        Path | None,
        typer.Option(help="Gates (TOML): exit code 0 pass, 1 fail, 2 inconclusive."),
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="`headline`, `all`, or optional metrics by name, comma-separated.")
    ] = "headline",
    picture: Annotated[
        Path | None, typer.Option(help="Where the diagram goes; default: next to the file.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the whole report as JSON.")] = None,
    junit_xml: Annotated[
        Path | None, typer.Option("--junit", help="Write the gates as JUnit XML.")
    ] = None,
    markdown_md: Annotated[
        Path | None, typer.Option("--markdown", help="Write verdict and gates as Markdown.")
    ] = None,
) -> int:
    """Evaluate a file of scores and labels: overall and per slice, the verdict first."""
    wanted = files.Wanted(
        scores=scores, labels=labels, task=task, score_kind=score_kind, slices=slices,
        weights=weights, ids=ids, time=time, groups=groups, yes=yes,
    )  # fmt: skip
    gates = () if gate is None else read_gates(gate)
    candidates = {} if calibrator is None else {calibrator.stem: read_artifact(calibrator)}
    name = None if calibrator is None else calibrator.stem
    with files.open_table(file, wanted) as table:
        spec = EvaluateSpec(
            task=table.task,
            score_kind=table.score_kind,
            options=EvaluateOptions(metrics=_metrics(metrics)),
            gates=gates,
            calibrator=name,
            candidates=() if name is None else ("identity", name),
        )
        with console(err=True).status("measuring") as status:
            report = evaluate_rows(
                table.source.chunks,
                spec,
                candidates,
                n_rows=table.source.n_rows,
                progress=lambda _done, _of, text: status.update(text),
            )
    out = console()
    print_report(out, report)
    where = picture or file.with_suffix(".reliability.svg")
    where.write_text(report_picture(report), encoding="utf-8")
    out.print(f"picture: {where}", markup=False, soft_wrap=True)
    _write(report, file.name, json, junit_xml, markdown_md)
    return exit_code(report.gates)


def read_artifact(path: Path) -> Calibrator | SlicedCalibrator:
    """Read a calibrator's JSON artifact; every field is checked, nothing is executed.

    Raises
    ------
    NotFound
        If there is no such file.
    BadRequest
        If it is not JSON, or not an artifact.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    try:
        return from_dict(msgspec.json.decode(path.read_bytes()))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"{path} is not JSON.") from error


def _metrics(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return () if names == ("headline",) else names


def _write(
    report: Report, name: str, json: Path | None, junit_xml: Path | None, markdown_md: Path | None
) -> None:
    if json is not None:
        json.write_bytes(msgspec.json.encode(to_document(report, diagrams=True)))
    if junit_xml is not None:
        junit_xml.write_text(junit(report, name=name), encoding="utf-8")
    if markdown_md is not None:
        markdown_md.write_text(markdown(report, name=name), encoding="utf-8")

"""Open a table file from the command line: columns are proposed and shown, never guessed in silence."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.markup import escape

from calibrant.cli.printing import console
from calibrant.errors import NotFound, Unusable
from calibrant.operations.data import Opened
from calibrant.storage.tables import (
    ColumnMapping,
    Limits,
    Proposal,
    TableSource,
    canonical,
    propose,
    take_sample,
)

Task = Literal["binary", "multiclass"]
ScoreKind = Literal["probabilities", "logits"]

File = Annotated[Path, typer.Argument(help="CSV, Parquet, NDJSON, JSON, Arrow or NPZ, maybe .gz.")]
Scores = Annotated[
    list[str] | None,
    typer.Option(help="Score column; repeat for one per class, or give a pattern like `p_*`."),
]
Labels = Annotated[str | None, typer.Option(help="Label column.")]
TaskOption = Annotated[str | None, typer.Option("--task", help="binary or multiclass.")]
KindOption = Annotated[
    str | None, typer.Option("--score-kind", help="probabilities or logits; never inferred.")
]
Slices = Annotated[
    list[str] | None, typer.Option("--slice", help="Column to slice by; repeatable.")
]
Weights = Annotated[str | None, typer.Option(help="Weight column.")]
Ids = Annotated[str | None, typer.Option(help="Column that identifies rows.")]
Time = Annotated[str | None, typer.Option(help="Time column.")]
Groups = Annotated[str | None, typer.Option(help="Column of clusters of dependent rows.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Use the proposed columns as shown.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line says about the columns."""

    scores: list[str] | None
    labels: str | None
    task: str | None
    score_kind: str | None
    slices: list[str] | None
    weights: str | None
    ids: str | None
    time: str | None
    groups: str | None
    yes: bool


@dataclass(frozen=True, slots=True)
class Table:
    """An opened file with everything decided about it."""

    path: Path
    source: Opened
    canonical: Path
    mapping: ColumnMapping
    task: Task
    score_kind: ScoreKind


@contextmanager
def open_table(path: Path, wanted: Wanted, *, need_labels: bool = True) -> Iterator[Table]:
    """Read a file through and decide its columns, asking where something is only proposed.

    Raises
    ------
    NotFound
        If there is no such file.
    Unusable
        If columns are not said and nobody can be asked; the message is a command to paste.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        table = Path(folder) / "table.parquet"
        with console(err=True).status(f"reading {escape(path.name)}"):
            info = canonical(path, None, table, Limits(), name=path.name)
            proposal = propose(info, take_sample(table))
        named = replace(wanted, scores=_named(wanted.scores, [each.name for each in info.columns]))
        mapping, task, kind = _decide(path, named, proposal, need_labels=need_labels)
        source = TableSource(table, mapping, task=task, score_kind=kind, sha256=info.sha256)
        opened = Opened(source.chunks, source.n_rows, info.sha256)
        yield Table(path, opened, table, mapping, task, kind)


def _named(scores: list[str] | None, columns: list[str]) -> list[str] | None:
    """Return score columns with patterns replaced by the columns they fit, `p_2` before `p_10`."""
    if scores is None:
        return None
    named: list[str] = []
    for wanted in scores:
        fitting = [name for name in columns if fnmatchcase(name, wanted)]
        named += [wanted] if wanted in columns or not fitting else sorted(fitting, key=_in_order)
    return named


def _in_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts digits by their value."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"([0-9]+)", name)]


def _decide(
    path: Path, wanted: Wanted, proposal: Proposal, *, need_labels: bool
) -> tuple[ColumnMapping, Task, ScoreKind]:
    """Take what the command line says; propose the rest, and use it only if somebody agrees."""
    task, kind = wanted.task or proposal.task, wanted.score_kind or proposal.score_kind
    proposed = proposal.mapping or ColumnMapping(scores=())
    mapping = ColumnMapping(
        scores=tuple(wanted.scores or proposed.scores),
        labels=wanted.labels or proposed.labels,
        weights=wanted.weights,
        ids=wanted.ids or proposed.ids,
        time=wanted.time or proposed.time,
        slices=tuple(proposed.slices if wanted.slices is None else wanted.slices),
        groups=wanted.groups,
        classes=proposed.classes,
    )
    complete = wanted.scores and wanted.task and wanted.score_kind
    said = bool(complete and (wanted.labels or not need_labels))
    if said:
        mapping = replace(
            mapping, ids=wanted.ids, time=wanted.time, slices=tuple(wanted.slices or ())
        )
        mapping = replace(mapping, labels=wanted.labels)
    else:
        _show(proposal)
    if not mapping.scores or task is None or kind is None or (need_labels and not mapping.labels):
        missing = ", ".join(proposal.missing) or "what holds the scores and the labels"
        raise Unusable(
            f"Say which columns hold what (not clear: {missing}). For example:\n  {_EXAMPLE}"
        )
    if task not in {"binary", "multiclass"} or kind not in {"probabilities", "logits"}:
        raise Unusable("--task is binary or multiclass, --score-kind is probabilities or logits.")
    if not said and not wanted.yes:
        _ask(path, mapping, task, kind)
    return mapping, cast("Task", task), cast("ScoreKind", kind)


_EXAMPLE = (
    "calibrant evaluate your.csv --scores p --labels y --task binary --score-kind probabilities"
)


def _show(proposal: Proposal) -> None:
    out = console(err=True)
    out.print("[bold]Proposed columns[/] (nothing is used before you agree):")
    for line in proposal.lines():
        out.print(f"  {line}", markup=False)


def _ask(path: Path, mapping: ColumnMapping, task: str, kind: str) -> None:
    """Ask a person; without one, say what to type."""
    if sys.stdin.isatty() and typer.confirm("Use these columns?", default=True, err=True):
        return
    said = [f"--scores {shlex.quote(name)}" for name in mapping.scores]
    said += [f"--labels {shlex.quote(mapping.labels)}"] if mapping.labels else []
    said += [f"--slice {shlex.quote(name)}" for name in mapping.slices]
    said += [f"--{n} {shlex.quote(v)}" for n in ("ids", "time") if (v := getattr(mapping, n))]
    said += [f"--task {task}", f"--score-kind {kind}"]
    raise Unusable(
        f"Columns are not used before somebody agrees. Add --yes to use the proposed ones, or say "
        f"them:\n  calibrant ... {shlex.quote(str(path))} {' '.join(said)}"
    )


@contextmanager
def open_like(path: Path, like: Table) -> Iterator[Table]:
    """Open another file with the columns that were decided for one before."""
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        table = Path(folder) / "table.parquet"
        info = canonical(path, None, table, Limits(), name=path.name)
        source = TableSource(
            table, like.mapping, task=like.task, score_kind=like.score_kind, sha256=info.sha256
        )
        opened = Opened(source.chunks, source.n_rows, info.sha256)
        yield Table(path, opened, table, like.mapping, like.task, like.score_kind)

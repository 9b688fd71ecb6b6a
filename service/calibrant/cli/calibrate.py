"""`calibrant calibrate`: a file of scores in, the same file with calibrated probabilities out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from calibrant.cli import files
from calibrant.cli.evaluate import read_artifact
from calibrant.errors import Unusable
from calibrant.numerics.calibrators.apply import CompiledSliced, compiled
from calibrant.storage.tables import write_columns


def calibrate(
    file: files.File,
    calibrator: Annotated[Path, typer.Option(help="The calibrator: a JSON artifact.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write; the suffix says the format.")
    ],
    scores: files.Scores = None,
    score_kind: files.KindOption = None,
    slices: files.Slices = None,
    yes: files.Yes = False,
    column: Annotated[str, typer.Option(help="Name of the new column.")] = "calibrated",
) -> None:
    """Append calibrated probabilities to a table."""
    found = read_artifact(calibrator)
    ready = compiled(found)
    sliced = isinstance(ready, CompiledSliced)
    wanted = files.Wanted(
        scores=scores,
        labels=None,
        task=found.task,
        score_kind=score_kind,
        slices=list(ready.dimensions) if isinstance(ready, CompiledSliced) else slices or [],
        weights=None,
        ids=None,
        time=None,
        groups=None,
        yes=yes,
    )
    with files.open_table(file, wanted, need_labels=False) as table:
        fallbacks = 0

        def pieces() -> Iterator[NDArray[Any]]:
            nonlocal fallbacks
            for chunk in table.source.chunks():
                if isinstance(ready, CompiledSliced):
                    made, unknown = ready(chunk.scores, table.score_kind, chunk.slices)
                    fallbacks += unknown
                    yield made
                else:
                    yield ready(chunk.scores, table.score_kind)

        if table.task != found.task:
            raise Unusable(f"This calibrator is for {found.task} scores.")
        write_columns(out, table.canonical, {column: pieces()})
    typer.echo(f"{table.source.n_rows:,} rows, `{column}` appended: {out}")
    if sliced and fallbacks:
        typer.echo(f"{fallbacks:,} rows of unknown slices took the pooled calibrator", err=True)

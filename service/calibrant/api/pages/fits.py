"""What a page says of a fit: its race, its aliases, and how to call it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibrant.operations.draw.words import decimal


@dataclass(frozen=True, slots=True)
class Runner:
    """One candidate of the race, its figures ready to be shown."""

    kind: str
    values: tuple[str, ...]


def race(summary: Mapping[str, Any]) -> tuple[tuple[str, ...], list[Runner]]:
    """Return the columns and the rows of the table of candidates."""
    found: Sequence[Mapping[str, Any]] = summary.get("candidates") or ()
    columns = tuple(
        name
        for name in dict.fromkeys(name for one in found for name in one)
        if name != "kind" and any(_shown(one.get(name)) for one in found)
    )
    return columns, [
        Runner(str(one.get("kind", "")), tuple(_shown(one.get(name)) for name in columns))
        for one in found
    ]


def example(task: str, n_classes: int) -> str:
    """Return a body for the calibrate route that fits the task."""
    scores: list[Any] = [0.91, 0.35, 0.08]
    if task == "multiclass":
        row = [round(1 / n_classes, 4)] * n_classes
        row[0] = round(1 - sum(row[1:]), 4)
        scores = [row]
    return json.dumps({"score_kind": "probabilities", "scores": scores})


def _shown(value: Any) -> str:
    """Write one figure of a candidate; what is not a figure is left out."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return decimal(float(value), 5)
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and len(value) == 2:
        return f"{_shown(value[0])} to {_shown(value[1])}"
    return ""

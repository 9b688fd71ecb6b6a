"""What a page says of a fit: its race, its aliases, and how to call it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibrant.operations.draw.words import decimal, signed


@dataclass(frozen=True, slots=True)
class Runner:
    """One candidate of the race, its figures ready to be shown."""

    kind: str
    loss: str
    gain: str
    status: str


@dataclass(frozen=True, slots=True)
class Corrected:
    """A slice with a correction of its own, shrunk towards the fit on all rows."""

    name: str
    n: float
    status: str


def race(summary: Mapping[str, Any]) -> list[Runner]:
    """Return the table of candidates in the order they were tried."""
    return [
        Runner(
            kind=one["kind"],
            loss=_with_error(one["loss"], one["loss_se"]),
            gain=_with_interval(one["gain"], one["gain_low"], one["gain_high"]),
            status=one["status"],
        )
        for one in summary.get("candidates") or ()
    ]


def corrected(summary: Mapping[str, Any], dimensions: Sequence[str]) -> list[Corrected]:
    """Return the slices that have a correction of their own, the largest first."""
    found = [
        Corrected(
            name=",".join(
                f"{dimension}={value}"
                for dimension, value in zip(dimensions, one["key"], strict=True)
            ),
            n=one["n"],
            status=one["status"],
        )
        for one in summary.get("slices") or ()
    ]
    return sorted(found, key=lambda one: -one.n)


def example(
    task: str, n_classes: int, dimensions: Sequence[str], summary: Mapping[str, Any]
) -> str:
    """Return a body for the calibrate route that fits the task and the slices."""
    scores: list[Any] = [0.91, 0.35, 0.08]
    if task == "multiclass":
        row = [round(1 / n_classes, 4)] * n_classes
        row[0] = round(1 - sum(row[1:]), 4)
        scores = [row]
    body: dict[str, Any] = {"score_kind": "probabilities", "scores": scores}
    if dimensions:
        key = summary["slices"][0]["key"]
        body["slices"] = {
            dimension: [value] * len(scores)
            for dimension, value in zip(dimensions, key, strict=True)
        }
    # a quote or a non-ASCII letter would not survive every shell
    return json.dumps(body).replace("'", "\\u0027")


def _with_error(value: float | None, error: float | None) -> str:
    return decimal(value, 5) + ("" if error is None else f" \u00b1 {decimal(error, 5)}")


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return signed(value, 5)
    return f"{signed(value, 5)} ({signed(low, 5)} to {signed(high, 5)})"

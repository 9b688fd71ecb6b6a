"""What callers send, as typed structures: strict, and nothing is guessed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

from calibrant.errors import Detail, Unusable
from calibrant.wire.columns import (
    Columns,
    Key,
    Label,
    Name,
    Scores,
    label_array,
    score_array,
    texts,
    time_array,
)

NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
ALIAS = r"^[A-Za-z0-9_-]{1,255}$"

Task = Literal["binary", "multiclass"]
ScoreKind = Literal["probabilities", "logits"]
ObjectName = Annotated[str, Meta(pattern=NAME)]
Alias = Annotated[str, Meta(pattern=ALIAS)]
Reference = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=320,
        description="`identity`, or a version of a calibrator: `name`, `name@alias` or `name:3`.",
    ),
]
Column = Annotated[str, Meta(min_length=1, max_length=256)]
Zoned = Annotated[datetime, Meta(tz=True)]
Slices = dict[Name, list[Key | None]]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every request body: unknown fields are refused."""


class ColumnNames(Request, frozen=True, kw_only=True):
    """Which columns of a data set hold what."""

    scores: Annotated[list[Column], Meta(min_length=1)]
    labels: Column | None = None
    weights: Column | None = None
    ids: Column | None = None
    time: Column | None = None
    groups: Column | None = None
    slices: list[Column] = []
    classes: Annotated[list[Column], Meta(min_length=2)] | None = None


class Rows(Request, frozen=True, kw_only=True):
    """Rows inline, as columns of equal length, or a stored data set with its columns."""

    scores: Scores | None = None
    labels: list[Label | None] | None = None
    weights: list[float] | None = None
    ids: list[Key] | None = None
    time: list[Zoned] | None = None
    groups: list[Key | None] | None = None
    slices: Slices | None = None
    dataset: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    columns: ColumnNames | None = None

    def inline(self) -> Columns | None:
        """Return the inline columns, or None where a data set is named.

        Raises
        ------
        Unusable
            If the body has both, or neither.
        """
        if self.dataset is not None:
            self._only_dataset()
            return None
        if self.scores is None:
            raise Unusable(
                "Send rows inline (`scores`, ...), or name a `dataset` and its `columns`.",
                [Detail("/scores", "Missing, and no `dataset` is named.")],
            )
        if self.columns is not None:
            raise Unusable(
                "`columns` names columns of a `dataset`, and none is named.",
                [Detail("/dataset", "Missing.")],
            )
        return Columns(
            scores=score_array(self.scores),
            labels=None if self.labels is None else label_array(self.labels),
            weights=None if self.weights is None else np.array(self.weights, dtype=np.float64),
            ids=None if self.ids is None else [text or "" for text in texts(self.ids, "/ids")],
            time=None if self.time is None else time_array(self.time),
            groups=None if self.groups is None else texts(self.groups, "/groups"),
            slices=slice_texts(self.slices),
        )

    def _only_dataset(self) -> None:
        names = ("scores", "labels", "weights", "ids", "time", "groups", "slices")
        both = [name for name in names if getattr(self, name) is not None]
        if both:
            raise Unusable(
                "Rows come from `dataset` or inline, not from both.",
                [Detail(f"/{name}", "Not together with `dataset`.") for name in both],
            )
        if self.columns is None:
            raise Unusable(
                "Say which `columns` of the data set hold scores and labels.",
                [Detail("/columns", "Missing.")],
            )


def slice_texts(slices: Slices | None) -> dict[str, list[str | None]]:
    """Return slice columns as texts."""
    return {name: texts(values, f"/slices/{name}") for name, values in (slices or {}).items()}


class CalibrateRequest(Request, frozen=True, kw_only=True):
    """Scores to be calibrated."""

    score_kind: ScoreKind
    scores: Scores
    slices: Slices | None = None
    ids: list[Key] | None = None


class AliasRequest(Request, frozen=True, kw_only=True):
    """Which version an alias shall name."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]


Scope = Literal["read", "ingest", "fit", "promote", "admin"]


class KeyRequest(Request, frozen=True, kw_only=True):
    """An API key to be made."""

    label: Annotated[str, Meta(max_length=100)] = ""
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=5)]
    days: Annotated[int, Meta(ge=1, le=3650)] | None = None


Period = Literal["auto", "hour", "day", "week", "month", "quarter", "year"]


class OptionsRequest(Request, frozen=True, kw_only=True):
    """How to evaluate; headline metrics are always there."""

    metrics: Literal["all"] | list[Annotated[str, Meta(max_length=64)]] = []
    crosses: list[Annotated[list[Name], Meta(min_length=2, max_length=4)]] = []
    max_slices: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    period: Period = "auto"
    tolerance: Annotated[float, Meta(gt=0, lt=1)] | None = None


class GateRequest(Request, frozen=True, kw_only=True):
    """A bar for one metric; its whole interval decides, never the point."""

    metric: Annotated[str, Meta(max_length=64)]
    max: float | None = None
    min: float | None = None
    slices: list[Annotated[str, Meta(max_length=400)]] = []
    baseline: Reference | None = None


class EvaluateRequest(Rows, frozen=True, kw_only=True):
    """Rows, and what is to be known about them."""

    task: Task
    score_kind: ScoreKind
    options: OptionsRequest = OptionsRequest()
    gates: Annotated[list[GateRequest], Meta(max_length=100)] = []
    calibrator: Reference | None = None
    candidates: Annotated[list[Reference], Meta(max_length=20)] = []
    baseline: Reference | None = None
    allow_overlap: bool = False


class HoldoutRequest(Request, frozen=True, kw_only=True):
    """How rows are held out from the fit, to be judged on."""

    fraction: Annotated[float, Meta(gt=0, lt=1)] = 0.3
    by: Literal["hash", "time", "group"] = "hash"


class FitRequest(Rows, frozen=True, kw_only=True):
    """Rows to fit a calibrator on, and how."""

    task: Task
    score_kind: ScoreKind
    method: Annotated[str, Meta(pattern=r"^[a-z][a-z_]{0,39}$")] = "auto"
    holdout: HoldoutRequest | None = None
    evaluate_on: Rows | None = None
    per_slice: Annotated[list[Name], Meta(max_length=4)] = []
    alias: Alias | None = None
    options: Annotated[
        dict[str, str | int | float],
        Meta(max_length=8, description='Of the method, for example `{"binning": "mass"}`.'),
    ] = {}
    force: bool = False
    allow_overlap: bool = False

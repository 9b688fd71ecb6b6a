"""Which column is which: from a proposal to a form, and from the form to an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

import msgspec

from calibrant.errors import BadRequest, Detail, Unusable
from calibrant.operations.data import Data
from calibrant.operations.evaluate.report import EvaluateOptions, EvaluateSpec
from calibrant.operations.evaluations import Request

ROLES = (
    ("labels", "Which column holds the outcome?", "0 or 1; for several classes, 0 to k - 1."),
    ("weights", "Weights", ""),
    ("ids", "Ids of rows", "So that rows a calibrator was fitted on are recognised."),
    ("time", "Time", "Adds a table over time."),
    ("groups", "Groups of rows that belong together", "Makes intervals honest for them."),
)
MANY = ("scores", "slices")
SINGLE = ("labels", "weights", "ids", "time", "groups")
_FIELDS = 5_000


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a data set."""

    name: str
    type: str
    n_null: int

    @property
    def numeric(self) -> bool:
        """Whether it can hold scores."""
        return self.type.lstrip("u").startswith(("int", "float", "double", "half", "bool"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is chosen in the form; nothing is chosen that nobody chose or proposed."""

    task: str = ""
    score_kind: str = ""
    scores: tuple[str, ...] = ()
    labels: str = ""
    weights: str = ""
    ids: str = ""
    time: str = ""
    groups: str = ""
    slices: tuple[str, ...] = ()


def columns_of(known: Mapping[str, Any]) -> list[Column]:
    """Return the columns of a data set as it was recorded."""
    return msgspec.convert(known.get("columns", []), list[Column])


def proposed(known: Mapping[str, Any]) -> Choice:
    """Return what the data set's proposal chooses; the kind of score is left to be said."""
    proposal = known.get("proposal") or {}
    mapping = proposal.get("mapping") or {}
    given = {name: mapping.get(name) or "" for name in SINGLE}
    given |= {name: mapping.get(name) or () for name in MANY}
    return msgspec.convert({**given, "task": proposal.get("task") or ""}, Choice)


def remarks(known: Mapping[str, Any]) -> list[str]:
    """Return the reasons of the proposal, and what was not found."""
    proposal = known.get("proposal") or {}
    guesses = [
        f"{guess['role']}: {', '.join(guess['columns'])}. {guess['why']}"
        for guess in proposal.get("guesses") or ()
    ]
    return guesses + [f"Not found: {missing}" for missing in proposal.get("missing") or ()]


def chosen(body: bytes) -> Choice:
    """Read the form.

    Raises
    ------
    BadRequest
        If it is not one.
    """
    try:
        found = parse_qs(
            body.decode("ascii"), strict_parsing=bool(body), max_num_fields=_FIELDS, errors="strict"
        )
    except (ValueError, UnicodeDecodeError):
        raise BadRequest("The form cannot be read.") from None
    given: dict[str, Any] = {
        name: found.get(name, [""])[0] for name in ("task", "score_kind", *SINGLE)
    }
    given |= {name: found.get(name, []) for name in MANY}
    return msgspec.convert(given, Choice)


def request_of(choice: Choice, dataset_id: str, *, max_slices: int) -> Request:
    """Return the evaluation that is asked for.

    Raises
    ------
    Unusable
        If something that must be chosen is not; each one is named.
    """
    missing = [
        Detail(name, message)
        for name, message in (
            ("task", "Say what is predicted."),
            ("score_kind", "Say whether the scores are probabilities or logits."),
            ("scores", "Choose at least one column."),
            ("labels", "Choose the column with the outcome."),
        )
        if not getattr(choice, name)
    ]
    if missing:
        raise Unusable("Something is not chosen yet.", missing)
    columns = {
        "scores": choice.scores,
        "slices": choice.slices,
        **{name: getattr(choice, name) or None for name in SINGLE},
    }
    asked = {"task": choice.task, "score_kind": choice.score_kind}
    try:
        data = msgspec.convert({**asked, "dataset": dataset_id, "columns": columns}, Data)
        spec = msgspec.convert(asked, EvaluateSpec)
    except msgspec.ValidationError:
        raise BadRequest("The form holds a choice that it does not offer.") from None
    options = EvaluateOptions(metrics=("all",), max_slices=max_slices)
    return Request(data=data, spec=replace(spec, options=options))

"""What the columns of a table look like, in words: a proposal for people, never applied by itself."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from calibrant.storage.tables.shape import ColumnInfo, ColumnMapping, ScoreKind, TableInfo, Task

Confidence = Literal["high", "medium", "low"]

_SCORE_NAMES = re.compile(
    r"(^|_)(p|prob|probs|proba|probability|probabilities|score|scores|pred|prediction|"
    r"predictions|conf|confidence|yhat|y_hat|y_prob|y_score|softmax)(_|$|\d)"
)
_LOGIT_NAMES = re.compile(r"(^|_)(logit|logits|margin|z)(_|$|\d)")
_LABEL_NAMES = re.compile(
    r"^(y|label|labels|target|targets|outcome|outcomes|class|truth|obs|observed|actual|y_true|"
    r"true_label|ground_truth|gt)$"
)
_LABEL_PARTS = re.compile(r"(^|_)(label|target|outcome|true|truth|actual)($|_)")
_ID_NAMES = re.compile(r"^(id|ids|key|uuid|guid|row_id|event_id|request_id)$|_(id|uuid)$")
_TIME_NAMES = re.compile(r"(^|_)(time|timestamp|ts|date|datetime|day|at)$")
_WEIGHT_NAMES = re.compile(r"^(w|weight|weights|sample_weight|sample_weights)$")
_GROUP_NAMES = re.compile(r"^(group|groups|cluster|clusters|group_id|cluster_id)$")
_SLICE_MOST = 50
_SLICES_SHOWN = 8
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Sample:
    """Some rows of a table, and the range of its numbers over all rows.

    Attributes
    ----------
    rows : mapping of column to values
        Of the same rows; None where there is no value.
    ranges : mapping of column to (least, greatest)
        Of number columns; exact.
    """

    rows: Mapping[str, Sequence[Any]]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guess:
    """Columns that look like something.

    Attributes
    ----------
    role : str
        Field of `ColumnMapping`.
    columns : tuple of str
    why : str
        The reason, in words.
    confidence : {"high", "medium", "low"}
    others : tuple of str
        Columns that look like it as well.
    """

    role: str
    columns: tuple[str, ...]
    why: str
    confidence: Confidence
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the columns look like; to be shown and confirmed.

    Attributes
    ----------
    mapping : ColumnMapping or None
        None if no column looks like scores.
    task, score_kind : str or None
        What the scores look like.
    guesses : tuple of Guess
        One per role that was found, with its reason.
    missing : tuple of str
        What was looked for and not found, in words.
    """

    mapping: ColumnMapping | None
    task: Task | None
    score_kind: ScoreKind | None
    guesses: tuple[Guess, ...]
    missing: tuple[str, ...]

    @property
    def is_clear(self) -> bool:
        """Whether scores and labels were found and nothing else looks like them."""
        sure = {each.role for each in self.guesses if each.confidence != "low"}
        return {"scores", "labels"} <= sure

    def lines(self) -> list[str]:
        """Return the proposal as lines to show."""
        lines = []
        for each in self.guesses:
            names = _listed(each.columns)
            lines.append(f"{each.role}: {names} ({each.confidence}): {each.why}")
            if each.others:
                lines.append(f"  it could also be {_listed(each.others)}")
        if self.task and self.score_kind:
            lines.append(f"task: {self.task}, score_kind: {self.score_kind}")
        return lines + [f"not found: {each}" for each in self.missing]


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 6:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, ..., {names[-1]} ({len(names)} columns)"


def take_sample(path: Path, rows: int = 2_000) -> Sample:
    """Return rows from all over a canonical table, and the ranges of its numbers.

    Parameters
    ----------
    path : Path
        A file that `canonical` wrote.
    rows : int
        About how many.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with contextlib.closing(pq.ParquetFile(path, pre_buffer=False)) as file:
        n_groups = file.metadata.num_row_groups
        groups = sorted({int(place) for place in np.linspace(0, n_groups - 1, min(n_groups, 4))})
        each = max(1, rows // len(groups))
        pieces = [
            next(file.iter_batches(batch_size=each, row_groups=[group], use_threads=False))
            for group in groups
        ]
        ranges = _ranges(file.metadata, file.schema_arrow)
    return Sample(pa.Table.from_batches(pieces).to_pydict(), ranges)


def _ranges(metadata: Any, schema: Any) -> dict[str, tuple[float, float]]:
    ranges: dict[str, tuple[float, float]] = {}
    for place, name in enumerate(schema.names):
        if str(schema.field(name).type) not in _NUMBERS:
            continue
        for group in range(metadata.num_row_groups):
            known = metadata.row_group(group).column(place).statistics
            if known is None or not known.has_min_max:
                continue
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = (min(low, float(known.min)), max(high, float(known.max)))
    return ranges


_WHOLE = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_FLOATS = {"float", "double"}
_NUMBERS = _WHOLE | _FLOATS


def propose(info: TableInfo, sample: Sample) -> Proposal:
    """Say which columns look like scores, labels, ids, time, weights, groups and slices.

    Parameters
    ----------
    info : TableInfo
    sample : Sample
        Of the same table, see `take_sample`.

    Returns
    -------
    Proposal
        For people to confirm: the task and the kind of the scores are proposed too, not applied.
    """
    look = _Look(info, sample)
    found = look.scores()
    guesses: list[Guess | None] = []
    if found is not None:
        guesses.append(found.guess)
    labels = look.labels(found)
    guesses += [labels, look.named("weights", _WEIGHT_NAMES, _NUMBERS, "is called like weights")]
    guesses += [look.ids(), look.time()]
    guesses.append(look.named("groups", _GROUP_NAMES, {*_WHOLE, "string"}, "is called like groups"))
    guesses.append(look.slices())
    made = tuple(each for each in guesses if each is not None)
    missing = []
    if found is None:
        missing.append("scores: a number column in [0, 1], or columns p_0, p_1, ...")
    if labels is None:
        missing.append("labels: a column of 0 and 1, or of class numbers")
    if found is None:
        return Proposal(None, None, None, made, tuple(missing))
    return Proposal(_mapping(made, found), found.task, found.score_kind, made, tuple(missing))


@dataclass(frozen=True, slots=True)
class _Scores:
    guess: Guess
    task: Task
    score_kind: ScoreKind
    classes: tuple[str, ...] | None = None

    @property
    def n_classes(self) -> int:
        return 2 if self.task == "binary" else len(self.guess.columns)


def _two(names: Sequence[str], why: str, *, numbered: bool) -> _Scores:
    if numbered:
        guess = Guess("scores", (names[1],), f"{why}; this one is class 1", "high")
    else:
        why += "; one of them is class 1"
        guess = Guess("scores", (names[0],), why, "low", (names[1],))
    return _Scores(guess, "binary", "probabilities")


def _mapping(guesses: Sequence[Guess], found: _Scores) -> ColumnMapping:
    columns = {each.role: each.columns for each in guesses}

    def single(role: str) -> str | None:
        return columns[role][0] if role in columns else None

    return ColumnMapping(
        scores=columns["scores"],
        labels=single("labels"),
        weights=single("weights"),
        ids=single("ids"),
        time=single("time"),
        groups=single("groups"),
        slices=columns.get("slices", ()),
        classes=found.classes,
    )


class _Look:
    """A look at a table; a column that was given a role is not given another."""

    def __init__(self, info: TableInfo, sample: Sample) -> None:
        self._sample = sample
        self._left: dict[str, ColumnInfo] = {each.name: each for each in info.columns}

    def scores(self) -> _Scores | None:
        found = self._family() or self._single()
        if found is not None:
            self._take(*found.guess.columns, *found.guess.others)
        return found

    def _family(self) -> _Scores | None:
        """Find one column per class."""
        families: dict[str, list[str]] = {}
        for name, column in self._left.items():
            stem, _, end = name.rpartition("_")
            numbered = re.fullmatch(r"(.*?)_?(\d+)", name)
            if column.type in _FLOATS and ((stem and end) or numbered):
                families.setdefault(numbered[1] if numbered else stem, []).append(name)
        scored = [
            each
            for stem, names in families.items()
            if len(names) > 1 and (each := self._as_family(stem, names)) is not None
        ]
        scored.sort(key=lambda each: -len(each.guess.columns))
        return scored[0] if scored else None

    def _as_family(self, stem: str, names: list[str]) -> _Scores | None:
        ends = [name.removeprefix(stem).removeprefix("_") for name in names]
        numbered = sorted(ends, key=_as_number) == [str(place) for place in range(len(ends))]
        if numbered:
            names = sorted(names, key=lambda name: int(name.removeprefix(stem).removeprefix("_")))
        if self._sum_to_one(names):
            why = f"{len(names)} number columns in [0, 1] that sum to 1 in every row"
            if len(names) == 2:
                return _two(names, why, numbered=numbered)
            guess = Guess("scores", tuple(names), why, "high")
            classes = None if numbered else tuple(ends)
            return _Scores(guess, "multiclass", "probabilities", classes)
        if not numbered or len(names) < 3:
            return None
        named = _LOGIT_NAMES.search(f"{stem}_".lower()) is not None
        if not named and not _SCORE_NAMES.search(f"{stem}_".lower()):
            return None
        why = f"{len(names)} number columns, one per class, that do not sum to 1"
        guess = Guess("scores", tuple(names), why, "high" if named else "medium")
        return _Scores(guess, "multiclass", "logits")

    def _sum_to_one(self, names: Sequence[str]) -> bool:
        if any(not self._within(name, 0.0, 1.0) for name in names):
            return False
        rows = np.array([self._sample.rows[name] for name in names], dtype=float)
        sums = rows.sum(axis=0)
        return bool(len(sums) and np.all(np.abs(sums - 1) <= _SUM_TOLERANCE))

    def _single(self) -> _Scores | None:
        """Find one column of scores of class 1."""
        likely = [name for name in self._left if self._within(name, 0.0, 1.0)]
        likely = [name for name in likely if self._left[name].type in _FLOATS]
        likely = [name for name in likely if not self._is_whole(name)]
        named = [name for name in likely if _SCORE_NAMES.search(name.lower())]
        logits = [
            name
            for name, column in self._left.items()
            if column.type in _FLOATS
            and _LOGIT_NAMES.search(name.lower())
            and not self._is_whole(name)
            and name not in likely
        ]
        for names, kind, why in (
            (named, "probabilities", "numbers in [0, 1] in a column called like scores"),
            (logits, "logits", "numbers beyond [0, 1] in a column called like logits"),
            (likely, "probabilities", "numbers in [0, 1]"),
        ):
            if names:
                sure: Confidence = "low" if len(names) > 1 else "high"
                if names is likely and len(names) == 1:
                    sure = "medium"
                guess = Guess("scores", (names[0],), why, sure, tuple(names[1:]))
                return _Scores(guess, "binary", "logits" if kind == "logits" else "probabilities")
        return None

    def labels(self, found: _Scores | None) -> Guess | None:
        n_classes = found.n_classes if found else 2
        classes = found.classes if found else None
        ranked: list[tuple[int, str]] = []
        for name in self._left:
            if not self._could_be_label(name, n_classes, classes):
                continue
            low = name.lower()
            rank = 2 if _LABEL_NAMES.search(low) else 1 if _LABEL_PARTS.search(low) else 0
            ranked.append((rank, name))
        if not ranked:
            return None
        best = max(rank for rank, _ in ranked)
        names = [name for rank, name in ranked if rank == best]
        self._take(names[0])
        holds = (
            "the names of the classes" if classes else f"whole numbers from 0 to {n_classes - 1}"
        )
        called = " in a column called like labels" if best else ""
        sure: Confidence = "low" if len(names) > 1 else "high" if best else "medium"
        return Guess("labels", (names[0],), holds + called, sure, tuple(names[1:]))

    def _could_be_label(self, name: str, n_classes: int, classes: tuple[str, ...] | None) -> bool:
        kind = self._left[name].type
        if classes is not None:
            whole_or_text = kind == "string" or kind in _WHOLE
            return whole_or_text and set(map(str, self._distinct(name))) <= set(classes)
        if kind == "bool":
            return n_classes == 2
        return kind in _NUMBERS and self._within(name, 0, n_classes - 1) and self._is_whole(name)

    def ids(self) -> Guess | None:
        for name, column in self._left.items():
            if column.type not in {*_WHOLE, "string"} or column.n_null:
                continue
            rows = self._sample.rows[name]
            if _ID_NAMES.search(name.lower()) and len(set(rows)) == len(rows):
                self._take(name)
                return Guess("ids", (name,), "called like an id, and no value comes twice", "high")
        return None

    def time(self) -> Guess | None:
        for name, column in self._left.items():
            if column.n_null:
                continue
            stamp = column.type == "timestamp[us, tz=UTC]"
            called = _TIME_NAMES.search(name.lower()) is not None
            if stamp or (called and column.type == "string" and self._is_iso(name)):
                self._take(name)
                why = "timestamps" if stamp else "ISO 8601 text in a column called like a time"
                return Guess("time", (name,), why, "high" if called else "medium")
        return None

    def named(self, role: str, pattern: re.Pattern[str], kinds: set[str], why: str) -> Guess | None:
        for name, column in self._left.items():
            if column.type in kinds and not column.n_null and pattern.search(name.lower()):
                self._take(name)
                return Guess(role, (name,), why, "medium")
        return None

    def slices(self) -> Guess | None:
        names = []
        for name, column in self._left.items():
            few = 2 <= len(self._distinct(name)) <= _SLICE_MOST
            texts = column.type in {"string", "bool"}
            if few and (texts or (column.type in _WHOLE and len(self._distinct(name)) <= 20)):
                names.append(name)
        if not names:
            return None
        shown, rest = tuple(names[:_SLICES_SHOWN]), tuple(names[_SLICES_SHOWN:])
        return Guess("slices", shown, "a few different values each", "medium", rest)

    def _take(self, *names: str) -> None:
        for name in names:
            self._left.pop(name, None)

    def _within(self, name: str, low: float, high: float) -> bool:
        if name not in self._sample.ranges:
            return False
        least, most = self._sample.ranges[name]
        return low <= least and most <= high

    def _is_whole(self, name: str) -> bool:
        if self._left[name].type in _WHOLE:
            return True
        values = [value for value in self._sample.rows[name] if value is not None]
        return all(value == np.floor(value) for value in values if not np.isnan(value))

    def _is_iso(self, name: str) -> bool:
        try:
            for value in self._sample.rows[name]:
                datetime.fromisoformat(value)
        except ValueError:
            return False
        return True

    def _distinct(self, name: str) -> set[Any]:
        return {value for value in self._sample.rows[name] if value is not None}


def _as_number(text: str) -> int:
    return int(text) if text.isdigit() else -1

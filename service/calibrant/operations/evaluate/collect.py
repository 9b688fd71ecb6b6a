"""Read chunks of predictions once and keep only the reduced columns that a report needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadBatch, Detail
from calibrant.numerics.calibrators.apply import calibrate, calibrate_sliced
from calibrant.numerics.calibrators.model import Calibrator, SlicedCalibrator
from calibrant.numerics.predictions import UNLABELLED, Category, Predictions
from calibrant.numerics.rows import Rows, ScoreKind, Task, derive, probabilities
from calibrant.numerics.scoring import most_confident_wrong
from calibrant.operations.evaluate.report import WrongRow

AnyCalibrator: TypeAlias = Calibrator | SlicedCalibrator
Chunks: TypeAlias = Callable[[], Iterator[Predictions]]
Progress: TypeAlias = Callable[[int, int, str], None]
"""Takes rows done, rows in all, and what is being done."""

WRONG_ROWS = 10
"""Most confident wrong rows that are kept."""

_UNLABELLED, _USED, _WEIGHTLESS = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """How to read the rows, and through which calibrator.

    Attributes
    ----------
    chunks : callable
        Returns a fresh iterator over the same chunks each time.
    n_rows : int
        Rows in all chunks.
    """

    chunks: Chunks
    n_rows: int
    task: Task
    score_kind: ScoreKind
    calibrator: AnyCalibrator | None = None

    def read(self) -> Iterator[Scored]:
        """Yield every chunk with the scores that the report is about."""
        for chunk in self.chunks():
            if not len(chunk):
                continue
            if self.calibrator is None:
                yield Scored(chunk, chunk.scores, self.score_kind)
            elif isinstance(self.calibrator, SlicedCalibrator):
                scores, n_fallback = calibrate_sliced(
                    self.calibrator, chunk.scores, score_kind=self.score_kind, slices=chunk.slices
                )
                yield Scored(chunk, scores, "probabilities", n_fallback)
            else:
                scores = calibrate(self.calibrator, chunk.scores, score_kind=self.score_kind)
                yield Scored(chunk, scores, "probabilities")


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A chunk with its scores after the calibrator, if any."""

    chunk: Predictions
    scores: NDArray[Any]
    kind: ScoreKind
    n_fallback: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """Labelled rows as columns, with what is known about the unlabelled ones.

    Attributes
    ----------
    rows : Rows, or None without a labelled row
    unlabelled : float64 array
        Scores of the rows without a label, in the view of `rows`.
    n_weightless : int
        Labelled rows of weight zero, which count for nothing.
    slices : mapping of dimension to a pair of Category
        Of labelled and of unlabelled rows, with one dictionary.
    clusters : int64 array, or None
        Cluster of every labelled row; a row without a group is a cluster of its own.
    time : pair of datetime64 arrays, or None
        Of labelled and of unlabelled rows; NaT where it is missing.
    wrong : tuple of WrongRow
    n_fallback : int
        Rows of a slice that a per-slice calibrator never saw: they got its pooled fit.
    """

    rows: Rows | None
    unlabelled: NDArray[np.float64]
    n_weightless: int
    slices: dict[str, tuple[Category, Category]]
    clusters: NDArray[np.int64] | None
    time: tuple[NDArray[np.datetime64], NDArray[np.datetime64]] | None
    wrong: tuple[WrongRow, ...]
    n_fallback: int


@dataclass(slots=True, eq=False)
class _Side:
    """What is gathered beside the rows while they stream by."""

    keep_wrong: bool
    columns: bool
    state: list[NDArray[np.int8]] = field(default_factory=list)
    unlabelled: list[NDArray[np.float64]] = field(default_factory=list)
    slices: dict[str, list[Category]] = field(default_factory=dict)
    groups: list[Category] = field(default_factory=list)
    time: list[NDArray[np.datetime64]] = field(default_factory=list)
    wrong: list[WrongRow] = field(default_factory=list)
    n_fallback: int = 0

    def add(self, chunk: Predictions, state: NDArray[np.int8]) -> None:
        """Keep the columns of one chunk."""
        self.state.append(state)
        if not self.columns:
            return
        for name, column in chunk.slices.items():
            self.slices.setdefault(name, []).append(column)
        if chunk.groups is not None:
            self.groups.append(chunk.groups)
        if chunk.time is not None:
            self.time.append(chunk.time)

    def add_wrong(
        self, chunk: Predictions, rows: Rows, index: NDArray[np.intp], first: int
    ) -> None:
        """Keep the most confident wrong rows seen so far."""
        found = most_confident_wrong(rows, WRONG_ROWS)
        for i, label, predicted, confidence in zip(
            found.index, found.label, found.predicted, found.confidence, strict=True
        ):
            place = int(index[i])
            self.wrong.append(
                WrongRow(
                    row=first + place,
                    id=None if chunk.ids is None else str(chunk.ids[place]),
                    label=int(label),
                    predicted=int(predicted),
                    confidence=float(confidence),
                )
            )
        self.wrong.sort(key=lambda row: (-row.confidence, row.row))
        del self.wrong[WRONG_ROWS:]


def collect(
    source: Source,
    *,
    keep_wrong: bool = False,
    columns: bool = True,
    progress: Progress | None = None,
) -> Collected:
    """Read all rows.

    Parameters
    ----------
    source : Source
    keep_wrong : bool
        Whether to keep the most confident wrong rows.
    columns : bool
        Whether to keep slices, groups and time; a second candidate does not need them again.
    progress : callable, optional
        Called after every chunk.

    Raises
    ------
    BadBatch
        If rows cannot be used, or every labelled row has weight zero.
    """
    side = _Side(keep_wrong, columns)
    parts = _parts(source, side, progress)
    head = list(islice(parts, 2))
    if len(head) < 2:  # the usual request: nothing to join, nothing to copy
        rows = head[0] if head else None
    else:
        rows = Rows.gather(chain(head, parts), source.n_rows)
    state = np.concatenate(side.state) if side.state else np.zeros(0, np.int8)
    used, without = state == _USED, state == _UNLABELLED
    n_weightless = int((state == _WEIGHTLESS).sum())
    if n_weightless and rows is None:
        raise BadBatch("`weights` are all zero.", [Detail("/weights", "all zero")])
    del state
    everything = bool(used.all())
    slices = {}
    while side.slices:
        name, listed = side.slices.popitem()
        joined = listed[0] if len(listed) == 1 else Category.concat(listed)
        labelled = joined if everything else joined.take(used)
        slices[name] = (labelled, joined.take(without))
    return Collected(
        rows,
        np.concatenate(side.unlabelled) if side.unlabelled else np.zeros(0),
        n_weightless,
        dict(reversed(slices.items())),
        _clusters(side.groups, used),
        _time(side.time, used, without),
        tuple(side.wrong),
        side.n_fallback,
    )


def _parts(source: Source, side: _Side, progress: Progress | None) -> Iterator[Rows]:
    """Yield the labelled rows of each chunk, gathering everything else in `side`."""
    first = 0
    for scored in source.read():
        chunk, scores, kind = scored.chunk, scored.scores, scored.kind
        side.n_fallback += scored.n_fallback
        state = _state(chunk)
        side.add(chunk, state)
        without = state == _UNLABELLED
        if without.any():
            p = probabilities(scores, task=source.task, score_kind=kind, first_row=first)
            side.unlabelled.append((p if p.ndim == 1 else p.max(axis=1))[without])
        index = np.flatnonzero(state == _USED)
        if len(index):
            rows = _derived(source, chunk, scores, kind, index, first)
            if side.keep_wrong:
                side.add_wrong(chunk, rows, index, first)
            yield rows
        first += len(chunk)
        if progress is not None:
            progress(first, source.n_rows, "reading")


def _state(chunk: Predictions) -> NDArray[np.int8]:
    if chunk.labels is None:
        return np.full(len(chunk), _UNLABELLED, dtype=np.int8)
    state = np.where(chunk.labels == UNLABELLED, _UNLABELLED, _USED).astype(np.int8)
    if chunk.weights is not None:
        state[(chunk.weights == 0) & (state == _USED)] = _WEIGHTLESS
    return state


def _derived(
    source: Source,
    chunk: Predictions,
    scores: NDArray[Any],
    kind: ScoreKind,
    index: NDArray[np.intp],
    first: int,
) -> Rows:
    """Reduce the used rows of one chunk; errors count rows as the caller does."""
    labels, weights = chunk.labels, chunk.weights
    assert labels is not None
    if len(index) < len(chunk):
        # rows of weight zero are dropped there, and the others keep their numbers
        weights = np.zeros(len(chunk))
        weights[index] = 1.0 if chunk.weights is None else chunk.weights[index]
    rows = derive(
        scores, labels, task=source.task, score_kind=kind, weights=weights, first_row=first
    )
    return replace(rows, weights=None) if chunk.weights is None else rows


def _clusters(groups: list[Category], used: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    if not groups:
        return None
    codes = Category.concat(groups).take(used).codes.astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return codes


def _time(
    parts: list[NDArray[np.datetime64]], used: NDArray[np.bool_], without: NDArray[np.bool_]
) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64]] | None:
    if not parts:
        return None
    time = np.concatenate(parts)
    return time[used], time[without]

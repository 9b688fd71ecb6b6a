"""Labelled rows reduced to what a report needs, with every unusable row counted and refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadBatch, Detail

Task = Literal["binary", "multiclass"]
ScoreKind = Literal["probabilities", "logits"]

CLIP_EPS = 2.0**-52
"""NLL of probabilities clips them to [CLIP_EPS, 1 - CLIP_EPS]; NLL of logits is exact."""

_SMALL = 64
_PROBLEMS = 6
_KEPT = 5


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Labelled rows, one value a row; arrays have shape (n,).

    Attributes
    ----------
    task : "binary" or "multiclass"
    n_classes : int
    labels, predicted : int32 arrays
        `predicted` is the first largest class; binary: 1 where p >= 0.5.
    score : float64 array in [0, 1]
        The headline view: binary P(y=1), multiclass the top-label confidence.
    outcome : bool array
        What the score predicts: binary y == 1, multiclass predicted == label.
    nll, brier : float64 arrays
        Per row; Brier is one column for binary, summed over classes for multiclass.
    weights : float64 array of positive values, or None
    n_clipped, n_renormalised : int
        Rows whose NLL was clipped; rows whose probabilities missed 1 by more than rounding.
    """

    task: Task
    n_classes: int
    labels: NDArray[np.int32]
    predicted: NDArray[np.int32]
    score: NDArray[np.float64]
    outcome: NDArray[np.bool_]
    nll: NDArray[np.float64]
    brier: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    n_clipped: int = 0
    n_renormalised: int = 0

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the predicted class; binary: max(p, 1-p)."""
        return self.score if self.task == "multiclass" else np.maximum(self.score, 1 - self.score)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the label."""
        return self.outcome if self.task == "multiclass" else self.predicted == self.labels

    def __len__(self) -> int:
        return len(self.score)

    def take(self, index: NDArray[Any]) -> Rows:
        """Return the rows at `index` (positions or a mask); the two counts stay the batch's."""
        columns = {name: getattr(self, name)[index] for name in _COLUMNS}
        weights = None if self.weights is None else self.weights[index]
        return Rows(
            self.task,
            self.n_classes,
            **columns,
            weights=weights,
            n_clipped=self.n_clipped,
            n_renormalised=self.n_renormalised,
        )

    @classmethod
    def concat(cls, parts: Sequence[Rows]) -> Rows:
        """Join parts of one batch."""
        return parts[0] if len(parts) == 1 else cls.gather(parts, sum(map(len, parts)))

    @classmethod
    def gather(cls, parts: Iterable[Rows], n: int) -> Rows:
        """Join parts as they come, at most `n` rows in all; holds one part beside the result.

        Raises
        ------
        ValueError
            If there is no part.
        """
        columns: dict[str, NDArray[Any]] = {}
        weights: NDArray[np.float64] | None = None
        first: Rows | None = None
        size = clipped = renormalised = 0
        for part in parts:
            if first is None:
                first = part.take(np.zeros(0, dtype=np.intp))
                columns = {name: np.empty(n, getattr(part, name).dtype) for name in _COLUMNS}
                weights = None if part.weights is None else np.empty(n)
            end = size + len(part)
            for name, column in columns.items():
                column[size:end] = getattr(part, name)
            if weights is not None:
                weights[size:end] = part.weights
            size = end
            clipped += part.n_clipped
            renormalised += part.n_renormalised
        if first is None:
            message = "there is no part to join"
            raise ValueError(message)
        return cls(
            first.task,
            first.n_classes,
            **{name: column[:size] for name, column in columns.items()},
            weights=None if weights is None else weights[:size],
            n_clipped=clipped,
            n_renormalised=renormalised,
        )


_COLUMNS = ("labels", "predicted", "score", "outcome", "nll", "brier")


def derive(
    scores: NDArray[Any],
    labels: NDArray[Any],
    *,
    task: Task,
    score_kind: ScoreKind,
    weights: NDArray[Any] | None = None,
    first_row: int = 0,
) -> Rows:
    """Check a labelled batch and reduce it to one value a row, in one pass over the scores.

    Parameters
    ----------
    scores : float array of shape (n,), (n, 1) or (n, 2) for binary, (n, k) for multiclass
        One binary number a row is P(y=1) or its log-odds. Two columns are both classes: as
        logits their difference counts.
    labels : integer array of shape (n,)
        All known, 0..k-1.
    task : {"binary", "multiclass"}
    score_kind : {"probabilities", "logits"}
        Never guessed from values.
    weights : float array of shape (n,), optional
        Non-negative, not all zero; rows of weight zero are dropped first.
    first_row : int
        Number of the first row, added to the row numbers in errors.

    Returns
    -------
    Rows
        Without the rows of weight zero.

    Raises
    ------
    BadBatch
        With counts and the first row numbers, if the batch is empty, shapes differ, a score is
        NaN, +inf or outside its range, a row of probabilities is off 1 by more than
        1e-6 + min(k * eps, 0.01), a label is outside 0..k-1 or belongs to a masked class (-inf),
        a whole row is masked, or weights are negative, NaN or all zero.

    Examples
    --------
    >>> rows = derive(np.array([0.9, 0.2]), np.array([1, 1]), task="binary",
    ...               score_kind="probabilities")
    >>> rows.brier.round(3).tolist(), rows.predicted.tolist()
    ([0.01, 0.64], [1, 0])
    """
    array = np.atleast_1d(scores)
    integers = _integer_labels(labels, len(array))
    kept, used = _usable_weights(weights, len(array), first_row)
    if kept is not None:
        array, integers = array[kept], _read_only(integers[kept])
    if not len(array):
        raise BadBatch("The batch has no rows.", [Detail("/scores", "0 rows")])
    numbering = _Numbering(first_row, kept)
    matrix, k, eps = _shaped(array, task, score_kind, numbering)
    if task == "binary":
        return _derive_binary(matrix, integers, score_kind, used, numbering, pair=_is_pair(array))
    return _derive_multiclass(matrix, integers, k, score_kind, used, numbering, eps)


def probabilities(
    scores: NDArray[Any], *, task: Task, score_kind: ScoreKind, first_row: int = 0
) -> NDArray[np.float64]:
    """Check scores and return them as probabilities.

    Parameters
    ----------
    scores, task, score_kind, first_row
        As in `derive`.

    Returns
    -------
    float64 array of shape (n,) for binary, P(y=1); (n, k) for multiclass, rows that sum to 1

    Raises
    ------
    BadBatch
        As in `derive`.
    """
    numbering = _Numbering(first_row, None)
    matrix, k, eps = _shaped(np.atleast_1d(scores), task, score_kind, numbering)
    if task == "binary":
        # Labels that no score makes impossible, so that only the scores are judged.
        likely = _read_only((matrix == np.inf).astype(np.int64))
        pair = _is_pair(np.asarray(scores))
        return _derive_binary(matrix, likely, score_kind, None, numbering, pair=pair).score
    return _probability_rows(matrix, k, eps, score_kind, numbering)


def _probability_rows(
    matrix: NDArray[Any], k: int, eps: float, score_kind: ScoreKind, number: _Numbering
) -> NDArray[np.float64]:
    """Return checked rows of k probabilities."""
    from calibrant.numerics.kernels import rows as kernels

    out, problems = np.empty(matrix.shape), _Problems()
    if score_kind == "logits":
        kernels.softmax(matrix, out, problems.found, problems.first)
    else:
        kernels.normalise(matrix, _tolerance(k, eps), out, problems.found, problems.first)
    problems.refuse(number, k)
    return out


class _Numbering:
    """Turns positions in the kept rows into row numbers of the caller's batch."""

    def __init__(self, first_row: int, kept: NDArray[np.intp] | None) -> None:
        self.first_row, self.kept = first_row, kept

    def __call__(self, position: int) -> int:
        return self.first_row + (position if self.kept is None else int(self.kept[position]))


class _Problems:
    """Counts of unusable rows per problem, and the first few of each."""

    def __init__(self) -> None:
        self.found = np.zeros(_PROBLEMS, dtype=np.int64)
        self.first = np.zeros((_PROBLEMS, _KEPT), dtype=np.int64)

    def refuse(self, number: _Numbering, k: int) -> None:
        """Raise `BadBatch` if anything was found."""
        if not self.found.any():
            return
        texts = (
            ("/scores", "not a finite number"),
            ("/scores", "outside [0, 1]"),
            ("/scores", "probabilities that do not sum to 1"),
            ("/labels", f"outside 0..{k - 1}"),
            ("/labels", "the label's score is -inf, a masked class"),
            ("/scores", "every score is -inf"),
        )
        details = [
            _rows_detail(pointer, text, int(count), [number(int(row)) for row in rows[:count]])
            for (pointer, text), count, rows in zip(texts, self.found, self.first, strict=True)
            if count
        ]
        total = int(self.found.sum())
        raise BadBatch(f"{total} row{'s' if total != 1 else ''} cannot be used.", details)


def _rows_detail(pointer: str, text: str, count: int, rows: list[int]) -> Detail:
    shown = ", ".join(map(str, rows)) + (", ..." if count > len(rows) else "")
    where = f"row {shown}" if count == 1 else f"rows {shown}"
    return Detail(pointer, f"{count} row{'s' if count != 1 else ''}: {text} ({where}, from 0)")


def _shaped(
    array: NDArray[Any], task: Task, score_kind: ScoreKind, number: _Numbering
) -> tuple[NDArray[Any], int, float]:
    """Return float scores in their canonical shape, the number of classes and the epsilon."""
    eps = float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 2.0**-52
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    if task == "multiclass":
        if array.ndim != 2 or array.shape[1] < 2:
            raise BadBatch(
                "Multiclass scores are rows of at least two classes.",
                [Detail("/scores", f"shape {array.shape}; expected (n, k)")],
            )
        return _read_only(array), array.shape[1], eps
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if _is_pair(array):
        return _read_only(_two_columns(array, eps, score_kind, number)), 2, eps
    if array.ndim != 1:
        raise BadBatch(
            "Binary scores are one number a row.",
            [Detail("/scores", f"shape {array.shape}; expected (n,), (n, 1) or (n, 2)")],
        )
    return _read_only(array), 2, eps


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous read-only view, so that kernels meet one kind of array only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _is_pair(array: NDArray[Any]) -> bool:
    return array.ndim == 2 and array.shape[1] == 2


def _two_columns(
    array: NDArray[Any], eps: float, score_kind: ScoreKind, number: _Numbering
) -> NDArray[np.float64]:
    """Reduce both classes' scores to one number a row."""
    matrix = _read_only(array)
    both = _probability_rows(matrix, 2, eps, score_kind, number)  # checks the rows, too
    if score_kind == "probabilities":
        return np.ascontiguousarray(both[:, 1])
    # A masked class leaves the other one certain: the difference is infinite.
    wide = matrix.astype(np.float64)
    return wide[:, 1] - wide[:, 0]


def _integer_labels(labels: NDArray[Any], n: int) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != (n,):
        raise BadBatch(
            "`labels` must have one entry a row.",
            [Detail("/labels", f"shape {array.shape}; expected ({n},)")],
        )
    if array.dtype.kind not in "iub":
        if array.dtype.kind != "f":
            raise BadBatch(
                "`labels` must be integers.", [Detail("/labels", "not a column of integers")]
            )
        # A fraction, NaN or infinity is no class: -2 is refused with its row number.
        whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2**31)
        return _read_only(np.where(whole, np.where(whole, array, 0), -2).astype(np.int64))
    if array.dtype == np.uint64:
        array = np.minimum(array, np.uint64(2**62))
    return _read_only(array.astype(np.int64, copy=False))


def _usable_weights(
    weights: NDArray[Any] | None, n: int, first_row: int
) -> tuple[NDArray[np.intp] | None, NDArray[np.float64] | None]:
    """Return the positions to keep (None: all) and their weights."""
    if weights is None:
        return None, None
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (n,):
        raise BadBatch(
            "`weights` must have one entry a row.",
            [Detail("/weights", f"shape {array.shape}; expected ({n},)")],
        )
    bad = np.flatnonzero(~(array >= 0) | np.isinf(array))
    if len(bad):
        rows = [first_row + int(row) for row in bad[:_KEPT]]
        raise BadBatch(
            "`weights` must be finite and not negative.",
            [_rows_detail("/weights", "negative or not finite", len(bad), rows)],
        )
    positive = np.flatnonzero(array > 0)
    if n and not len(positive):
        raise BadBatch("`weights` are all zero.", [Detail("/weights", "all zero")])
    if len(positive) == n:
        return None, np.ascontiguousarray(array)
    return positive, array[positive]


def _tolerance(k: int, eps: float) -> float:
    return 1e-6 + min(k * eps, 0.01)


def _derive_binary(
    scores: NDArray[Any],
    labels: NDArray[np.int64],
    score_kind: ScoreKind,
    weights: NDArray[np.float64] | None,
    number: _Numbering,
    *,
    pair: bool,
) -> Rows:
    from calibrant.numerics.kernels import rows as kernels

    n, problems, clipped = len(scores), _Problems(), 0
    score, nll, brier = np.empty((3, n))  # one piece: the allocator keeps it for the next batch
    args = (scores, labels, score, nll, brier, problems.found, problems.first)
    if score_kind == "logits":
        kernels.binary_logits(*args, pair)
    else:
        clipped = int(kernels.binary_probabilities(*args))
    problems.refuse(number, 2)
    return Rows(
        "binary",
        2,
        labels=labels.astype(np.int32),
        predicted=(score >= 0.5).astype(np.int32),
        score=score,
        outcome=labels == 1,
        nll=nll,
        brier=brier,
        weights=weights,
        n_clipped=clipped,
    )


def _derive_multiclass(
    scores: NDArray[Any],
    labels: NDArray[np.int64],
    k: int,
    score_kind: ScoreKind,
    weights: NDArray[np.float64] | None,
    number: _Numbering,
    eps: float,
) -> Rows:
    from calibrant.numerics.kernels import rows as kernels

    n, problems, counts = len(scores), _Problems(), np.zeros(2, dtype=np.int64)
    score, nll, brier = np.empty((3, n))  # one piece: the allocator keeps it for the next batch
    predicted = np.empty(n, dtype=np.int32)
    out = (score, predicted, nll, brier, problems.found, problems.first)
    if score_kind == "logits":
        if k <= _SMALL:
            kernels.logits_small(scores, labels, *out)
        else:
            kernels.logits_large(scores, *_signed_bits(scores), labels, *out)
    else:
        limits = (labels, _tolerance(k, eps), k * eps)
        if k <= _SMALL:
            kernels.probabilities_small(scores, *limits, *out, counts)
        else:
            kernels.probabilities_large(scores, *_unsigned_bits(scores), *limits, *out, counts)
    problems.refuse(number, k)
    return Rows(
        "multiclass",
        k,
        labels=labels.astype(np.int32),
        predicted=predicted,
        score=score,
        outcome=predicted == labels,
        nll=nll,
        brier=brier,
        weights=weights,
        n_clipped=int(counts[0]),
        n_renormalised=int(counts[1]),
    )


def _signed_bits(scores: NDArray[Any]) -> tuple[NDArray[Any], Any, Any, Any]:
    """Return scores as signed integers, the sign's place, all other bits, and +inf's bits."""
    kind = np.dtype(f"i{scores.itemsize}").type
    infinite = np.array(np.inf, dtype=scores.dtype).view(kind)[()]
    return scores.view(kind), kind(8 * scores.itemsize - 1), kind(np.iinfo(kind).max), infinite


def _unsigned_bits(scores: NDArray[Any]) -> tuple[NDArray[Any], Any]:
    """Return scores as unsigned integers, and the bits of 1."""
    kind = np.dtype(f"u{scores.itemsize}").type
    return scores.view(kind), np.array(1.0, dtype=scores.dtype).view(kind)[()]

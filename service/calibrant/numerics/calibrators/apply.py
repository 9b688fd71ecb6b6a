"""Scores in, calibrated probabilities out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadBatch, Detail
from calibrant.numerics import rows
from calibrant.numerics.calibrators import maps
from calibrant.numerics.calibrators.model import TINY, Calibrator, ScoreKind, SlicedCalibrator, Task
from calibrant.numerics.predictions import Category

POOLED, UNKNOWN = -1, -2
"""Member numbers of a slice whose fit stayed pooled, and of one never seen."""

Slices = Mapping[str, "Category | Sequence[str | None]"]


class Compiled:
    """A calibrator whose parameters are bound to compiled kernels: the serving path.

    Calling it with one row costs a few microseconds. Instances may be shared by threads.
    """

    __slots__ = ("_logits", "_probabilities", "_tolerances", "n_classes", "task")

    def __init__(self, calibrator: Calibrator) -> None:
        self.task, self.n_classes = calibrator.task, calibrator.n_classes
        run = maps.binary_run if self.task == "binary" else maps.multiclass_run
        self._logits = run(calibrator, "logits")
        self._probabilities = run(calibrator, "probabilities")
        k = self.n_classes
        self._tolerances = {
            np.dtype(kind).itemsize: 1e-6 + min(k * float(np.finfo(kind).eps), 0.01)
            for kind in (np.float16, np.float32, np.float64)
        }

    def __call__(self, scores: NDArray[Any], score_kind: ScoreKind) -> NDArray[np.float64]:
        """Return calibrated probabilities, as `calibrate` does.

        Parameters
        ----------
        scores : array of shape (n,), (n, 1) or (n, 2) for binary, (n, k) for multiclass
        score_kind : {"probabilities", "logits"}

        Returns
        -------
        float64 array of shape (n,) for binary, (n, k) for multiclass

        Raises
        ------
        BadBatch
            If a row cannot be used.
        """
        self._check_shape(scores)
        run = self._logits if score_kind == "logits" else self._probabilities
        tolerance = self._tolerances.get(scores.dtype.itemsize, self._tolerances[8])
        try:
            found, bad = run(scores, tolerance)
        except TypeError:  # not a contiguous float32 or float64 array
            found, bad = run(_contiguous(scores), tolerance)
        if bad:
            raise _problem(scores, self.task, score_kind)
        return found

    def _check_shape(self, scores: NDArray[Any]) -> None:
        """Refuse a wrong number of columns and an empty batch."""
        width = scores.shape[1] if scores.ndim == 2 else 1
        if self.task == "binary":
            fits = scores.ndim == 1 or (scores.ndim == 2 and 1 <= width <= 2)
            expected = "(n,), (n, 1) or (n, 2)"
        else:
            fits, expected = scores.ndim == 2 and width == self.n_classes, f"(n, {self.n_classes})"
        if not fits:
            raise BadBatch(
                "`scores` do not have the shape that this calibrator reads.",
                [Detail("/scores", f"shape {scores.shape}; expected {expected}")],
            )
        if not len(scores):
            raise BadBatch("The batch has no rows.", [Detail("/scores", "0 rows")])


class CompiledSliced:
    """A per-slice calibrator bound to compiled kernels."""

    __slots__ = ("_arrays", "_index", "_pooled", "dimensions", "n_classes", "task")

    def __init__(self, calibrator: SlicedCalibrator) -> None:
        self.task, self.n_classes = calibrator.task, calibrator.n_classes
        self.dimensions = calibrator.dimensions
        self._pooled = Compiled(calibrator.pooled)
        used = [m for m in calibrator.members.values() if m.kind != "identity"]
        names = ("a", "b") if self.task == "binary" else ("scale", "bias")
        shape = (-1,) if self.task == "binary" else (-1, self.n_classes)
        self._arrays = (
            *(
                np.array([m.params[name] for m in used], dtype=np.float64).reshape(shape)
                for name in names
            ),
            np.array([m.uniform_mix for m in used], dtype=np.float64),
        )
        numbers = iter(range(len(used)))
        self._index = {
            key: POOLED if member.kind == "identity" else next(numbers)
            for key, member in calibrator.members.items()
        }

    def __call__(
        self, scores: NDArray[Any], score_kind: ScoreKind, slices: Slices
    ) -> tuple[NDArray[np.float64], int]:
        """Return calibrated probabilities and how many rows fell back to the pooled fit.

        Parameters
        ----------
        scores, score_kind
            As for `Compiled`.
        slices : mapping of dimension to Category or texts, one value a row
            Must hold the calibrator's dimensions; others are ignored. A row with a missing value
            or of a slice never seen in fitting falls back.

        Raises
        ------
        BadBatch
            If a row cannot be used, a dimension is missing, or lengths differ.
        """
        found = self._pooled(scores, score_kind)
        member = self.members_of(slices, len(found))
        self.correct(found, member)
        return found, int(np.count_nonzero(member == UNKNOWN))

    def correct(self, pooled: NDArray[np.float64], member: NDArray[np.int32]) -> None:
        """Replace pooled probabilities by those of their member; a negative one changes nothing."""
        from calibrant.numerics.kernels import affine, softmax

        if self.task == "binary":
            affine.affine_by_member(pooled, member, *self._arrays)
        else:
            scale, bias, mix = self._arrays
            softmax.affine_by_member(pooled, member, scale, bias, TINY, mix)

    def member(self, key: tuple[str, ...]) -> int:
        """Return the member number of a slice, `POOLED` or `UNKNOWN`."""
        return self._index.get(key, UNKNOWN)

    def members_of(self, slices: Slices, n: int) -> NDArray[np.int32]:
        """Return each row's member number, `POOLED` or `UNKNOWN`."""
        columns = []
        for name in self.dimensions:
            column = slices.get(name)
            if column is None:
                raise BadBatch(
                    "A slice column that the calibrator reads is missing.",
                    [Detail(f"/slices/{name}", "is missing")],
                )
            if len(column.codes if isinstance(column, Category) else column) != n:
                raise BadBatch(
                    "`slices` must have one entry a row.",
                    [Detail(f"/slices/{name}", f"expected {n} entries")],
                )
            columns.append(column)
        index = self._index
        if (found := _by_codes(columns, index)) is not None:
            return found
        texts = [_texts(column) for column in columns]
        members = [index.get(key, UNKNOWN) for key in zip(*texts, strict=True)]
        return np.array(members, dtype=np.int32)


def calibrate(
    calibrator: Calibrator, scores: NDArray[Any], *, score_kind: ScoreKind
) -> NDArray[np.float64]:
    """Return calibrated probabilities.

    Parameters
    ----------
    calibrator : Calibrator
    scores : array of shape (n,), (n, 1) or (n, 2) for binary, (n, k) for multiclass
        One binary number a row is P(y=1) or its log-odds; of two columns of logits the
        difference counts. A logit may be -inf: a masked class, whose probability is 0 before
        `uniform_mix`.
    score_kind : {"probabilities", "logits"}
        Never guessed from values.

    Returns
    -------
    float64 array of shape (n,) for binary, P(y=1); (n, k) for multiclass

    Raises
    ------
    BadBatch
        With counts and first row numbers, if the batch is empty or of the wrong shape, a score is
        NaN, +inf or outside its range, every logit of a row is -inf, or a row of probabilities is
        off 1 by more than 1e-6 + min(k * eps, 0.01).

    Examples
    --------
    >>> halved = Calibrator("temperature", "binary", 2, {"temperature": 2.0})
    >>> calibrate(halved, np.array([0.0, 2.0]), score_kind="logits").round(4).tolist()
    [0.5, 0.7311]
    """
    return Compiled(calibrator)(np.asarray(scores), score_kind)


def calibrate_sliced(
    calibrator: SlicedCalibrator, scores: NDArray[Any], *, score_kind: ScoreKind, slices: Slices
) -> tuple[NDArray[np.float64], int]:
    """Return calibrated probabilities and how many rows fell back to the pooled fit.

    Parameters
    ----------
    calibrator : SlicedCalibrator
    scores, score_kind
        As for `calibrate`.
    slices : mapping of dimension to Category or texts
        As for `CompiledSliced`.

    Returns
    -------
    probabilities : float64 array
        As from `calibrate`.
    n_fallback : int
        Rows of a slice that was never seen in fitting, or with a missing value.

    Raises
    ------
    BadBatch
        As `calibrate`; also if a dimension is missing or lengths differ.
    """
    return CompiledSliced(calibrator)(np.asarray(scores), score_kind, slices)


@overload
def compiled(calibrator: Calibrator) -> Compiled: ...
@overload
def compiled(calibrator: SlicedCalibrator) -> CompiledSliced: ...
def compiled(calibrator: Calibrator | SlicedCalibrator) -> Compiled | CompiledSliced:
    """Bind a calibrator to compiled kernels, for calls that come one row at a time."""
    if isinstance(calibrator, SlicedCalibrator):
        return CompiledSliced(calibrator)
    return Compiled(calibrator)


def venn_abers_bounds(
    calibrator: Calibrator, scores: NDArray[Any], *, score_kind: ScoreKind
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two probabilities between which Venn-Abers prediction lies.

    Parameters
    ----------
    calibrator : Calibrator
        Binary, of kind `venn_abers`.
    scores, score_kind
        As for `calibrate`.

    Returns
    -------
    low, high : float64 arrays of shape (n,)
        Their difference is the width; wide means few rows near this score.

    Raises
    ------
    BadBatch
        As `calibrate`.
    """
    from calibrant.numerics.kernels import curve

    p = calibrate(Calibrator("identity", "binary", 2), scores, score_kind=score_kind)
    low, high = np.empty(len(p)), np.empty(len(p))
    x0, p0, x1, p1 = (maps.read_only(calibrator.params[name]) for name in ("x0", "p0", "x1", "p1"))
    curve.venn_abers_bounds(p, x0, p0, x1, p1, low, high)
    return low, high


def warm() -> None:
    """Load every serving kernel (from the cache on disk after the first time)."""
    for name in ("affine", "curve", "softmax"):
        import_module(f"calibrant.numerics.kernels.{name}")  # signatures compile them


def _by_codes(
    columns: Sequence[Category | Sequence[str | None]], index: Mapping[tuple[str, ...], int]
) -> NDArray[np.int32] | None:
    """Look members up by dictionary codes, a row's codes read as one mixed-radix number.

    None if a column is not encoded or the numbers would not fit.
    """
    encoded = [column for column in columns if isinstance(column, Category)]
    sizes = [len(column.values) + 1 for column in encoded]
    if len(encoded) < len(columns) or math.prod(sizes) >= 2**62:
        return None
    row = np.zeros(len(encoded[0].codes), dtype=np.int64)
    for column, size in zip(encoded, sizes, strict=True):
        row = row * size + (column.codes + 1)
    digits = [{text: code + 1 for code, text in enumerate(column.values)} for column in encoded]
    known = []
    for key, number in index.items():
        position = 0
        for text, size, digit in zip(key, sizes, digits, strict=True):
            position = position * size + digit[text] if text in digit else -(2**63)
        if position >= 0:
            known.append((position, number))
    if not known:
        return np.full(len(row), UNKNOWN, dtype=np.int32)
    positions, numbers = (np.array(part) for part in zip(*sorted(known), strict=True))
    at = np.minimum(np.searchsorted(positions, row), len(positions) - 1)
    return np.where(positions[at] == row, numbers[at], UNKNOWN).astype(np.int32)


def _texts(column: Category | Sequence[str | None]) -> Sequence[str | None]:
    """Return a slice column as texts."""
    if not isinstance(column, Category):
        return column
    return [column.values[code] if code >= 0 else None for code in column.codes.tolist()]


def _contiguous(scores: NDArray[Any]) -> NDArray[Any]:
    """Return scores as the kernels read them."""
    if scores.dtype.kind not in "fiu":
        raise BadBatch("Scores must be numbers.", [Detail("/scores", "not numbers")])
    kind = scores.dtype if scores.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return np.ascontiguousarray(scores, dtype=kind)


def _problem(scores: NDArray[Any], task: Task, score_kind: ScoreKind) -> BadBatch:
    """Return the error that counts what is wrong with scores that a kernel refused."""
    try:
        rows.probabilities(scores, task=task, score_kind=score_kind)
    except BadBatch as found:
        return found
    return BadBatch("A row of scores cannot be used.", [Detail("/scores", "not usable")])

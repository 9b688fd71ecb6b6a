"""Labelled scores as fits read them: checked once, on whichever axis a kind needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadBatch, Detail
from calibrant.numerics import rows
from calibrant.numerics.calibrators.model import TINY, ScoreKind, Task

Float64 = NDArray[np.float64]
ALL = np.empty(0)
"""Stands for unit weights."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the logits show before anything is fitted.

    Attributes
    ----------
    constant : bool
        All rows have the same logits, up to a shift.
    attained : bool
        Every label attains its row's maximum.
    flat_slope : float
        Weighted mean derivative of the loss in 1/T at 1/T = 0; it is negative if the scores rank
        labels better than chance.
    scale : float
        Weighted root mean square of the finite distances to the row maximum; 1 if all are 0.
    loss : float
        Weighted mean negative log likelihood of the logits as they are.
    """

    constant: bool
    attained: bool
    flat_slope: float
    scale: float
    loss: float


@dataclass(frozen=True, eq=False)
class Data:
    """Labelled rows with positive weights.

    Attributes
    ----------
    task, n_classes, score_kind
        As for `fit`.
    scores : float32 or float64 array of shape (n,) for binary, (n, k) for multiclass
    labels : int64 array of shape (n,)
    weights : float64 array of shape (n,), or `ALL`
    """

    task: Task
    n_classes: int
    score_kind: ScoreKind
    scores: NDArray[Any]
    labels: NDArray[np.int64]
    weights: Float64

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""
        return self.weights.size > 0

    @cached_property
    def weight_sum(self) -> float:
        """Sum of the weights."""
        return float(self.weights.sum()) if self.weighted else float(len(self))

    @property
    def size(self) -> float:
        """Rows as penalties, floors and priors count them.

        The weight sum, so that an integer weight equals a repetition, but at least the number of
        rows, so that weights of another scale cannot make a prior swallow the data.
        """
        return max(self.weight_sum, float(len(self)))

    def take(self, index: NDArray[Any]) -> Data:
        """Return the rows at `index` (positions or a mask)."""
        part = Data(
            self.task,
            self.n_classes,
            self.score_kind,
            np.ascontiguousarray(self.scores[index]),
            self.labels[index],
            self.weights[index] if self.weighted else ALL,
        )
        if self.score_kind == "probabilities" and "logits" in self.__dict__:
            part.__dict__["logits"] = np.ascontiguousarray(self.logits[index])
        return part

    @cached_property
    def logits(self) -> NDArray[Any]:
        """Log-odds of shape (n,), or logits of shape (n, k).

        From probabilities: `log p`, with p held to [EPS, 1 - EPS] (binary) or to at least TINY.
        """
        if self.score_kind == "logits":
            return self.scores
        from calibrant.numerics.kernels import affine, softmax

        found = np.empty(self.scores.shape)
        if self.task == "binary":
            bad = affine.logits_of(self.scores, found)
        else:
            bad = softmax.log_of(self.scores, self._tolerance, TINY, found)
        if bad:
            self.refuse()
        return found

    @cached_property
    def probabilities(self) -> Float64:
        """Uncalibrated probabilities, P(y=1) of shape (n,) or rows of shape (n, k)."""
        from calibrant.numerics.kernels import affine, softmax

        found = np.empty(self.scores.shape)
        if self.task == "binary" and self.score_kind == "logits":
            bad = affine.affine_sigmoid(self.scores, 1.0, 0.0, True, 0.0, found)
        elif self.task == "binary":
            bad = affine.probabilities_of(self.scores, 0.0, found)
        elif self.score_kind == "logits":
            bad = softmax.scaled(self.scores, 1.0, 0.0, found)
        else:
            bad = softmax.normalised(self.scores, self._tolerance, 0.0, found)
        if bad:
            self.refuse()
        return found

    @cached_property
    def constant(self) -> bool:
        """Whether all rows have the same scores, up to a shift of logits."""
        if self.task == "binary":
            return bool(self.scores.min() == self.scores.max())
        return self.survey.constant

    @cached_property
    def loss(self) -> float:
        """Mean negative log likelihood of the uncalibrated scores; refuses unusable rows.

        Exact for logits; from probabilities p is held as in `logits`.

        Raises
        ------
        BadBatch
            With counts and first row numbers.
        """
        if self.task == "binary" and self.score_kind == "probabilities":
            from calibrant.numerics.kernels import affine

            total = affine.loss_of(self.scores, self.labels, self.weights)
            if np.isnan(total):
                self.refuse()
            return float(total) / self.weight_sum
        return self.survey.loss

    @cached_property
    def survey(self) -> Survey:
        """What the logits show; refuses rows that cannot be used.

        Raises
        ------
        BadBatch
            With counts and first row numbers.
        """
        from calibrant.numerics.kernels import temperature

        survey = temperature.survey_binary if self.task == "binary" else temperature.survey_rows
        constant, attained, slope, square, count, loss = survey(
            self.logits, self.labels, self.weights
        )
        if np.isnan(square) or not np.isfinite(slope):
            self.refuse()
        scale = float(np.sqrt(square / count)) if count and square > 0 else 1.0
        total = self.weight_sum
        return Survey(constant, attained, slope / total, scale, loss / total)

    def refuse(self) -> None:
        """Raise the error that counts what is wrong with the scores."""
        rows.derive(self.scores, self.labels, task=self.task, score_kind=self.score_kind)
        raise BadBatch("A row cannot be used.", [Detail("/scores", "not usable")])

    @property
    def _tolerance(self) -> float:
        return 1e-6 + min(self.n_classes * float(np.finfo(self.scores.dtype).eps), 0.01)

    def one_vs_rest(self, label: int) -> Data:
        """Return the binary data of one class against the others."""
        yes = (self.labels == label).astype(np.int64)
        part = Data("binary", 2, "logits", self.class_logits[label], yes, self.weights)
        part.__dict__["probabilities"] = np.ascontiguousarray(self.probabilities[:, label])
        return part

    @cached_property
    def class_logits(self) -> Float64:
        """Log-odds of each class against the rest, shape (k, n)."""
        from calibrant.numerics.kernels import affine, softmax

        found = np.empty(self.scores.shape[::-1])
        if self.score_kind == "logits":
            softmax.class_logits(self.scores, found)
        else:
            softmax.class_columns(self.probabilities, found)
            affine.logits_of(found.reshape(-1), found.reshape(-1))
        return found


def read(
    scores: NDArray[Any],
    labels: NDArray[Any],
    *,
    task: Task,
    score_kind: ScoreKind,
    weights: NDArray[Any] | None = None,
) -> Data:
    """Check a labelled batch and bring it into the shape that fits read.

    Parameters
    ----------
    scores : array of shape (n,), (n, 1) or (n, 2) for binary, (n, k) for multiclass
        Of two binary columns of logits the difference counts.
    labels : integer array of shape (n,)
        All known, 0..k-1.
    task : {"binary", "multiclass"}
    score_kind : {"probabilities", "logits"}
        Never guessed from values.
    weights : array of shape (n,), optional
        Non-negative, not all zero; rows of weight zero are dropped.

    Returns
    -------
    Data
        Values are checked when they are first used.

    Raises
    ------
    BadBatch
        If shapes, labels or weights cannot be used.
    """
    scores = np.asarray(scores)
    narrow = task == "binary" and scores.ndim == 2 and scores.shape[1] in {1, 2}
    if scores.ndim != 1 + (task == "multiclass") and not narrow:
        expected = "(n, k)" if task == "multiclass" else "(n,), (n, 1) or (n, 2)"
        raise BadBatch(
            "`scores` do not have the shape that the task needs.",
            [Detail("/scores", f"shape {scores.shape}; expected {expected}")],
        )
    if narrow:
        narrow = scores.shape[1] == 2  # their difference may be infinite: a masked class
        scores = _one_column(scores, score_kind)
    k = 2 if task == "binary" else scores.shape[1]
    if k < 2 or scores.dtype.kind not in "fiu":
        raise BadBatch(
            "Scores must be numbers, of two classes or more.", [Detail("/scores", "unusable")]
        )
    if not len(scores):
        raise BadBatch("The batch has no rows.", [Detail("/scores", "0 rows")])
    if task == "binary" and score_kind == "logits" and not narrow and not scores.max() < np.inf:
        rows.probabilities(scores, task=task, score_kind=score_kind)
    checked = _labels(labels, len(scores), k)
    held = _weights(weights, len(scores))
    kind = scores.dtype if scores.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    data = Data(task, k, score_kind, np.ascontiguousarray(scores, dtype=kind), checked, held)
    return data.take(held > 0) if data.weighted and (held == 0).any() else data


def _one_column(scores: NDArray[Any], score_kind: ScoreKind) -> NDArray[Any]:
    """Reduce (n, 1) and (n, 2) to one number a row."""
    if scores.shape[1] == 1:
        return scores[:, 0]
    if score_kind == "probabilities":
        return rows.probabilities(scores, task="binary", score_kind=score_kind)
    wide = scores.astype(np.float64)
    bad = np.isnan(wide).any(axis=1) | (wide == np.inf).any(axis=1) | np.isneginf(wide).all(axis=1)
    if bad.any():
        rows.probabilities(scores, task="binary", score_kind=score_kind)
    found: Float64 = wide[:, 1] - wide[:, 0]
    return found


def _labels(labels: NDArray[Any], n: int, k: int) -> NDArray[np.int64]:
    """Return checked labels."""
    labels = np.asarray(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "iub":
        raise BadBatch(
            "`labels` must be whole numbers, one a row.",
            [Detail("/labels", f"expected {n} whole numbers")],
        )
    if labels.min() < 0 or labels.max() >= k:
        outside = np.flatnonzero((labels < 0) | (labels >= k))
        shown = ", ".join(map(str, outside[:5]))
        raise BadBatch(
            f"{len(outside)} labels cannot be used.",
            [Detail("/labels", f"{len(outside)} rows: outside 0..{k - 1} (first rows {shown})")],
        )
    return np.ascontiguousarray(labels, dtype=np.int64)


def _weights(weights: NDArray[Any] | None, n: int) -> Float64:
    """Return checked weights, `ALL` for none."""
    if weights is None:
        return ALL
    weights = np.asarray(weights)
    if weights.shape != (n,) or weights.dtype.kind not in "fiub":
        raise BadBatch(
            "`weights` must be numbers, one a row.", [Detail("/weights", f"expected {n} numbers")]
        )
    held = np.ascontiguousarray(weights, dtype=np.float64)
    unusable = np.flatnonzero(~(np.isfinite(held) & (held >= 0)))
    if len(unusable):
        shown = ", ".join(map(str, unusable[:5]))
        raise BadBatch(
            f"{len(unusable)} weights cannot be used.",
            [
                Detail(
                    "/weights", f"{len(unusable)} rows: negative or not finite (first rows {shown})"
                )
            ],
        )
    if not held.any():
        raise BadBatch("All weights are zero.", [Detail("/weights", "all zero")])
    return held

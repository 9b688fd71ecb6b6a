"""Scores, tests and reports that need rows: Spiegelhalter, class-wise errors, classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics import calibration
from calibrant.numerics.edges import bin_index, equal_edges
from calibrant.numerics.ranked import average_precision, rank
from calibrant.numerics.rows import Rows
from calibrant.numerics.special import erfc
from calibrant.numerics.table import Bins, divide

Floats = NDArray[np.float64]


class ZTest(NamedTuple):
    """A standard normal statistic and its two-sided p-value."""

    z: float
    p_value: float


def spiegelhalter(score: Floats, outcome: NDArray[Any], weights: Floats | None = None) -> ZTest:
    r"""Return Spiegelhalter's test of calibration.

    .. math:: Z = \frac{\sum w (y - p)(1 - 2p)}{\sqrt{\sum w^2 (1 - 2p)^2 p (1 - p)}}

    Parameters
    ----------
    score : float array of shape (n,), in [0, 1]
        Clipped to [1e-12, 1 - 1e-12].
    outcome : bool or 0/1 array of shape (n,)
    weights : float64 array of shape (n,), optional

    Returns
    -------
    ZTest
        Two-sided. NaN where every score is 0.5, or without rows.

    References
    ----------
    .. [1] Spiegelhalter (1986), Statistics in Medicine 5.
    """
    p = np.clip(score, 1e-12, 1.0 - 1e-12)
    slant = 1.0 - 2.0 * p
    w = np.ones(len(p)) if weights is None else weights
    spread = float(np.sqrt((w**2 * slant**2 * p * (1.0 - p)).sum()))
    if not spread > 0:
        return ZTest(np.nan, np.nan)
    z = float((w * (np.asarray(outcome, dtype=np.float64) - p) * slant).sum()) / spread
    return ZTest(z, float(erfc(abs(z) / np.sqrt(2.0))))


class Classwise(NamedTuple):
    """Binary ECE of every class against the rest: always named mean or sum (a factor k)."""

    mean: float
    sum: float
    each: Floats


def classwise_ece(
    probabilities: Floats,
    labels: NDArray[Any],
    weights: Floats | None = None,
    *,
    n_bins: int = 15,
    closed: Literal["left", "right"] = "left",
) -> Classwise:
    """Return the class-wise ECE; classes that never occur count.

    Parameters
    ----------
    probabilities : float array of shape (n, k)
    labels : int array of shape (n,)
    weights : float64 array of shape (n,), optional
    n_bins : int
        Equal widths.
    closed : {"left", "right"}
        As in `edges.bin_index`.
    """
    edges = equal_edges(n_bins)
    each = np.array(
        [
            calibration.ece(
                Bins.from_rows(
                    probabilities[:, k], labels == k, weights, edges=edges, closed=closed
                )
            )[0]
            for k in range(probabilities.shape[1])
        ]
    )
    return Classwise(float(each.mean()), float(each.sum()), each)


def full_simplex_ece(
    probabilities: Floats,
    labels: NDArray[Any],
    weights: Floats | None = None,
    *,
    bins_per_class: int = 10,
    norm: Literal["total_variation", "l1"] = "total_variation",
    closed: Literal["left", "right"] = "left",
) -> float:
    """Return the calibration error of whole probability vectors.

    Rows whose classes all fall into the same bins form a cell; the error is the weighted mean
    over cells of the distance between mean probabilities and mean one-hot labels.

    Parameters
    ----------
    probabilities : float array of shape (n, k)
    labels : int array of shape (n,)
    weights : float64 array of shape (n,), optional
    bins_per_class : int
        Equal widths.
    norm : {"total_variation", "l1"}
        "l1" is twice the other.
    closed : {"left", "right"}
        As in `edges.bin_index`.

    References
    ----------
    .. [1] Widmann, Lindsten, Zachariah (2019), NeurIPS.
    """
    n, k = probabilities.shape
    if n == 0:
        return np.nan
    edges = equal_edges(bins_per_class)
    w = np.ones(n) if weights is None else weights
    cells = np.zeros(n, dtype=np.int64)
    for column in range(k):
        index = bin_index(probabilities[:, column], edges, closed=closed)
        # Renumber after every class, so that the code of a cell never overflows.
        cells = np.unique(cells * bins_per_class + index, return_inverse=True)[1]
    total = 0.0
    for column in range(k):
        gap = w * (probabilities[:, column] - (labels == column))
        total += float(np.abs(np.bincount(cells, gap)).sum())
    return total / float(w.sum()) * (0.5 if norm == "total_variation" else 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationReport:
    """How hard decisions do, per class; float64 arrays of shape (k,), NaN where undefined.

    Attributes
    ----------
    confusion : float64 array of shape (k, k)
        Weight of rows by label (first axis) and prediction.
    support : float64 array
        Weight of rows with the label.
    precision, recall, f1 : float64 arrays
        Precision is NaN for a class never predicted, recall for one that never occurs, f1 where
        there is neither.
    average_precision : float64 array, or None
        Area under precision and recall (AUPRC); None without probabilities.
    accuracy : float
    """

    confusion: Floats
    support: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    average_precision: Floats | None
    accuracy: float


def classification_report(rows: Rows, probabilities: Floats | None = None) -> ClassificationReport:
    """Return the classification report of rows.

    Parameters
    ----------
    rows : Rows
    probabilities : float array of shape (n, k), optional
        Of the same rows, for the average precision of multiclass rows; binary rows hold theirs.
    """
    k = rows.n_classes
    cell = rows.labels.astype(np.int64) * k + rows.predicted
    confusion = np.bincount(cell, rows.weights, k * k).reshape(k, k).astype(np.float64)
    hits, support, called = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return ClassificationReport(
        confusion=confusion,
        support=support,
        precision=divide(hits, called),
        recall=divide(hits, support),
        f1=divide(2.0 * hits, support + called),
        average_precision=_average_precisions(rows, probabilities),
        accuracy=float(hits.sum() / confusion.sum()),
    )


def _average_precisions(rows: Rows, probabilities: Floats | None) -> Floats | None:
    if rows.task == "binary":
        columns = [1.0 - rows.score, rows.score]
    elif probabilities is not None:
        columns = list(probabilities.T)
    else:
        return None
    return np.array(
        [
            average_precision(rank(column, rows.labels == k, rows.weights))
            for k, column in enumerate(columns)
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class WrongRows:
    """The most confident mistakes, most confident first; arrays of shape (m,)."""

    index: NDArray[np.int64]
    label: NDArray[np.int32]
    predicted: NDArray[np.int32]
    confidence: Floats


def most_confident_wrong(rows: Rows, count: int = 20) -> WrongRows:
    """Return the wrong rows with the largest confidence, ties in row order.

    Parameters
    ----------
    rows : Rows
    count : int
        At most so many.
    """
    wrong = np.flatnonzero(~rows.correct)
    confidence = rows.confidence[wrong]
    if len(wrong) > count:
        least = np.partition(confidence, len(wrong) - count)[len(wrong) - count]
        keep = confidence >= least
        wrong, confidence = wrong[keep], confidence[keep]
    index = wrong[np.argsort(-confidence, kind="stable")[:count]]
    return WrongRows(index, rows.labels[index], rows.predicted[index], rows.confidence[index])

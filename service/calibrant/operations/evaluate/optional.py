"""Metrics that are computed when asked for; each needs the rows of a slice, not only its bins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics import calibration, scoring
from calibrant.numerics.ranked import Ranked, corp, ecce, equal_mass_bins, rank
from calibrant.numerics.rows import Rows
from calibrant.numerics.smooth import smooth_ece
from calibrant.numerics.table import Bins
from calibrant.operations.evaluate.classes import macro
from calibrant.operations.evaluate.measure import number
from calibrant.operations.evaluate.report import (
    ROWS_ONLY,
    BrierDecomposition,
    ClassificationReport,
    ClassScores,
    Metrics,
)

MOST_CONFUSED = 50
"""Classes up to which the confusion matrix is in the report."""


def add_to_slices(
    metrics: Sequence[Metrics], rows: Rows, codes: NDArray[np.int32], names: Sequence[str]
) -> tuple[Metrics, ...]:
    """Return the metrics of slices with the optional ones filled in.

    Parameters
    ----------
    metrics : sequence of Metrics
        Of slice 0, 1, ...
    rows : Rows
    codes : int32 array of shape (n,)
        Slice of each row; -1: in none.
    names : sequence of str
        Optional metrics asked for.
    """
    wanted = [name for name in names if name not in ROWS_ONLY]
    if not wanted:
        return tuple(metrics)
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(metrics) + 1))
    return tuple(
        add(held, rows.take(order[ends[s] : ends[s + 1]]), wanted) for s, held in enumerate(metrics)
    )


def add(metrics: Metrics, rows: Rows, names: Sequence[str]) -> Metrics:
    """Return the metrics of one set of rows with the optional ones filled in."""
    if not len(rows):
        return metrics
    ranked = rank(rows.score, rows.outcome, rows.weights)
    found: dict[str, Any] = {}
    for name in names:
        if name in _COMPUTE:
            found.update(_COMPUTE[name](rows, ranked))
    return replace(metrics, **found)


def classification(rows: Rows, auprc: NDArray[np.float64] | None) -> ClassificationReport:
    """Return the classification report of rows; `auprc` per class where rows hold no columns."""
    found = scoring.classification_report(rows)
    areas = found.average_precision if found.average_precision is not None else auprc
    if areas is None:
        areas = np.full(rows.n_classes, np.nan)
    classes = tuple(
        ClassScores(
            label=k,
            support=float(found.support[k]),
            precision=number(found.precision[k]),
            recall=number(found.recall[k]),
            f1=number(found.f1[k]),
            auprc=number(areas[k]),
        )
        for k in range(rows.n_classes)
    )
    confusion = None
    if rows.n_classes <= MOST_CONFUSED:
        confusion = tuple(tuple(map(float, line)) for line in found.confusion)
    return ClassificationReport(
        classes=classes,
        macro_precision=number(macro(found.precision)),
        macro_recall=number(macro(found.recall)),
        macro_f1=number(macro(found.f1)),
        macro_auprc=number(macro(areas)),
        confusion=confusion,
    )


def _ece_top_label(rows: Rows, _: Ranked) -> dict[str, Any]:
    bins = Bins.from_rows(rows.confidence, rows.correct, rows.weights)
    return {"ece_top_label": number(calibration.ece(bins)[0])}


def _ece_equal_mass(_: Rows, ranked: Ranked) -> dict[str, Any]:
    return {"ece_equal_mass": number(calibration.ece(equal_mass_bins(ranked))[0])}


def _ece_classwise(rows: Rows, _: Ranked) -> dict[str, Any]:
    if rows.task == "multiclass":  # needs the columns of all classes
        return {}
    columns = np.stack([1.0 - rows.score, rows.score], axis=1)
    found = scoring.classwise_ece(columns, rows.labels, rows.weights)
    return {"ece_classwise": number(found.mean)}


def _smooth_ece(rows: Rows, _: Ranked) -> dict[str, Any]:
    return {"smooth_ece": number(smooth_ece(rows.score, rows.outcome, rows.weights).value)}


def _ecce(_: Rows, ranked: Ranked) -> dict[str, Any]:
    found = ecce(ranked)
    return {"ecce_mad": number(found.mad), "ecce_mad_p": number(found.mad_p_value)}


def _spiegelhalter(rows: Rows, _: Ranked) -> dict[str, Any]:
    found = scoring.spiegelhalter(rows.score, rows.outcome, rows.weights)
    return {"spiegelhalter_z": number(found.z), "spiegelhalter_p": number(found.p_value)}


def _brier_decomposition(rows: Rows, ranked: Ranked) -> dict[str, Any]:
    parts = calibration.murphy(Bins.from_rows(rows.score, rows.outcome, rows.weights))
    by_isotonic = corp(ranked)
    return {
        "brier_decomposition": BrierDecomposition(
            reliability=float(parts.reliability[0]),
            resolution=float(parts.resolution[0]),
            uncertainty=float(parts.uncertainty[0]),
            within_bin=float(parts.within_variance[0] - 2 * parts.within_covariance[0]),
            miscalibration=by_isotonic.miscalibration,
            discrimination=by_isotonic.discrimination,
            corp_uncertainty=by_isotonic.uncertainty,
        )
    }


_COMPUTE: dict[str, Callable[[Rows, Ranked], dict[str, Any]]] = {
    "ece_top_label": _ece_top_label,
    "ece_equal_mass": _ece_equal_mass,
    "ece_classwise": _ece_classwise,
    "smooth_ece": _smooth_ece,
    "ecce_mad": _ecce,
    "spiegelhalter_z": _spiegelhalter,
    "brier_decomposition": _brier_decomposition,
}

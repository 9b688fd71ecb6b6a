"""Load compiled kernels before the first request needs them."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np

from calibrant.numerics import logistic, ranked
from calibrant.numerics.calibrators import apply
from calibrant.numerics.rows import Rows, derive, probabilities
from calibrant.numerics.table import Bins, tabulate


def warm_all() -> None:
    """Load the kernels of reports, of serving and of fitting."""
    from calibrant.numerics import kernels

    for module in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
        importlib.import_module(module.name)
    warm()


def warm() -> None:
    """Load the kernels of reports and of serving, for every kind of array they accept.

    Compiles where there is no cache yet (half a minute of one core), loads otherwise.
    """
    apply.warm()
    labels = np.array([0, 1, 1, 0])
    weights = np.array([1.0, 2.0, 1.0, 1.0])
    for dtype in (np.float32, np.float64):
        column = np.array([0.2, 0.7, 0.4, 0.6], dtype=dtype)
        derive(column, labels, task="binary", score_kind="logits")
        _measure(derive(column, labels, task="binary", score_kind="probabilities"))
        for k in (2, 80):
            scores = np.full((4, k), 1.0 / k, dtype=dtype)
            for kind in ("logits", "probabilities"):
                derive(scores, labels, task="multiclass", score_kind=kind)
                probabilities(scores, task="multiclass", score_kind=kind)
    column = np.array([0.2, 0.7, 0.4, 0.6])
    _measure(derive(column, labels, task="binary", score_kind="probabilities", weights=weights))


def _measure(rows: Rows) -> None:
    codes = np.zeros(len(rows), dtype=np.int32)
    tabulate(rows.score, rows.outcome, rows.weights, codes=codes)
    for edges in (None, np.array([0.0, 0.3, 1.0])):
        Bins.from_rows(rows.score, rows.outcome, rows.weights, edges=edges)
    ordered = ranked.rank(rows.score, rows.outcome, rows.weights)
    ranked.auroc(ordered)
    ranked.average_precision(ordered)
    ranked.ecce(ordered)
    ranked.corp(ordered)
    ranked.auroc_by_slice(rows.score, rows.outcome, codes, 1, rows.weights)
    logistic.slope_by_slice(rows.score, rows.outcome, codes, 1, rows.weights)

"""calibrant through its public faces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from protocol import Figures, Work, answer

from calibrant.numerics import calibration
from calibrant.numerics.calibrators.apply import calibrate
from calibrant.numerics.calibrators.fit import fit
from calibrant.numerics.floor import noise_floor
from calibrant.numerics.intervals import resample
from calibrant.numerics.predictions import Category, Predictions
from calibrant.numerics.rows import ScoreKind, Task, derive
from calibrant.numerics.table import Bins, BinTable
from calibrant.operations.evaluate import EvaluateSpec, evaluate

Array = NDArray[Any]
PROBES = np.array([0.05, 0.2, 0.5, 0.8, 0.95])


def _calibration(bins: Bins) -> dict[str, float]:
    return {
        "ece": calibration.ece(bins)[0],
        "mce": calibration.mce(bins).value[0],
        "count": bins.n[0].max(),
    }


def checked(scores: Array, labels: Array, task: Task, kind: ScoreKind) -> Figures:
    """Check every row, then ECE, MCE, counts, NLL and Brier."""
    rows = derive(scores, labels, task=task, score_kind=kind)
    bins = Bins.from_rows(rows.score, rows.outcome)
    return {**_calibration(bins), "nll": rows.nll.mean(), "brier": rows.brier.mean()}


def binary(scores: Array, labels: Array) -> Work:
    """Check binary probabilities and count them."""
    return lambda: _calibration(Bins.checked(scores, labels))


def binary_rows(scores: Array, labels: Array) -> Work:
    """Measure binary probabilities with NLL and Brier."""
    return lambda: checked(scores, labels, "binary", "probabilities")


def logits(scores: Array, labels: Array) -> Work:
    """Measure multiclass logits."""
    return lambda: checked(scores, labels, "multiclass", "logits")


def probabilities(scores: Array, labels: Array) -> Work:
    """Measure multiclass probabilities, row sums checked."""
    return lambda: checked(scores, labels, "multiclass", "probabilities")


def temperature(scores: Array, labels: Array) -> Work:
    """Fit a temperature on logits."""

    def work() -> Figures:
        found = fit("temperature", scores, labels, task="multiclass", score_kind="logits")
        return {"temperature": found.calibrator.params["temperature"]}

    return work


def isotonic(scores: Array, labels: Array) -> Work:
    """Fit isotonic regression on probabilities."""

    def work() -> Figures:
        found = fit("isotonic", scores, labels, task="binary", score_kind="probabilities")
        fitted = calibrate(found.calibrator, PROBES, score_kind="probabilities")
        return {f"at_{at:g}": value for at, value in zip(PROBES, fitted, strict=True)}

    return work


def _interval(table: BinTable) -> Work:
    """Answer interval, noise floor and a bootstrap of 1,000 draws."""

    def work() -> Figures:
        bins = table.bins()
        low, high = calibration.rmsce_interval(bins)[0]
        floor = noise_floor(bins)
        draws = calibration.l2_debiased(resample(bins, 0, draws=1000))
        rows = table.rows[0]
        return {"n": rows, "low": low, "high": high, "floor": floor.mean[0], "spread": draws.std()}

    return work


def _table(scores: Array, labels: Array) -> BinTable:
    rows = derive(scores, labels, task="binary", score_kind="probabilities")
    return BinTable.from_rows(rows.score, rows.outcome)


def interval(scores: Array, labels: Array) -> Work:
    """Read the state of all rows."""
    return _interval(_table(scores, labels))


def interval_few(scores: Array, labels: Array) -> Work:
    """Read the state of a hundredth of the rows."""
    n = len(scores) // 100
    return _interval(_table(scores[:n], labels[:n]))


def interval_many(scores: Array, labels: Array) -> Work:
    """Read the state of every row a hundred times."""
    table = total = _table(scores, labels)
    for _ in range(99):
        total += table
    return _interval(total)


def report(scores: Array, labels: Array, codes: Array) -> Work:
    """Write the report with headline metrics of all rows and of every slice."""
    values = tuple(f"s{i}" for i in range(int(codes.max()) + 1))
    rows = Predictions(scores=scores, labels=labels, slices={"group": Category(codes, values)})
    spec = EvaluateSpec(task="binary", score_kind="probabilities")

    def work() -> Figures:
        made = evaluate(lambda: iter([rows]), spec, n_rows=len(rows))
        metrics = made.metrics
        return {
            "accuracy": metrics.accuracy,
            "nll": metrics.nll,
            "auroc": metrics.auroc,
            "slices": len(made.slices),
        }

    return work


answer(
    {
        "binary": binary,
        "binary_rows": binary_rows,
        "logits": logits,
        "probabilities": probabilities,
        "temperature": temperature,
        "isotonic": isotonic,
        "interval": interval,
        "interval_few": interval_few,
        "interval_many": interval_many,
        "report": report,
    },
    ["calibrant", "numpy", "numba"],
)

"""Candidates on the same rows: paired differences, which are far sharper than two reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.intervals import slice_means
from calibrant.numerics.ranked import auroc, rank
from calibrant.numerics.rows import Rows
from calibrant.operations.evaluate import optional
from calibrant.operations.evaluate.classes import by_class
from calibrant.operations.evaluate.collect import Source, collect
from calibrant.operations.evaluate.gates import PAIRED
from calibrant.operations.evaluate.measure import (
    Means,
    add_slopes,
    figures,
    measure,
    moments,
    number,
    without_losses,
)
from calibrant.operations.evaluate.names import BY_JSON
from calibrant.operations.evaluate.report import (
    CandidateReport,
    Comparison,
    Difference,
    Metrics,
    SliceDifference,
    SliceReport,
)
from calibrant.operations.evaluate.slicing import Dimension


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What a paired difference needs of one candidate; arrays of shape (n,)."""

    nll: NDArray[np.float64]
    brier: NDArray[np.float64]
    accuracy: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Rows) -> Losses:
        """Keep the losses of rows."""
        return cls(rows.nll, rows.brier, rows.correct)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A candidate whose rows have been read for the report already."""

    metrics: Metrics
    losses: Losses


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """What the candidates share: the rows' weights, clusters and slices, and what is asked for."""

    weights: NDArray[np.float64] | None
    clusters: NDArray[np.int64] | None
    dimensions: tuple[Dimension, ...]
    slices: tuple[SliceReport, ...]
    n_unlabelled: int
    optional: tuple[str, ...]
    seed: int


def compare(
    sources: Mapping[str, Source],
    baseline: str,
    paired: Paired,
    known: Mapping[str, Known],
) -> Comparison:
    """Compare candidates with a baseline.

    Parameters
    ----------
    sources : mapping of name to Source
        Every candidate, the baseline included.
    baseline : str
    paired : Paired
    known : mapping of name to Known
        Candidates that need not be read again.
    """
    first = known[baseline] if baseline in known else _read(sources[baseline], paired)
    reports = [CandidateReport(name=baseline, metrics=first.metrics, differences={}, slices=())]
    for name, source in sources.items():
        if name != baseline:
            candidate = known[name] if name in known else _read(source, paired)
            reports.append(_report(name, candidate, first, paired))
    better = [r for r in reports if r.differences and r.differences["nll"].better]
    best = min(better, key=lambda r: r.differences["nll"].value).name if better else baseline
    return Comparison(baseline=baseline, best=best, candidates=tuple(reports))


def _read(source: Source, paired: Paired) -> Known:
    """Read one candidate's rows and reduce them to its figures and losses."""
    rows = collect(source, columns=False).rows
    assert rows is not None  # the report itself found labelled rows
    losses = Losses.of(rows)
    measured = measure(rows, None, 1, clusters=paired.clusters, seed=paired.seed)
    rows = without_losses(rows)
    add_slopes(measured, rows, None, clusters=paired.clusters)
    classwise = None
    if rows.task == "binary":
        area = auroc(rank(rows.score, rows.outcome, rows.weights))
    else:
        classes = by_class(source, rows, (), more="ece_classwise" in paired.optional)
        area, classwise = classes.macro_auroc, number(classes.ece.mean())
    measured.auroc = np.array([area])
    metrics = figures(measured, [paired.n_unlabelled], seed=paired.seed)[0]
    metrics = replace(metrics, ece_classwise=classwise)
    return Known(optional.add(metrics, rows, paired.optional), losses)


def _report(name: str, candidate: Known, baseline: Known, paired: Paired) -> CandidateReport:
    columns = {
        metric: np.subtract(
            getattr(candidate.losses, metric), getattr(baseline.losses, metric), dtype=np.float64
        )
        for metric in PAIRED
    }
    overall = _means(columns, None, 1, paired)
    slices = []
    n = {s.name: s.metrics.n for s in paired.slices}
    for dimension in paired.dimensions:
        inside = _means(columns, dimension.codes, len(dimension), paired)
        slices += [
            SliceDifference(name=own, n=n[own], differences=_differences(inside, s))
            for s, own in enumerate(dimension.names)
        ]
    return CandidateReport(
        name=name,
        metrics=candidate.metrics,
        differences=_differences(overall, 0),
        slices=tuple(slices),
    )


def _means(
    columns: Mapping[str, NDArray[np.float64]],
    codes: NDArray[np.int32] | None,
    n_slices: int,
    paired: Paired,
) -> dict[str, Means]:
    if paired.clusters is None:
        return moments(dict(columns), codes, n_slices, paired.weights)
    own = np.zeros(len(paired.clusters), np.int32) if codes is None else codes
    result = {}
    for name, column in columns.items():
        found = slice_means(column, own, n_slices, paired.weights, paired.clusters)
        result[name] = Means(found.value, found.low, found.high)
    return result


def _differences(means: Mapping[str, Means], s: int) -> dict[str, Difference]:
    """Return the differences of one slice; none for a metric whose interval is unknown."""
    found = {}
    for name, mean in means.items():
        value, low, high = number(mean.value[s]), number(mean.low[s]), number(mean.high[s])
        if value is not None and low is not None and high is not None:
            found[name] = Difference(
                value=value, interval=(low, high), better=_better(name, low, high)
            )
    return found


def _better(metric: str, low: float, high: float) -> bool | None:
    if low <= 0.0 <= high:
        return None
    return (high < 0.0) == (BY_JSON[metric].better == "lower")


def candidate_names(baseline: str, candidates: Sequence[str], subject: str) -> tuple[str, ...]:
    """Return every name once: the baseline first, then the candidates and the report's own."""
    return tuple(dict.fromkeys((baseline, *candidates, subject)))

"""Figures of every class against the rest: further passes, a few class columns at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibration import ece
from calibrant.numerics.predictions import UNLABELLED
from calibrant.numerics.ranked import ascending, auroc, auroc_by_slice, average_precision, rank
from calibrant.numerics.rows import Rows, probabilities
from calibrant.numerics.table import Bins
from calibrant.operations.evaluate.collect import Source
from calibrant.operations.evaluate.slicing import Dimension

COLUMN_BYTES = 80 << 20
"""Class columns held at a time."""
MOST_CELLS = 200_000_000
"""Rows times classes up to which classes are ranked."""
MOST_SLICED_CELLS = 30_000_000
"""Rows times classes times dimensions up to which they are ranked inside slices."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ByClass:
    """One value per class, NaN for a class without rows or without others.

    Attributes
    ----------
    auroc, auprc, ece : float64 arrays of shape (k,)
        `auprc` and `ece` are all NaN unless asked for.
    sliced : tuple of float64 arrays of shape (slices,), one a dimension
        Macro AUROC of every slice; all NaN above `MOST_SLICED_CELLS`.
    """

    auroc: Floats
    auprc: Floats
    ece: Floats
    sliced: tuple[Floats, ...]

    @property
    def macro_auroc(self) -> float:
        """Mean over the classes that have one; NaN without any."""
        return macro(self.auroc)


def macro(values: Floats) -> float:
    """Return the mean of the known values; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def by_class(
    source: Source, rows: Rows, dimensions: Sequence[Dimension], *, more: bool = False
) -> ByClass:
    """Rank every class against the rest.

    Parameters
    ----------
    source : Source
        Of `rows`.
    rows : Rows
    dimensions : sequence of Dimension
        Whose slices get a macro AUROC.
    more : bool
        Whether to compute average precision and ECE too.
    """
    n, k = len(rows), rows.n_classes
    each = [np.full(k, np.nan) for _ in range(3)]
    sums = [np.zeros(len(d)) for d in dimensions]
    counts = [np.zeros(len(d)) for d in dimensions]
    if n * k <= MOST_CELLS:
        inside = n * k * len(dimensions) <= MOST_SLICED_CELLS
        for c, column in _columns(source, n, k):
            outcome = rows.labels == c
            ranked = rank(column, outcome, rows.weights)
            each[0][c] = auroc(ranked)
            if more:
                each[1][c] = average_precision(ranked)
                each[2][c] = ece(Bins.from_rows(column, outcome, rows.weights))[0]
            del ranked
            if inside:
                order = ascending(column)
                for d, dimension in enumerate(dimensions):
                    found = auroc_by_slice(
                        column, outcome, dimension.codes, len(dimension), rows.weights, order=order
                    )
                    sums[d] += np.nan_to_num(found)
                    counts[d] += np.isfinite(found)
    sliced = tuple(
        np.divide(s, m, out=np.full(len(s), np.nan), where=m > 0)
        for s, m in zip(sums, counts, strict=True)
    )
    return ByClass(each[0], each[1], each[2], sliced)


def _columns(source: Source, n: int, k: int) -> Iterator[tuple[int, Floats]]:
    """Yield the probability column of every class, reading the rows once per few classes."""
    width = max(1, min(k, COLUMN_BYTES // (8 * max(n, 1))))
    for start in range(0, k, width):
        held = np.empty((min(width, k - start), n))
        size = 0
        for scored in source.read():
            chunk = scored.chunk
            if chunk.labels is None:
                continue
            p = probabilities(scored.scores, task=source.task, score_kind=scored.kind)
            used = chunk.labels != UNLABELLED
            if chunk.weights is not None:
                used &= chunk.weights != 0
            part = p[:, start : start + width] if used.all() else p[used, start : start + width]
            held[:, size : size + len(part)] = part.T
            size += len(part)
        for place in range(len(held)):
            yield start + place, held[place]

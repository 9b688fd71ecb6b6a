"""Slices that are shown to be wrong, after correction for having looked at all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibrant.numerics.multiplicity import holm
from calibrant.operations.evaluate.gap import Gap
from calibrant.operations.evaluate.report import SliceReport, WorstSlice
from calibrant.operations.evaluate.verdict import Task, beyond, level

ALPHA = 0.05
SHOWN = 20
"""Worst slices in a report."""


def worst_slices(
    slices: Sequence[SliceReport], gaps: Sequence[Gap], *, task: Task, limit: float
) -> tuple[WorstSlice, ...]:
    """Return every slice whose simultaneous interval excludes no gap, the surest large one first.

    Parameters
    ----------
    slices : sequence of SliceReport
    gaps : sequence of Gap
        One a dimension, in the order of `slices`.
    task : {"binary", "multiclass"}
    limit : float
        Tolerance.

    Notes
    -----
    Intervals have level 1 - .05 / slices (Bonferroni) and p-values are adjusted by Holm: both
    hold whatever the dependence, and slices of several dimensions share their rows.
    """
    tested = np.array([s.metrics.n > 0 for s in slices], dtype=np.bool_)
    if not tested.any():
        return ()
    simultaneous = 1.0 - ALPHA / int(tested.sum())
    p_values = np.concatenate([gap.p_value() for gap in gaps])
    adjusted = holm(np.where(tested, p_values, np.nan))
    ends = np.concatenate([np.stack(gap.interval(simultaneous), axis=1) for gap in gaps])
    found = []
    for i, slice_ in enumerate(slices):
        interval = float(ends[i, 0]), float(ends[i, 1])
        effect = slice_.metrics.bias
        if effect is None or not tested[i] or not beyond(interval, 0.0):
            continue
        confident = "over-confident" if effect > 0 else "under-confident"
        found.append(
            WorstSlice(
                name=slice_.name,
                n=slice_.metrics.n,
                effect=effect,
                interval=interval,
                p_value=float(p_values[i]),
                p_adjusted=float(adjusted[i]),
                beyond_tolerance=beyond(interval, limit),
                direction=confident if task == "multiclass" else level(effect),
                ece=slice_.metrics.ece,
                ece_noise_floor=slice_.metrics.ece_noise_floor,
            )
        )
    # by the end nearest to no gap: a small slice is not worst by its noise
    return tuple(sorted(found, key=lambda w: -min(map(abs, w.interval))))

"""Reliability data: what pictures are drawn from later, without the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics import calibration, reliability
from calibrant.numerics.floor import noise_floor
from calibrant.numerics.table import Bins
from calibrant.operations.evaluate.measure import number
from calibrant.operations.evaluate.report import Diagram, NoiseFloor


def diagrams(
    bins: Bins,
    names: Sequence[str],
    *,
    task: Literal["binary", "multiclass"],
    stage: Literal["reported", "raw"],
    binning: Literal["equal_width", "equal_mass"] = "equal_width",
    seed: int = 0,
) -> tuple[Diagram, ...]:
    """Return the reliability data of every slice of `bins`."""
    drawn = reliability.diagram(bins)
    ece, floor = calibration.ece(bins), noise_floor(bins, seed=seed)
    edges = tuple(map(float, bins.edges))
    return tuple(
        Diagram(
            slice=name,
            stage=stage,
            binning=binning,
            view="positive" if task == "binary" else "top_label",
            edges=edges,
            n=tuple(map(int, drawn.n[s])),
            score=_column(drawn.mean_score[s]),
            rate=_column(drawn.rate[s]),
            low=_column(drawn.low[s]),
            high=_column(drawn.high[s]),
            band_low=_column(drawn.band_low[s]),
            band_high=_column(drawn.band_high[s]),
            ece=number(ece[s]),
            ece_noise_floor=_floor(floor.mean[s], floor.p95[s]),
        )
        for s, name in enumerate(names)
    )


def _column(values: NDArray[Any]) -> tuple[float | None, ...]:
    return tuple(float(v) if np.isfinite(v) else None for v in values)


def _floor(mean: float, p95: float) -> NoiseFloor | None:
    if not np.isfinite(mean) or not np.isfinite(p95):
        return None
    return NoiseFloor(mean=float(mean), p95=float(p95))

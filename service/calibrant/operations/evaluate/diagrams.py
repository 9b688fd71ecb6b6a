"""Reliability data: what pictures are drawn from later, without the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics import calibration, reliability
from calibrant.numerics.floor import noise_floor
from calibrant.numerics.table import Bins
from calibrant.operations.evaluate.report import Diagram, Metrics, NoiseFloor


def diagrams(
    bins: Bins,
    names: Sequence[str],
    *,
    task: Literal["binary", "multiclass"],
    stage: Literal["reported", "raw"],
    binning: Literal["equal_width", "equal_mass"] = "equal_width",
    seed: int = 0,
    known: Sequence[Metrics] | None = None,
) -> tuple[Diagram, ...]:
    """Return the reliability data of every slice of `bins`.

    Parameters
    ----------
    bins : Bins
    names : sequence of str
        Of the slices.
    task, stage, binning : str
        As in `Diagram`.
    seed : int
        Of the draws behind noise floors.
    known : sequence of Metrics, optional
        Of the slices, where these bins are the ones they were read from.
    """
    drawn = reliability.diagram(bins)
    figures = _figures(bins, seed) if known is None else [(m.ece, m.ece_noise_floor) for m in known]
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
            ece=figures[s][0],
            ece_noise_floor=figures[s][1],
        )
        for s, name in enumerate(names)
    )


def _column(values: NDArray[Any]) -> tuple[float | None, ...]:
    return tuple(float(v) if np.isfinite(v) else None for v in values)


def _figures(bins: Bins, seed: int) -> list[tuple[float | None, NoiseFloor | None]]:
    ece, floor = calibration.ece(bins), noise_floor(bins, seed=seed)
    return [
        (float(e), NoiseFloor(mean=float(mean), p95=float(p95))) if np.isfinite(e) else (None, None)
        for e, mean, p95 in zip(ece, floor.mean, floor.p95, strict=True)
    ]

"""What a reliability picture shows: one set of rows, or the same rows before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from calibrant.operations.evaluate.report import Diagram


@dataclass(frozen=True, slots=True)
class Series:
    """One reliability curve and what the legend calls it (empty: nothing)."""

    name: str
    diagram: Diagram

    @property
    def total(self) -> float:
        """Rows in all bins."""
        return sum(self.diagram.n)

    def points(self) -> Iterator[Point]:
        """Yield the bins that hold rows, in order of their edges."""
        data = self.diagram
        columns = (
            data.edges, data.edges[1:], data.n, data.score, data.rate,
            data.low, data.high, data.band_low, data.band_high,
        )  # fmt: skip
        for left, right, n, score, rate, low, high, *band in zip(*columns, strict=False):
            if n > 0 and score is not None and rate is not None:
                yield Point(left, right, n, score, rate, _pair(low, high), _pair(*band))


@dataclass(frozen=True, slots=True)
class Point:
    """One bin that holds rows: its ends, rows, mean score, rate, interval and band of the rate."""

    left: float
    right: float
    n: float
    score: float
    rate: float
    interval: tuple[float, float] | None
    band: tuple[float, float] | None

    @property
    def outside(self) -> bool:
        """Whether the rate lies where that of a calibrated model would not."""
        return self.band is not None and not self.band[0] <= self.rate <= self.band[1]


@dataclass(frozen=True, slots=True)
class Figure:
    """A reliability picture.

    Attributes
    ----------
    title : str
        First line; may be any text.
    series : tuple of one or more Series
        All but the last are drawn plain, the last in the accent colour.
    subtitle : str
        Second line, smaller.
    """

    title: str
    series: tuple[Series, ...]
    subtitle: str = ""

    @property
    def view(self) -> str:
        """What is scored: `positive` or `top_label`."""
        return self.series[-1].diagram.view

    @property
    def binning(self) -> str:
        """How the rows were binned: `equal_width` or `equal_mass`."""
        return self.series[-1].diagram.binning


def _pair(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)

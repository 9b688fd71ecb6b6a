"""One plot area of a reliability diagram: axes, band, curves with intervals, histogram."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from calibrant.operations.draw import words
from calibrant.operations.draw.canvas import Canvas
from calibrant.operations.draw.lettering import width
from calibrant.operations.draw.series import Figure, Point, Series

TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SMALL = 12.0
FEW_ROWS = 30
HISTOGRAM_GAP = 14.0


@dataclass(frozen=True, slots=True)
class Box:
    """Where a panel lies: the square of the plot, and the height of its histogram under it."""

    x: float
    y: float
    side: float
    histogram: float

    def at(self, score: float, rate: float) -> tuple[float, float]:
        """Return the place of a point of the unit square."""
        return self.x + score * self.side, self.y + (1.0 - rate) * self.side

    @property
    def bottom(self) -> float:
        """Lower edge of the histogram."""
        return self.y + self.side + HISTOGRAM_GAP + self.histogram


def roles(figure: Figure) -> tuple[str, ...]:
    """Return the colour of each series: the last has the accent."""
    return ("plain",) * (len(figure.series) - 1) + ("accent",)


def draw_panel(canvas: Canvas, box: Box, figure: Figure) -> None:
    """Draw the plot of a figure into `box`; axis titles and legend are the caller's."""
    _axes(canvas, box)
    _band(canvas, box, figure.series[-1])
    canvas.line(box.at(0, 0), box.at(1, 1), stroke="quiet", thick=1.2, dash="5 4")
    for series, role in zip(figure.series, roles(figure), strict=True):
        _curve(canvas, box, series, role)
    _histogram(canvas, box, figure)


def are_neighbours(left: Point, right: Point) -> bool:
    """Return whether no empty bin lies between two bins."""
    return right.left - left.right < 1e-9


def visibility(n: float, total: float) -> float:
    """Return the opacity of a bin: full from a tenth of the rows, visibly fainter below."""
    share = n / (0.1 * total) if total > 0 else 1.0
    return min(1.0, 0.3 + 0.7 * math.sqrt(share))


def _axes(canvas: Canvas, box: Box) -> None:
    canvas.rect(box.x, box.y, box.side, box.side, fill="paper")
    for tick in TICKS:
        canvas.line(box.at(tick, 0), box.at(tick, 1), stroke="line")
        canvas.line(box.at(0, tick), box.at(1, tick), stroke="line")
        x, y = box.at(tick, tick)
        label = f"{tick:g}"
        canvas.text(box.x - 7, y + SMALL * 0.36, label, size=SMALL, fill="quiet", anchor="end")
        canvas.text(x, box.bottom + SMALL + 5, label, size=SMALL, fill="quiet", anchor="middle")


def _band(canvas: Canvas, box: Box, series: Series) -> None:
    """Shade the consistency band; bins without neighbours get a bar of their own."""
    for run in _runs(series):
        if len(run) == 1:
            point, (low, high) = run[0]
            half = (point.right - point.left) / 4
            left, top = box.at(max(point.score - half, 0.0), high)
            right, bottom = box.at(min(point.score + half, 1.0), low)
            canvas.rect(left, top, right - left, bottom - top, fill="band")
            continue
        upper = [box.at(point.score, high) for point, (_, high) in run]
        lower = [box.at(point.score, low) for point, (low, _) in run]
        canvas.polygon([*upper, *reversed(lower)], fill="band")


def _runs(series: Series) -> Iterator[list[tuple[Point, tuple[float, float]]]]:
    """Yield runs of neighbouring bins that have a band, with their bands."""
    run: list[tuple[Point, tuple[float, float]]] = []
    for point in series.points():
        if point.band is None:
            continue
        if run and not are_neighbours(run[-1][0], point):
            yield run
            run = []
        run.append((point, point.band))
    if run:
        yield run


def _curve(canvas: Canvas, box: Box, series: Series, role: str) -> None:
    points = list(series.points())
    total = series.total
    for before, after in pairwise(points):
        if min(before.n, after.n) >= FEW_ROWS and are_neighbours(before, after):
            ends = box.at(before.score, before.rate), box.at(after.score, after.rate)
            canvas.line(*ends, stroke=role, thick=1.4, opacity=0.45)
    for point in points:
        opacity = visibility(point.n, total)
        if point.interval is not None:
            low, high = (box.at(point.score, end) for end in point.interval)
            canvas.line(low, high, stroke=role, thick=1.6, opacity=opacity)
        canvas.dot(
            box.at(point.score, point.rate),
            4.0,
            colour=role,
            hollow=point.n < FEW_ROWS,
            opacity=opacity,
        )


def _histogram(canvas: Canvas, box: Box, figure: Figure) -> None:
    """Draw how many rows lie where; one strip per series, all on one scale."""
    strips = len(figure.series)
    height = (box.histogram - 4 * (strips - 1)) / strips
    bars = [_bars(series, figure.binning) for series in figure.series]
    tallest = max((tall for strip in bars for _, _, tall in strip), default=0.0)
    for place, role in enumerate(roles(figure)):
        base = box.y + box.side + HISTOGRAM_GAP + height * (place + 1) + 4 * place
        canvas.line((box.x, base), (box.x + box.side, base), stroke="line")
        for left, right, value in bars[place]:
            wide = max((right - left) * box.side - 1, 0.75)
            tall = max(height * value / tallest, 0.75)
            canvas.rect(box.x + left * box.side + 0.5, base - tall, wide, tall, fill=role)
    if figure.binning == "equal_width" and tallest > 0:
        _tallest(canvas, box, tallest)


def _bars(series: Series, binning: str) -> list[tuple[float, float, float]]:
    """Return ends and height of each bar: rows, or rows per width where bins differ in width."""
    return [
        (
            point.left,
            point.right,
            point.n if binning == "equal_width" else point.n / max(point.right - point.left, 1e-3),
        )
        for point in series.points()
    ]


def _tallest(canvas: Canvas, box: Box, tallest: float) -> None:
    """Write the count of the fullest bin at the top of the first strip."""
    label = words.count(tallest)
    if width(label, SMALL) > 48:
        label = f"{tallest / 1e6:,.1f} M" if tallest >= 1e6 else f"{tallest / 1e3:,.0f} k"
    y = box.y + box.side + HISTOGRAM_GAP + SMALL * 0.8
    canvas.text(box.x - 7, y, label, size=SMALL, fill="quiet", anchor="end")

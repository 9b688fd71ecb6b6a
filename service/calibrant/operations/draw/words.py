"""Figures in words: the same sentences under a picture, in its description and in a report."""

from __future__ import annotations

from calibrant.operations.draw.series import Figure, Point, Series
from calibrant.operations.evaluate.report import NoiseFloor


def count(value: float) -> str:
    """Write a number of rows: `28,834`, or with one decimal where weights made it a fraction."""
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-9 else f"{value:,.1f}"


def decimal(value: float | None, places: int = 3) -> str:
    """Write a figure; `-` when there is none, and no negative zero."""
    if value is None:
        return "-"
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text


def signed(value: float | None, places: int = 3) -> str:
    """Write a figure with its sign."""
    if value is None:
        return "-"
    text = decimal(value, places)
    return text if text.startswith("-") or float(text) == 0 else f"+{text}"


def rows(value: float) -> str:
    """Write `1 row`, `300 rows`."""
    return f"{count(value)} row" + ("" if value == 1 else "s")


def ece_sentence(series: Series) -> str:
    """Say the calibration error together with what noise alone would show."""
    ece, floor = series.diagram.ece, series.diagram.ece_noise_floor
    if ece is None:
        return f"{rows(series.total)}."
    said = f"ECE {decimal(ece)} on {rows(series.total)}"
    return f"{said}." if floor is None else f"{said}: {against_noise(ece, floor)}."


def against_noise(ece: float, floor: NoiseFloor) -> str:
    """Compare an error with its noise floor."""
    where = "above noise" if ece > floor.p95 else "within noise"
    return (
        f"{where} (a calibrated model shows {decimal(floor.mean)} on average, "
        f"up to {decimal(floor.p95)} in 95 of 100 samples)"
    )


def describe(figure: Figure) -> str:
    """Say everything the picture shows, for those who do not see it."""
    axis = (
        "predicted probability across, observed rate up"
        if figure.view == "positive"
        else "confidence across, share of right predictions up"
    )
    parts = [f"Reliability diagram: {axis}; the diagonal is perfect calibration."]
    for series in figure.series:
        name = f"{series.name}: " if series.name else ""
        parts.append(name + ece_sentence(series))
        parts.extend(_point(point) for point in series.points())
    return " ".join(parts)


def _point(point: Point) -> str:
    between = ""
    if point.interval is not None:
        between = f" ({decimal(point.interval[0])} to {decimal(point.interval[1])})"
    outside = ", outside the consistency band" if point.outside else ""
    return (
        f"Predicted {decimal(point.score)}, observed {decimal(point.rate)}{between}{outside}, "
        f"{rows(point.n)}."
    )

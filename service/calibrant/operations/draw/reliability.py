"""Reliability diagrams: one figure, small multiples, and the bet on noise."""

from __future__ import annotations

from collections.abc import Sequence

from calibrant.operations.draw import words
from calibrant.operations.draw.canvas import Canvas, ThemeName
from calibrant.operations.draw.lettering import drawable, shorten, width, wrap
from calibrant.operations.draw.panel import FEW_ROWS, Box, draw_panel, roles
from calibrant.operations.draw.series import Figure

WIDTH = 480.0
LEFT, RIGHT = 62.0, 18.0
TITLE, TEXT = 17.0, 13.0
LEADING = 1.35
AXES = {
    "positive": ("predicted probability", "observed rate"),
    "top_label": ("confidence of the prediction", "share that was right"),
}


def reliability(figure: Figure, *, theme: ThemeName = "light") -> str:
    """Draw a reliability diagram.

    Parameters
    ----------
    figure : Figure
        One series, or two: before and after.
    theme : `light` or `dark`

    Returns
    -------
    str
        An SVG document; the same figure always gives the same bytes.
    """
    canvas = Canvas(WIDTH, theme)
    y = _heading(canvas, figure.title, figure.subtitle)
    y = _legend(canvas, figure, y)
    box = Box(LEFT, y + 6, WIDTH - LEFT - RIGHT, 56.0 if len(figure.series) < 2 else 76.0)
    draw_panel(canvas, box, figure)
    across, up = AXES[figure.view]
    middle = box.x + box.side / 2
    canvas.text(16, box.y + box.side / 2, up, size=TEXT, fill="ink", anchor="middle", turned=True)
    canvas.text(
        16, box.bottom - box.histogram / 2, "rows", size=TEXT, fill="ink", anchor="middle",
        turned=True,
    )  # fmt: skip
    canvas.text(middle, box.bottom + 34, across, size=TEXT, anchor="middle")
    canvas.height = _sentences(canvas, figure, box.bottom + 46) + 10
    return canvas.render(
        title=figure.title or "Reliability diagram", description=words.describe(figure)
    )


def multiples(
    figures: Sequence[Figure],
    *,
    title: str,
    subtitle: str = "",
    columns: int = 3,
    theme: ThemeName = "light",
) -> str:
    """Draw several diagrams in a grid, all on the same axes.

    Parameters
    ----------
    figures : sequence of Figure
        One panel each, drawn in the given order.
    title, subtitle : str
        Above the grid.
    columns : int, at least 1
        Panels in a row.
    theme : `light` or `dark`

    Returns
    -------
    str
        An SVG document.
    """
    columns = max(1, min(columns, len(figures) or 1))
    gap = 34.0
    side = 300.0 if columns == 2 else 210.0 if columns > 2 else WIDTH - LEFT - RIGHT
    full = LEFT + columns * side + (columns - 1) * gap + RIGHT
    canvas = Canvas(full, theme)
    y = _heading(canvas, title, subtitle)
    if figures:
        y = _legend(canvas, figures[0], y)
    for start in range(0, len(figures), columns):
        y = _row(canvas, figures[start : start + columns], side, gap, y)
    if figures:
        across, up = AXES[figures[0].view]
        line = f"Across: {across}. Up: {up}. Bars: rows."
        for text in wrap(line, TEXT, full - 2 * RIGHT):
            canvas.text(RIGHT, y + TEXT, text, size=TEXT, fill="quiet")
            y += TEXT * LEADING
    canvas.height = y + 14
    parts = [f"{figure.title}. {words.describe(figure)}" for figure in figures]
    return canvas.render(title=title, description=" ".join(parts))


def _row(canvas: Canvas, figures: Sequence[Figure], side: float, gap: float, top: float) -> float:
    """Draw one row of panels with their names; return where the next row starts."""
    heads = [wrap(drawable(figure.title), TEXT, side, bold=True, lines=2) for figure in figures]
    tallest = max(len(head) for head in heads) * TEXT * LEADING
    ends = []
    for place, (figure, head) in enumerate(zip(figures, heads, strict=True)):
        x = LEFT + place * (side + gap)
        for index, line in enumerate(head):
            y = top + 6 + TEXT * (1 + index * LEADING)
            canvas.text(x, y, line, size=TEXT, bold=True, hint=drawable(figure.title))
        box = Box(x, top + 14 + tallest, side, 34.0)
        draw_panel(canvas, box, figure)
        y = box.bottom + 34
        for line in _short_sentences(figure, side):
            canvas.text(x, y, line, size=12.0, fill="quiet")
            y += 12.0 * LEADING
        ends.append(y)
    return max(ends) + 8


def _short_sentences(figure: Figure, room: float) -> list[str]:
    lines = []
    for series in figure.series:
        text = f"{series.name}: " if series.name else ""
        ece, floor = series.diagram.ece, series.diagram.ece_noise_floor
        if ece is not None:
            text += f"ECE {words.decimal(ece)}, "
        if floor is not None:
            text += f"noise up to {words.decimal(floor.p95)}, "
        lines.extend(wrap(drawable(text + words.rows(series.total)), 12.0, room, lines=3))
    return lines


def _heading(canvas: Canvas, title: str, subtitle: str) -> float:
    """Write title and subtitle, broken into lines; return where they end."""
    room = canvas.width - 2 * RIGHT
    y = 14.0
    for line in wrap(drawable(title), TITLE, room, bold=True, lines=3) if title else ():
        y += TITLE * LEADING
        canvas.text(RIGHT, y - 5, line, size=TITLE, bold=True, hint=drawable(title))
    for line in wrap(drawable(subtitle), TEXT, room, lines=4) if subtitle else ():
        y += TEXT * LEADING
        canvas.text(RIGHT, y - 4, line, size=TEXT, fill="quiet", hint=drawable(subtitle))
    return y


def _legend(canvas: Canvas, figure: Figure, top: float) -> float:
    """Explain the marks above the plot, never on it; return where the legend ends."""
    room = canvas.width - 2 * RIGHT
    x, y = RIGHT, top + TEXT * 1.6
    for mark, role, full in _entries(figure):
        label = shorten(drawable(full), TEXT, room - 24)
        wide = 24 + width(label, TEXT) + 16
        if x > RIGHT and x + wide - 16 > RIGHT + room:
            x, y = RIGHT, y + TEXT * 1.5
        _mark(canvas, mark, role, x, y - TEXT * 0.35)
        canvas.text(x + 24, y, label, size=TEXT, fill="quiet", hint=drawable(full))
        x += wide
    return y + 8


def _entries(figure: Figure) -> list[tuple[str, str, str]]:
    points = [point for series in figure.series for point in series.points()]
    interval = ", 95 % interval" if any(point.interval for point in points) else ""
    entries = []
    for series, role in zip(figure.series, roles(figure), strict=True):
        mark = "dot" if interval else "bare"
        entries.append((mark, role, (series.name or "bin mean") + interval))
    entries.append(("few", roles(figure)[-1], f"under {FEW_ROWS} rows"))
    if any(point.band for point in points):
        banded = f" ({figure.series[-1].name})" if len(figure.series) > 1 else ""
        entries.append(("band", "band", f"where a calibrated model would lie{banded}"))
    entries.append(("line", "quiet", "perfect calibration"))
    return entries


def _mark(canvas: Canvas, mark: str, role: str, x: float, y: float) -> None:
    if mark == "band":
        canvas.rect(x, y - 5, 18, 10, fill=role)
    elif mark == "line":
        canvas.line((x, y), (x + 18, y), stroke=role, thick=1.2, dash="5 4")
    else:
        if mark == "dot":
            canvas.line((x + 9, y - 7), (x + 9, y + 7), stroke=role, thick=1.6)
        canvas.dot((x + 9, y), 4.0, colour=role, hollow=mark == "few")


def _sentences(canvas: Canvas, figure: Figure, top: float) -> float:
    """Say the errors with their noise under the picture; return where the words end."""
    room = canvas.width - 2 * RIGHT
    y = top
    for series in figure.series:
        name = f"{series.name}: " if series.name and len(figure.series) > 1 else ""
        for line in wrap(drawable(name + words.ece_sentence(series)), TEXT, room, lines=5):
            y += TEXT * LEADING
            canvas.text(RIGHT, y - 3, line, size=TEXT)
        y += 3
    return y

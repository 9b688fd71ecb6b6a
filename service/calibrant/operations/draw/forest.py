"""The worst slices as a forest plot: signed gaps with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from calibrant.operations.draw import words
from calibrant.operations.draw.canvas import Canvas, ThemeName
from calibrant.operations.draw.lettering import drawable, shorten, width, wrap

WIDTH = 480.0
PAD = 18.0
TEXT, SMALL = 13.0, 12.0
ROW = 46.0
LEADING = 1.35
NOTHING = "No slice is shown to be wrong, after correction for having looked at all of them."


@dataclass(frozen=True, slots=True)
class Gap:
    """One slice: mean score minus observed rate, positive when the scores are too high.

    Attributes
    ----------
    name : str
        The slice.
    gap : float
        In [-1, 1].
    low, high : float or None
        Interval of the gap.
    n : float
        Rows.
    certain : bool
        Whether the whole interval lies beyond the error that does not matter.
    """

    name: str
    gap: float
    low: float | None
    high: float | None
    n: float
    certain: bool = False


def forest(
    gaps: Sequence[Gap],
    *,
    title: str,
    subtitle: str = "",
    theme: ThemeName = "light",
) -> str:
    """Draw signed gaps of slices under each other, on one axis around zero.

    Parameters
    ----------
    gaps : sequence of Gap
        Drawn in the given order.
    title, subtitle : str
    theme : `light` or `dark`

    Returns
    -------
    str
        An SVG document.
    """
    canvas = Canvas(WIDTH, theme)
    y = 14.0
    for line in wrap(drawable(title), 17.0, WIDTH - 2 * PAD, bold=True, lines=3):
        y += 17.0 * LEADING
        canvas.text(PAD, y - 5, line, size=17.0, bold=True)
    note = subtitle or "Mean score minus observed rate, with its interval."
    for line in wrap(drawable(note), TEXT, WIDTH - 2 * PAD):
        y += TEXT * LEADING
        canvas.text(PAD, y - 4, line, size=TEXT, fill="quiet")
    if not gaps:
        canvas.height = _say_nothing(canvas, y)
        return canvas.render(title=title, description=NOTHING)
    reach = _reach(gaps)
    top = y + 34
    bottom = top + ROW * len(gaps)
    _axis(canvas, reach, top, bottom)
    for place, gap in enumerate(gaps):
        _line(canvas, gap, reach, top + place * ROW)
    canvas.height = bottom + 30
    return canvas.render(title=title, description=describe(gaps))


def describe(gaps: Sequence[Gap]) -> str:
    """Say all gaps in words."""
    if not gaps:
        return NOTHING
    return " ".join(f"{gap.name}: {_figures(gap)}; {_judgement(gap)}." for gap in gaps)


def _say_nothing(canvas: Canvas, y: float) -> float:
    y += 8
    for line in wrap(NOTHING, TEXT, WIDTH - 2 * PAD):
        y += TEXT * LEADING
        canvas.text(PAD, y, line, size=TEXT)
    return y + 18


def _figures(gap: Gap) -> str:
    between = (
        ""
        if gap.low is None or gap.high is None
        else f" ({words.signed(gap.low)} to {words.signed(gap.high)})"
    )
    return f"{words.signed(gap.gap)}{between}, {words.rows(gap.n)}"


def _judgement(gap: Gap) -> str:
    direction = "scores too high" if gap.gap > 0 else "scores too low"
    return direction if gap.certain else f"{direction}, perhaps by too little to matter"


def _reach(gaps: Sequence[Gap]) -> float:
    """Return a round half-width of the axis that holds every interval."""
    ends = [abs(end) for gap in gaps for end in (gap.gap, gap.low, gap.high) if end is not None]
    largest = max(ends, default=0.0) or 0.01
    magnitude = 10.0 ** math.floor(math.log10(largest))
    return next(
        step * magnitude for step in (1, 1.5, 2, 3, 5, 8, 10) if largest <= step * magnitude
    )


def _place(gap: float, reach: float) -> float:
    half = WIDTH / 2 - PAD - 8
    return WIDTH / 2 + max(-1.0, min(1.0, gap / reach)) * half


def _axis(canvas: Canvas, reach: float, top: float, bottom: float) -> None:
    for share in (-1.0, -0.5, 0.5, 1.0):
        x = _place(share * reach, reach)
        canvas.line((x, top), (x, bottom), stroke="line")
    centre = WIDTH / 2
    canvas.line((centre, top), (centre, bottom), stroke="quiet", thick=1.2)
    canvas.text(centre - 10, top - 10, "scores too low", size=SMALL, fill="quiet", anchor="end")
    canvas.text(centre + 10, top - 10, "scores too high", size=SMALL, fill="quiet")
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        label = words.signed(share * reach, _places(reach))
        x = min(
            max(_place(share * reach, reach), PAD + width(label, SMALL) / 2),
            WIDTH - PAD - width(label, SMALL) / 2,
        )
        canvas.text(x, bottom + 18, label, size=SMALL, fill="quiet", anchor="middle")


def _places(reach: float) -> int:
    """Return decimals enough to tell the half of `reach` exactly."""
    return max(2, 2 - math.floor(math.log10(reach)))


def _line(canvas: Canvas, gap: Gap, reach: float, top: float) -> None:
    """Draw one slice: its name and figures on one line, its interval on the next."""
    role = "accent" if gap.certain else "plain"
    figures = _figures(gap)
    room = WIDTH - 2 * PAD - width(figures, SMALL) - 14
    canvas.rect(PAD, top + 3, WIDTH - 2 * PAD, 18, fill="paper")
    name = drawable(gap.name)
    canvas.text(
        PAD, top + 16, shorten(name, TEXT, room, bold=gap.certain), size=TEXT,
        bold=gap.certain, hint=name,
    )  # fmt: skip
    canvas.text(WIDTH - PAD, top + 16, figures, size=SMALL, fill="quiet", anchor="end")
    y = top + 32
    if gap.low is not None and gap.high is not None:
        ends = _place(gap.low, reach), _place(gap.high, reach)
        canvas.line((ends[0], y), (ends[1], y), stroke=role, thick=1.8)
        for end in ends:
            canvas.line((end, y - 4), (end, y + 4), stroke=role, thick=1.8)
    canvas.dot((_place(gap.gap, reach), y), 4.5, colour=role, hollow=not gap.certain)

"""Templates to HTML: everything is escaped, nothing is looked up twice."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from calibrant.operations.draw.lettering import drawable
from calibrant.operations.draw.words import count, decimal, rows, signed

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
STYLE = _HERE / "static" / "calibrant.css"


@cache
def environment() -> Environment:
    """Return the templates with their filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only once a page is asked

    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": count,
        "decimal": decimal,
        "interval": interval,
        "moment": moment,
        "picture": Markup,  # pictures come from our own SVG writer, which escapes
        "rows": rows,
        "signed": signed,
        "plain": drawable,
    }
    return made


def render(template: str, **values: Any) -> str:
    """Render one template."""
    return environment().get_template(template).render(**values)


def interval(ends: tuple[float, float] | None, *, sign: bool = False, places: int = 3) -> str:
    """Write an interval in words: `0.012 to 0.034`."""
    if ends is None:
        return ""
    write = signed if sign else decimal
    return f"{write(ends[0], places)} to {write(ends[1], places)}"


def moment(value: datetime | str) -> str:
    """Write a moment in UTC, to the minute."""
    if isinstance(value, str):
        return value
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")

"""An SVG document under construction: themes, shapes, text that is always escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from calibrant.operations.draw.lettering import drawable

ThemeName = Literal["light", "dark"]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one theme, as `#rrggbb`; text on `paper` has a contrast of at least 4.5."""

    paper: str
    ink: str
    quiet: str
    line: str
    band: str
    accent: str
    plain: str


THEMES: dict[ThemeName, Theme] = {
    "light": Theme(
        paper="#ffffff",
        ink="#1b1d21",
        quiet="#5b6069",
        line="#e1e3e6",
        band="#e3e8ef",
        accent="#1257a8",
        plain="#6a6f78",
    ),
    "dark": Theme(
        paper="#15171b",
        ink="#eceef1",
        quiet="#a3a9b3",
        line="#31363d",
        band="#2a313b",
        accent="#7db4ff",
        plain="#9aa1ac",
    ),
}


class Canvas:
    """A growing SVG picture; every shape carries the class of its role, so pages can recolour it.

    Parameters
    ----------
    width : float
        Width of the picture in its own units.
    theme : `light` or `dark`
    """

    def __init__(self, width: float, theme: ThemeName) -> None:
        self.width = width
        self.height = 0.0
        self.theme = THEMES[theme]
        self._shapes: list[ElementTree.Element] = []

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str,
        opacity: float = 1.0,
    ) -> None:
        """Draw a filled rectangle in the colour of a role."""
        self._add(
            "rect", x=x, y=y, width=max(width, 0.0), height=max(height, 0.0),
            **self._fill(fill, opacity),
        )  # fmt: skip

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        stroke: str,
        thick: float = 1.0,
        dash: str = "",
        opacity: float = 1.0,
    ) -> None:
        """Draw a straight line in the colour of a role."""
        extra = {"stroke-dasharray": dash} if dash else {}
        self._add(
            "line", x1=start[0], y1=start[1], x2=end[0], y2=end[1],
            **self._stroke(stroke, thick, opacity), **extra,
        )  # fmt: skip

    def polygon(self, points: Sequence[tuple[float, float]], *, fill: str) -> None:
        """Draw a filled polygon in the colour of a role."""
        corners = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._add("polygon", points=corners, **self._fill(fill, 1.0))

    def dot(
        self,
        centre: tuple[float, float],
        radius: float,
        *,
        colour: str,
        hollow: bool = False,
        opacity: float = 1.0,
    ) -> None:
        """Draw a marker; a hollow one is filled with the paper."""
        look = (
            {
                "class": f"f-paper s-{colour}",
                "fill": self.theme.paper,
                "stroke": getattr(self.theme, colour),
                "stroke-width": "1.6",
                "opacity": _number(opacity),
            }
            if hollow
            else self._fill(colour, opacity)
        )
        self._add("circle", cx=centre[0], cy=centre[1], r=radius, **look)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        fill: str = "ink",
        anchor: Literal["start", "middle", "end"] = "start",
        bold: bool = False,
        turned: bool = False,
        hint: str = "",
    ) -> None:
        """Write one line; `hint` is the full text when the line had to be shortened."""
        extra = {"transform": f"rotate(-90 {_number(x)} {_number(y)})"} if turned else {}
        if bold:
            extra["font-weight"] = "600"
        if anchor != "start":
            extra["text-anchor"] = anchor
        shape = self._add(
            "text", x=x, y=y, **{"font-size": _number(size)}, **self._fill(fill, 1.0), **extra
        )
        shape.text = drawable(text)
        if hint and hint != text:
            title = ElementTree.SubElement(shape, "title")
            title.text = drawable(hint)
            title.tail, shape.text = shape.text, None

    def render(self, *, title: str, description: str) -> str:
        """Return the SVG document, with its name and its figures in words for screen readers."""
        root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {_number(self.width)} {_number(self.height)}",
                "width": _number(self.width),
                "height": _number(self.height),
                "role": "img",
                "aria-label": drawable(title),
                "font-family": FONT,
            },
        )
        ElementTree.SubElement(root, "title").text = drawable(title)
        ElementTree.SubElement(root, "desc").text = drawable(description)
        ElementTree.SubElement(
            root, "rect",
            {"width": "100%", "height": "100%", "class": "f-paper", "fill": self.theme.paper},
        )  # fmt: skip
        root.extend(self._shapes)
        return ElementTree.tostring(root, encoding="unicode")

    def _add(self, tag: str, **attributes: str | float) -> ElementTree.Element:
        shape = ElementTree.Element(
            tag,
            {
                name: value if isinstance(value, str) else _number(value)
                for name, value in attributes.items()
            },
        )
        self._shapes.append(shape)
        return shape

    def _fill(self, role: str, opacity: float) -> dict[str, str]:
        look = {"class": f"f-{role}", "fill": getattr(self.theme, role)}
        return look if opacity >= 1.0 else look | {"opacity": _number(opacity)}

    def _stroke(self, role: str, thick: float, opacity: float) -> dict[str, str]:
        look = {
            "class": f"s-{role}",
            "stroke": getattr(self.theme, role),
            "stroke-width": _number(thick),
        }
        return look if opacity >= 1.0 else look | {"opacity": _number(opacity)}


def _number(value: float) -> str:
    """Write a coordinate with at most two decimals and no negative zero."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text

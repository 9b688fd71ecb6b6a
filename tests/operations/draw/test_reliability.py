from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from calibrant.operations.draw import Figure, Series, multiples, reliability
from calibrant.operations.draw.canvas import THEMES
from calibrant.operations.draw.lettering import width
from calibrant.operations.draw.panel import visibility

Make = Callable[..., Figure]
SVG = "{http://www.w3.org/2000/svg}"
NAMES = [
    "origin=JFK",
    "k=" + "W" * 126,
    "k=" + "漢" * 42,
    "k=</title><script>alert(1)</script>\"'&amp;]]>",
    "k=\x00\x1f\u202eevil\ud800",
    "one two three four five six seven eight nine ten " * 3,
    "",
]


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.encode())


def texts(root: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element]]:
    for shape in root.iter(f"{SVG}text"):
        yield "".join(shape.text or "" if not len(shape) else shape[0].tail or ""), shape


def box(text: str, shape: ElementTree.Element) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of a text, by estimate."""
    size = float(shape.get("font-size", ""))
    wide = width(text, size, bold=shape.get("font-weight") == "600")
    x, y = float(shape.get("x", "")), float(shape.get("y", ""))
    start = {"start": 0.0, "middle": wide / 2, "end": wide}[shape.get("text-anchor", "start")]
    if shape.get("transform"):
        return x - size * 0.8, y - start, x + size * 0.25, y - start + wide
    return x - start, y - size * 0.8, x - start + wide, y + size * 0.25


def check_texts(svg: str) -> None:
    root = parse(svg)
    wide, high = float(root.get("width", "")), float(root.get("height", ""))
    boxes = [(text, box(text, shape)) for text, shape in texts(root)]
    for text, (left, top, right, bottom) in boxes:
        assert left >= 0, text
        assert top >= 0, text
        assert right <= wide + 0.1, text
        assert bottom <= high + 0.1, text
    for place, (text, (left, top, right, bottom)) in enumerate(boxes):
        for other, (left2, top2, right2, bottom2) in boxes[place + 1 :]:
            apart = right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
            assert apart, (text, other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, 1, 40, 8_000])
def test_text_stays_on_the_canvas_and_apart(figure: Make, name: str, n: int) -> None:
    check_texts(reliability(figure(n, title=name)))


@pytest.mark.parametrize("name", NAMES)
def test_text_of_before_and_after_stays_apart(figure: Make, name: str) -> None:
    made = figure(title=name, names=(name, "after"))
    check_texts(reliability(replace(made, subtitle=name)))


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_text_of_small_multiples_stays_apart(figure: Make, columns: int, count: int) -> None:
    panels = [figure(300, title=name) for name in NAMES[:count]]
    check_texts(multiples(panels, title=NAMES[1], subtitle=NAMES[5], columns=columns))


@pytest.mark.parametrize("name", NAMES)
def test_any_name_gives_valid_xml_without_markup_of_its_own(figure: Make, name: str) -> None:
    root = parse(reliability(figure(title=name, names=(name, name))))
    tags = {shape.tag.removeprefix(SVG) for shape in root.iter()}
    assert tags <= {
        "svg", "title", "desc", "rect", "line", "polygon", "circle", "text",
    }  # fmt: skip


def test_the_same_figure_gives_the_same_bytes(figure: Make) -> None:
    assert reliability(figure()) == reliability(figure())


def test_it_has_a_role_a_name_and_the_figures_in_words(figure: Make) -> None:
    made = figure(title="origin=JFK")
    root = parse(reliability(made))
    diagram = made.series[0].diagram
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == "origin=JFK"
    said = root.findtext(f"{SVG}desc") or ""
    assert f"ECE {diagram.ece:.3f} on 2,000 rows: above noise" in said
    assert f"up to {diagram.ece_noise_floor.p95:.3f} in 95 of 100 samples" in said
    assert f"Predicted {diagram.score[0]:.3f}, observed {diagram.rate[0]:.3f} (" in said
    assert "outside the consistency band" in said


def test_nothing_is_fetched_scripted_or_styled_inline(figure: Make) -> None:
    root = parse(reliability(figure()))
    for shape in root.iter():
        assert not {name for name in shape.attrib if name.startswith("on")}
        assert not {"style", "href", "src"} & set(shape.attrib)


def test_every_bin_with_rows_has_a_mark_and_an_interval(figure: Make) -> None:
    made = figure()
    root = parse(reliability(made))
    filled = sum(n > 0 for n in made.series[0].diagram.n)
    legend = 2
    assert len(root.findall(f"{SVG}circle")) == filled + legend


def test_few_rows_are_hollow_and_faint(figure: Make) -> None:
    root = parse(reliability(figure(2_000)))
    marks = root.findall(f"{SVG}circle")
    hollow = [mark for mark in marks if mark.get("stroke")]
    assert hollow
    assert all(float(mark.get("opacity", "1")) < 1 for mark in hollow[1:])


def test_bins_fade_with_their_rows() -> None:
    shown = [visibility(n, 1_000) for n in (1, 10, 50, 100, 500)]
    assert shown == sorted(shown)
    assert shown[0] < 0.5
    assert shown[-1] == 1


def test_before_is_plain_and_after_has_the_accent(figure: Make) -> None:
    svg = reliability(figure(names=("before", "after")))
    assert "before, 95 % interval" in svg
    assert "after, 95 % interval" in svg
    assert THEMES["light"].plain in svg
    assert THEMES["light"].accent in svg


def test_the_legend_lies_above_the_plot(figure: Make) -> None:
    root = parse(reliability(figure()))
    plot = next(s for s in root.iter(f"{SVG}rect") if s.get("width") == s.get("height") != "100%")
    legend = [float(s.get("y", "")) for text, s in texts(root) if "calibrat" in text][:2]
    assert all(y < float(plot.get("y", "")) for y in legend)


def test_equal_mass_bars_are_as_high_as_the_scores_are_dense(
    draw_rows: Callable, diagram_of: Callable
) -> None:
    score, outcome = draw_rows(3_000)
    made = Figure("x", (Series("", diagram_of(score, outcome, mass=True)),))
    bars = [
        (float(bar.get("width", "")), float(bar.get("height", "")))
        for bar in parse(reliability(made)).iter(f"{SVG}rect")
        if bar.get("class") == "f-accent"
    ]
    wide, narrow = max(bars), min(bars)
    assert wide[1] < narrow[1]


def test_an_empty_diagram_says_so(figure: Make) -> None:
    svg = reliability(figure(0))
    assert ">0 rows.<" in svg
    assert "nan" not in svg.lower()


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("role", ["ink", "quiet", "accent", "plain"])
def test_every_theme_has_contrast(name: str, role: str) -> None:
    theme = THEMES[name]
    assert contrast(getattr(theme, role), theme.paper) >= 4.5
    assert contrast(getattr(theme, role), theme.band) >= 3


def test_the_dark_theme_uses_its_own_colours_only(figure: Make) -> None:
    svg = reliability(figure(names=("a", "b")), theme="dark")
    assert THEMES["dark"].paper in svg
    assert THEMES["light"].accent not in svg
    assert 'fill="#ffffff"' not in svg

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from calibrant.operations.draw import Gap, forest
from calibrant.operations.draw.forest import WIDTH
from calibrant.operations.draw.lettering import width

SVG = "{http://www.w3.org/2000/svg}"
EARLY = Gap("daypart=early", 0.107, 0.098, 0.116, 4_012, certain=True)
EVENING = Gap("daypart=evening", -0.091, -0.102, -0.080, 3_790, certain=True)
SMALL = Gap("a", 0.004, 0.001, 0.007, 90_000)


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.encode())


def test_gaps_lie_on_their_side_of_zero() -> None:
    marks = parse(forest([EARLY, EVENING], title="Worst")).findall(f"{SVG}circle")
    assert float(marks[0].get("cx", "")) > WIDTH / 2 > float(marks[1].get("cx", ""))


def test_all_is_said_in_words() -> None:
    root = parse(forest([EARLY, EVENING, SMALL], title="Worst"))
    said = root.findtext(f"{SVG}desc") or ""
    assert "daypart=early: +0.107 (+0.098 to +0.116), 4,012 rows; scores too high." in said
    assert "daypart=evening: -0.091 (-0.102 to -0.080), 3,790 rows; scores too low." in said
    assert "a: +0.004" in said
    assert "perhaps by too little to matter" in said


def test_without_wrong_slices_it_says_so() -> None:
    assert "No slice is shown to be wrong" in forest([], title="Worst")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["k=" + "W" * 126, "漢" * 42, "<b>&\"'\u202e\x00"])
def test_long_names_leave_room_for_the_figures(name: str, theme: str) -> None:
    gaps = [Gap(name, 0.1234, -0.9, 1.0, 123_456_789, certain=True), SMALL]
    root = parse(forest(gaps, title=name, subtitle=name, theme=theme))
    lines: dict[str, list[tuple[float, float]]] = {}
    for shape in root.iter(f"{SVG}text"):
        text = shape.text or shape[0].tail or ""
        size = float(shape.get("font-size", ""))
        wide = width(text, size, bold=shape.get("font-weight") == "600")
        start = {"start": 0.0, "middle": wide / 2, "end": wide}[shape.get("text-anchor", "start")]
        left = float(shape.get("x", "")) - start
        lines.setdefault(shape.get("y", ""), []).append((left, left + wide))
    for spans in lines.values():
        spans.sort()
        assert spans[0][0] >= 0
        assert spans[-1][1] <= WIDTH
        assert all(one[1] <= two[0] for one, two in pairwise(spans))


def test_the_full_name_stands_behind_a_shortened_one() -> None:
    name = "k=" + "W" * 126
    root = parse(forest([Gap(name, 0.1, 0.05, 0.15, 10)], title="Worst"))
    assert name in [hint.text for hint in root.iter(f"{SVG}title")]


def test_the_axis_holds_every_interval() -> None:
    root = parse(forest([Gap("a", 0.1, -0.7, 0.9, 10)], title="Worst"))
    ends = [float(line.get(end, "")) for line in root.iter(f"{SVG}line") for end in ("x1", "x2")]
    assert min(ends) >= 0
    assert max(ends) <= WIDTH


def test_the_same_gaps_give_the_same_bytes() -> None:
    assert forest([EARLY], title="Worst") == forest([EARLY], title="Worst")

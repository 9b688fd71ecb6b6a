import pytest

from calibrant.operations.draw.lettering import drawable, shorten, width, wrap

WIDE = "Wagen 漢字 @@@ " * 8


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x1b", "\ud800", "￾"])
def test_characters_that_xml_forbids_are_replaced_visibly(char: str) -> None:
    assert drawable(f"a{char}b") == "a�b"


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\u200f"])
def test_characters_that_reorder_text_are_replaced_visibly(char: str) -> None:
    assert drawable(f"a{char}b") == "a�b"


def test_line_breaks_become_spaces() -> None:
    assert drawable("a\n b\tc\u2028d") == "a b c d"


def test_a_short_text_is_left_alone() -> None:
    assert shorten("origin=JFK", 13, 200) == "origin=JFK"


def test_a_long_text_loses_its_middle() -> None:
    short = shorten("origin=" + "x" * 100, 13, 120)
    assert short.startswith("origin=")
    assert short.endswith("x")
    assert "…" in short
    assert width(short, 13) <= 120


@pytest.mark.parametrize("text", [WIDE, "W" * 300, "漢" * 128, "a b " * 60, ""])
@pytest.mark.parametrize("bold", [False, True])
def test_wrapped_lines_fit(text: str, bold: bool) -> None:
    lines = wrap(text, 13, 150, bold=bold, lines=3)
    assert len(lines) <= 3
    assert all(width(line, 13, bold=bold) <= 150 for line in lines)


def test_wrapping_keeps_every_character_that_fits() -> None:
    assert " ".join(wrap("one two three four", 13, 70, lines=9)) == "one two three four"


def test_combining_marks_take_no_room() -> None:
    assert width("é", 13) == width("e", 13)

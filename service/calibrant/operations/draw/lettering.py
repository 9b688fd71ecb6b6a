"""How wide a text is, where it breaks, and which characters may not be drawn."""

from __future__ import annotations

import re
import unicodedata

_WIDTHS = (
    ("'", 0.28),
    ("ijlIJ .,/:;\\|f", 0.35),
    ('-()[]t!r"', 0.46),
    ("*_`sz?c", 0.56),
    ("LFkvxyP", 0.61),
    ("TYaoeESbdghnpqu$0123456789{}", 0.64),
    ("KAVBRXZC", 0.70),
    ("UHNDGOQ&w", 0.82),
    ("#+<=>^~mM", 0.98),
    ("W%@", 1.0),
)
"""Advance widths in em of the widest common sans-serif (DejaVu Sans), rounded up, so that a text
that fits here fits in Helvetica, Arial, Roboto and Segoe as well."""

_ASCII = {char: width for chars, width in _WIDTHS for char in chars}
_BOLD = 1.13
_OTHER = 0.9
_FULL = 1.05
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def drawable(text: str) -> str:
    """Return `text` as one line of characters that XML allows and that cannot reorder others."""
    text = _DIRECTION.sub("\ufffd", _ILLEGAL.sub("\ufffd", text))
    return " ".join("".join(" " if _is_break(char) else char for char in text).split())


def _is_break(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Zl", "Zp"}


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Return an upper estimate of the width of `text` in the units of `size`."""
    total = sum(_advance(char) for char in text) * size
    return total * _BOLD if bold else total


def _advance(char: str) -> float:
    known = _ASCII.get(char)
    if known is not None:
        return known
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0.0
    if unicodedata.east_asian_width(char) in {"W", "F"}:
        return _FULL
    decomposed = unicodedata.normalize("NFD", char)[0]
    return _ASCII.get(decomposed, _OTHER)


def shorten(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """Return `text`, with an ellipsis in the middle when it is wider than `room`."""
    if width(text, size, bold=bold) <= room:
        return text
    keep = len(text) - 1
    while keep > 0:
        head, tail = (keep + 1) // 2, keep // 2
        short = text[:head].rstrip() + "\u2026" + (text[-tail:].lstrip() if tail else "")
        if width(short, size, bold=bold) <= room:
            return short
        keep -= 1
    return "\u2026"


def wrap(text: str, size: float, room: float, *, bold: bool = False, lines: int = 4) -> list[str]:
    """Break `text` into at most `lines` lines no wider than `room`; words too long are cut."""
    done: list[str] = []
    line = ""
    for word in _words(text, size, room, bold=bold):
        longer = f"{line} {word}" if line else word
        if width(longer, size, bold=bold) <= room:
            line = longer
            continue
        done.append(line)
        line = word
    done.append(line)
    if len(done) > lines:
        rest = " ".join(done[lines - 1 :])
        done = [*done[: lines - 1], shorten(rest, size, room, bold=bold)]
    return done


def _words(text: str, size: float, room: float, *, bold: bool) -> list[str]:
    """Split at spaces, and split words that do not fit on a line by themselves."""
    words = []
    for word in text.split(" "):
        piece = ""
        for char in word:
            if piece and width(piece + char, size, bold=bold) > room:
                words.append(piece)
                piece = ""
            piece += char
        words.append(piece)
    return words

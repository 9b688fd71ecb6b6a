"""The tree of failures at the top of `errors.py` is the one below it."""

from __future__ import annotations

import re

import pytest

from calibrant import errors


def tree(kind: type[errors.CalibrantError]) -> list[type[errors.CalibrantError]]:
    below = [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
    return [kind, *(each for one in below for each in tree(one))]


KINDS = tree(errors.CalibrantError)
LINE = re.compile(r"^([│├└─ ]*)(\w+) +(\d{3}) (\w+)(?: {2,}\S.*)?$")


def documented() -> dict[str, tuple[str | None, int, str]]:
    """Return what the docstring draws: name to parent, status and code."""
    found: dict[str, tuple[str | None, int, str]] = {}
    path: list[str] = []
    for line in str(errors.__doc__).splitlines():
        if match := LINE.match(line):
            drawing, name, status, code = match.groups()
            depth = len(drawing) // 4
            path = [*path[:depth], name]
            found[name] = (path[-2] if depth else None, int(status), code)
    return found


def test_every_failure_is_drawn_where_it_stands_with_its_status_and_code():
    real = {
        kind.__name__: (
            None if kind is errors.CalibrantError else kind.__bases__[0].__name__,
            kind.status,
            kind.code,
        )
        for kind in KINDS
    }
    assert documented() == real


def test_codes_are_unique_and_titles_too():
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert len({kind.title for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_failure_owns_what_is_said_of_it(kind):
    assert 400 <= kind.status <= 599
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert kind.title[0].isupper()
    assert kind.__doc__
    failure = kind("What went wrong.")
    assert (failure.detail, str(failure)) == ("What went wrong.", "What went wrong.")


def test_at_most_twenty_findings_are_kept():
    many = [errors.Detail(f"/scores/{row}", "Not a number.") for row in range(50)]
    assert len(errors.BadBatch("Bad.", many).errors) == 20

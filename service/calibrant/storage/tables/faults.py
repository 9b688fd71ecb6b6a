"""Counting bad rows and saying where they are, without repeating what is in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadBatch, CalibrantError, Detail

SHOWN = 5
"""Row numbers that a message gives."""


def shown(name: str) -> str:
    """Return a column name as a message shows it: short and printable."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= 64 else text[:61] + "..."


def rows_text(count: int, first: list[int], *, so_far: bool = False) -> str:
    """Say how many rows and which ones come first; `so_far` if there may be more."""
    if count == 1:
        return f"row {first[0]}"
    listed = ", ".join(map(str, first[:SHOWN]))
    return f"{'at least ' if so_far else ''}{count:,} rows, first {listed}"


@dataclass(slots=True)
class _Fault:
    count: int = 0
    first: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Faults:
    """Bad rows of a table, counted per column and reason.

    Row numbers count from 0, the first row of data.

    Attributes
    ----------
    so_far : bool
        Whether the rest of the table was not looked at.
    """

    so_far: bool = False
    _found: dict[tuple[str, str], _Fault] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, column: str, reason: str, bad: NDArray[Any], first_row: int) -> None:
        """Count the rows of a chunk in which `bad` is true.

        Parameters
        ----------
        bad : bool array of shape (n,)
        first_row : int
            Number of the chunk's first row in its table.
        """
        places = np.flatnonzero(bad)
        if not len(places):
            return
        fault = self._found.setdefault((column, reason), _Fault())
        fault.count += len(places)
        room = SHOWN - len(fault.first)
        fault.first.extend(first_row + int(place) for place in places[:room])

    def error(self, kind: type[CalibrantError] = BadBatch) -> CalibrantError:
        """Return the error that says everything that was found."""
        details = []
        for (column, reason), fault in self._found.items():
            rows = rows_text(fault.count, fault.first, so_far=self.so_far)
            details.append(Detail(shown(column), f"`{shown(column)}` {reason}: {rows}."))
        more = f" And {len(details) - 1} further findings." if len(details) > 1 else ""
        return kind(details[0].message + more + " Rows count from 0.", details)

"""Rows by time: which period a row falls into, and how long a period is."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Unusable
from calibrant.operations.evaluate.report import Period

Length = Literal["hour", "day", "week", "month", "quarter", "year"]

_DAY = np.timedelta64(1, "D")
_LONGEST_SPAN: tuple[tuple[Length, np.timedelta64], ...] = (
    ("hour", 2 * _DAY),
    ("day", 62 * _DAY),
    ("week", 366 * _DAY),
    ("month", 5 * 366 * _DAY),
    ("quarter", 15 * 366 * _DAY),
)
MAX_PERIODS = 1_000


def choose(time: NDArray[np.datetime64]) -> Length:
    """Return the length of a period that cuts the span of `time` into at most about 60 parts."""
    span = np.max(time) - np.min(time)
    return next((name for name, longest in _LONGEST_SPAN if span <= longest), "year")


def split(
    time: NDArray[np.datetime64], period: Period
) -> tuple[Length, NDArray[np.int32], tuple[tuple[str, str], ...]]:
    """Return the length of a period, the period of every row, and the ends of every period.

    Parameters
    ----------
    time : datetime64 array of shape (n,), without NaT
    period : str
        `auto` chooses by the span.

    Raises
    ------
    Unusable
        If the rows fall into more than 1,000 periods.
    """
    length = choose(time) if period == "auto" else period
    index = _index(time, length)
    seen, codes = np.unique(index, return_inverse=True)
    if len(seen) > MAX_PERIODS:
        raise Unusable(
            f"`period` of one {length} cuts these rows into {len(seen):,} periods; "
            f"at most {MAX_PERIODS:,} are reported. Choose a longer one."
        )
    ends = tuple((_start(i, length), _start(i + 1, length)) for i in seen)
    return length, codes.astype(np.int32), ends


_UNIT: dict[Length, str] = {"hour": "h", "day": "D", "week": "D", "year": "Y"}


def _index(time: NDArray[np.datetime64], length: Length) -> NDArray[np.int64]:
    index = time.astype(f"datetime64[{_UNIT.get(length, 'M')}]").astype(np.int64)
    if length == "week":  # 1970-01-01 was a Thursday; weeks start on Monday
        return np.asarray((index + 3) // 7)
    return np.asarray(index // 3) if length == "quarter" else index


def _start(index: Any, length: Length) -> str:
    number = {"week": int(index) * 7 - 3, "quarter": int(index) * 3}.get(length, int(index))
    moment = np.array(number, dtype=f"datetime64[{_UNIT.get(length, 'M')}]")
    return f"{moment.astype('datetime64[s]')}Z"

"""Predictions as columns: the one shape in which rows travel below the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1
"""Label of a row whose outcome is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Category:
    """A text column, dictionary-encoded.

    Attributes
    ----------
    codes : int32 array of shape (n,)
        Position in `values`; -1 where the value is missing.
    values : tuple of str
        The distinct values, in order of first appearance.
    """

    codes: NDArray[np.int32]
    values: tuple[str, ...]

    @classmethod
    def encode(cls, texts: Sequence[str | None]) -> Category:
        """Encode texts; `None` becomes code -1."""
        seen: dict[str, int] = {}
        codes = np.fromiter(
            (-1 if text is None else seen.setdefault(text, len(seen)) for text in texts),
            dtype=np.int32,
            count=len(texts),
        )
        return cls(codes, tuple(seen))

    def take(self, index: NDArray[Any]) -> Category:
        """Return the rows at `index` (positions or a mask); `values` stays as it is."""
        return replace(self, codes=self.codes[index])

    @classmethod
    def concat(cls, parts: Sequence[Category]) -> Category:
        """Join columns whose dictionaries may differ."""
        seen: dict[str, int] = {}
        joined = []
        for part in parts:
            lookup = np.array(
                [seen.setdefault(value, len(seen)) for value in part.values] + [-1], dtype=np.int32
            )
            joined.append(lookup[part.codes])
        return cls(np.concatenate(joined), tuple(seen))


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Scores with everything known about their rows.

    Attributes
    ----------
    scores : float32 or float64 array of shape (n,) or (n, k)
        Binary: one number a row, the probability or logit of class 1. Multiclass: k a row.
    labels : int64 array of shape (n,), or None
        Class of each row; `UNLABELLED` (-1) where it is not known.
    weights : float64 array of shape (n,), or None
    ids : array of str of shape (n,), or None
    time : datetime64[us] array of shape (n,), or None
        UTC.
    groups : Category, or None
        Clusters of dependent rows.
    slices : mapping of dimension to Category
    """

    scores: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    ids: NDArray[Any] | None = None
    time: NDArray[np.datetime64] | None = None
    groups: Category | None = None
    slices: Mapping[str, Category] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: NDArray[Any]) -> Predictions:
        """Return the rows at `index` (positions or a mask)."""

        def pick(column: Any) -> Any:
            return None if column is None else column[index]

        return Predictions(
            scores=self.scores[index],
            labels=pick(self.labels),
            weights=pick(self.weights),
            ids=pick(self.ids),
            time=pick(self.time),
            groups=None if self.groups is None else self.groups.take(index),
            slices={name: column.take(index) for name, column in self.slices.items()},
        )

    @classmethod
    def concat(cls, parts: Sequence[Predictions]) -> Predictions:
        """Join parts that have the same columns."""
        first = parts[0]
        if len(parts) == 1:
            return first

        def join(name: str) -> Any:
            columns = [getattr(part, name) for part in parts]
            return None if columns[0] is None else np.concatenate(columns)

        return cls(
            scores=join("scores"),
            labels=join("labels"),
            weights=join("weights"),
            ids=join("ids"),
            time=join("time"),
            groups=None
            if first.groups is None
            else Category.concat([part.groups for part in parts if part.groups is not None]),
            slices={
                name: Category.concat([part.slices[name] for part in parts])
                for name in first.slices
            },
        )

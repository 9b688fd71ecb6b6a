"""Which slice every row belongs to: declared dimensions, crosses, score bands, periods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Detail, Unusable
from calibrant.numerics.edges import equal_edges
from calibrant.numerics.predictions import Category
from calibrant.operations.evaluate.report import MISSING, OTHER, SCORE_BAND, Note

BANDS = 10
"""Score bands are this many equal widths of the score."""


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """One way to cut the rows.

    Attributes
    ----------
    name : str
        Column, columns joined by a comma, or `score_band`.
    codes : int32 array of shape (n,)
        Slice of every labelled row.
    names : tuple of str
        Name of every slice.
    unlabelled : int64 array of shape (slices,)
        Rows without a label in every slice.
    """

    name: str
    codes: NDArray[np.int32]
    names: tuple[str, ...]
    unlabelled: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)


def declared(name: str, labelled: Category, unlabelled: Category) -> Dimension:
    """Return the slices of one column; both parts share one dictionary.

    A missing value is a slice of its own; values that no row has are left out.
    """
    size = len(labelled.values) + 1
    # code -1 (missing) comes last
    codes, without = (np.where(c.codes < 0, size - 1, c.codes) for c in (labelled, unlabelled))
    n, n_without = (np.bincount(c, minlength=size) for c in (codes, without))
    texts = [*labelled.values, MISSING]
    kept = np.flatnonzero(n + n_without)
    return Dimension(
        name,
        _renumber(codes, kept, size),
        tuple(f"{name}={texts[i]}" for i in kept),
        n_without[kept].astype(np.int64),
    )


def crossed(
    names: Sequence[str], columns: Mapping[str, tuple[Category, Category]], *, pointer: str
) -> Dimension:
    """Return the combinations of several columns that rows have.

    Parameters
    ----------
    names : sequence of str
    columns : mapping of name to a pair of Category
        Of labelled and of unlabelled rows.
    pointer : str
        Of the cross in the request.

    Raises
    ------
    Unusable
        If a column is not there, or there are fewer than two.
    """
    if len(set(names)) < 2 or len(set(names)) < len(names) or not set(names) <= set(columns):
        raise Unusable(
            "A cross names at least two different dimensions of the rows.",
            [Detail(pointer, "must name at least two different dimensions of the rows")],
        )
    codes: NDArray[np.int64] | None = None
    texts: list[str] = []
    n_labelled = len(columns[names[0]][0].codes)
    for name in names:
        both = np.concatenate([part.codes for part in columns[name]])
        values = [f"{name}={text}" for text in (*columns[name][0].values, MISSING)]
        own = np.where(both < 0, len(values) - 1, both).astype(np.int64)
        if codes is None:
            codes, texts = own, values
            continue
        # compact after every factor, so that the product never grows beyond the rows
        seen, codes = np.unique(codes * len(values) + own, return_inverse=True)
        texts = [f"{texts[s // len(values)]},{values[s % len(values)]}" for s in seen]
    assert codes is not None
    without = np.bincount(codes[n_labelled:], minlength=len(texts)).astype(np.int64)
    return Dimension(",".join(names), codes[:n_labelled].astype(np.int32), tuple(texts), without)


def bands(score: NDArray[Any], unlabelled: NDArray[Any]) -> Dimension:
    """Return the prediction confidence regions: ten equal widths of the score."""
    edges = equal_edges(BANDS)[1:-1]
    codes, without = (
        np.searchsorted(edges, values, side="right").astype(np.int32)
        for values in (score, unlabelled)
    )
    n, n_without = (np.bincount(c, minlength=BANDS) for c in (codes, without))
    kept = np.flatnonzero(n + n_without)
    names = tuple(f"{SCORE_BAND}={i / BANDS:.1f}-{(i + 1) / BANDS:.1f}" for i in kept)
    return Dimension(
        SCORE_BAND, _renumber(codes, kept, BANDS), names, n_without[kept].astype(np.int64)
    )


def folded(
    dimensions: Sequence[Dimension], *, limit: int
) -> tuple[tuple[Dimension, ...], tuple[Note, ...]]:
    """Fold the rarest slices of the declared dimensions until `limit` slices are left.

    Score bands are never folded. Each dimension that loses slices gains one, `dim=__other__`.
    """
    fixed = sum(len(d) for d in dimensions if d.name == SCORE_BAND)
    free = [d for d in dimensions if d.name != SCORE_BAND]
    if fixed + sum(map(len, free)) <= limit:
        return tuple(dimensions), ()
    room = limit - fixed - len(free)
    if room < len(free):
        raise Unusable(
            f"`max_slices` of {limit} is too small: score bands take {fixed}, and each of "
            f"{len(free)} other dimensions takes at least two."
        )
    n = [np.bincount(d.codes, minlength=len(d)) + d.unlabelled for d in free]
    # one bar for all dimensions: the slices with the most rows stay, wherever they are
    order = np.argsort(-np.concatenate(n), kind="stable")
    keep = np.zeros(len(order), dtype=np.bool_)
    keep[order[:room]] = True
    ends = np.cumsum([len(d) for d in free])
    result: dict[str, Dimension] = {}
    notes = []
    for dimension, counts, mask in zip(free, n, np.split(keep, ends[:-1]), strict=True):
        result[dimension.name] = _fold(dimension, mask)
        if not mask.all():
            notes.append(
                Note(
                    code="folded",
                    pointer="/slices",
                    reason=f"{int((~mask).sum()):,} slices of {dimension.name} with "
                    f"{int(counts[~mask].sum()):,} rows are folded into "
                    f"{dimension.name}={OTHER}: a report holds at most {limit:,} slices.",
                )
            )
    return tuple(result.get(d.name, d) for d in dimensions), tuple(notes)


def _fold(dimension: Dimension, mask: NDArray[np.bool_]) -> Dimension:
    if mask.all():
        return dimension
    kept = np.flatnonzero(mask)
    lookup = np.full(len(mask), len(kept), dtype=np.int32)
    lookup[kept] = np.arange(len(kept), dtype=np.int32)
    unlabelled = np.bincount(lookup, weights=dimension.unlabelled, minlength=len(kept) + 1)
    return Dimension(
        dimension.name,
        lookup[dimension.codes],
        (*(dimension.names[i] for i in kept), f"{dimension.name}={OTHER}"),
        unlabelled.astype(np.int64),
    )


def _renumber(codes: NDArray[Any], kept: NDArray[np.intp], size: int) -> NDArray[np.int32]:
    lookup = np.zeros(size, dtype=np.int32)
    lookup[kept] = np.arange(len(kept), dtype=np.int32)
    return np.asarray(lookup[codes], dtype=np.int32)

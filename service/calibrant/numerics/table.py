"""Sums per slice and bin: the one sufficient statistic, exact for counts, float for weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.edges import (
    FINE_BINS,
    FINE_EDGES,
    LOG_ODDS_EDGES,
    bin_index,
    equal_edges,
    fine_groups,
)
from calibrant.numerics.rows import derive

QUANTUM = 2.0**30
"""Fixed-point unit of sums of scores and products: 2**33 events fit into one cell."""
NLL_QUANTUM = 2.0**24
View = Literal[10, 15, 20, "log_odds"]

_CELLS = 4096


def _lookup(edges: NDArray[np.float64], closed: Literal["left", "right"]) -> NDArray[np.int64]:
    """Return the bin of every multiple of 1/4096; a kernel steps up from there."""
    return bin_index(np.arange(_CELLS + 1) / _CELLS, edges, closed=closed)


_FINE_START = _lookup(FINE_EDGES, "left")
_EDGES_15 = equal_edges(15)


def divide(top: NDArray[Any], bottom: NDArray[Any], empty: float = np.nan) -> NDArray[np.float64]:
    """Divide where the divisor is positive; `empty` elsewhere."""
    result = np.full(np.broadcast_shapes(top.shape, bottom.shape), empty)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def bits(outcome: NDArray[Any]) -> NDArray[np.uint8]:
    """Return outcomes as bytes 0 and 1, the one form in which kernels take them."""
    return _column(outcome, np.bool_).view(np.uint8)


def plain(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return a float64 column, the one form in which kernels take scores and weights."""
    return _column(values, np.float64)


def slice_codes(codes: NDArray[Any]) -> NDArray[np.int32]:
    """Return an int32 column, the one form in which kernels take slices."""
    return _column(codes, np.int32)


def _column(values: NDArray[Any], dtype: type) -> NDArray[Any]:
    # A read-only array would be one more type to compile for.
    column: NDArray[Any] = np.ascontiguousarray(values, dtype=dtype)
    return column if column.flags.writeable else column.copy()


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Sums per slice and bin, what every calibration metric reads.

    Attributes
    ----------
    edges : float64 array of shape (n_bins + 1,)
    n : int64 array of shape (n_slices, n_bins)
        Rows.
    w, p, y, v, c : float64 arrays of shape (n_slices, n_bins)
        Sums of w, w*p, w*y, w*p*(1-p) and w*p*y; without weights w is 1.
    w2, w2v, w2d2 : float64 arrays of shape (n_slices, n_bins)
        Sums of w^2, w^2*p*(1-p) and w^2*(p-y)^2.
    """

    edges: NDArray[np.float64]
    n: NDArray[np.int64]
    w: NDArray[np.float64]
    p: NDArray[np.float64]
    y: NDArray[np.float64]
    v: NDArray[np.float64]
    c: NDArray[np.float64]
    w2: NDArray[np.float64]
    w2v: NDArray[np.float64]
    w2d2: NDArray[np.float64]

    @property
    def d2(self) -> NDArray[np.float64]:
        """Sums of w*(p-y)^2, shape (n_slices, n_bins)."""
        return np.maximum(self.p - self.v - 2.0 * self.c + self.y, 0.0)

    @property
    def n_eff(self) -> NDArray[np.float64]:
        """Effective number of rows, W^2 / sum w^2, shape (n_slices,); 0 where empty."""
        return divide(self.w.sum(axis=1) ** 2, self.w2.sum(axis=1), 0.0)

    def __len__(self) -> int:
        return len(self.n)

    def take(self, slices: Any) -> Bins:
        """Return the slices at these positions (a list, an array or a mask)."""
        index = np.atleast_1d(np.asarray(slices))
        return Bins(self.edges, *(getattr(self, name)[index] for name in _BIN_SUMS))

    @classmethod
    def concat(cls, parts: Sequence[Bins]) -> Bins:
        """Stack slices of parts that share their edges."""
        return cls(
            parts[0].edges,
            *(np.concatenate([getattr(part, name) for part in parts]) for name in _BIN_SUMS),
        )

    @classmethod
    def unweighted(
        cls,
        edges: NDArray[np.float64],
        n: NDArray[np.int64],
        p: NDArray[np.float64],
        y: NDArray[np.float64],
        v: NDArray[np.float64],
        c: NDArray[np.float64],
    ) -> Bins:
        """Make bins of rows that weigh 1 each."""
        w = n.astype(np.float64)
        return cls(edges, n, w, p, y, v, c, w, v, np.maximum(p - v - 2.0 * c + y, 0.0))

    @classmethod
    def from_rows(
        cls,
        score: NDArray[Any],
        outcome: NDArray[Any],
        weights: NDArray[np.float64] | None = None,
        *,
        edges: NDArray[np.float64] | None = None,
        closed: Literal["left", "right"] = "left",
    ) -> Bins:
        """Count rows into one slice of bins in one pass.

        Parameters
        ----------
        score : float array of shape (n,), in [0, 1]
        outcome : bool or 0/1 array of shape (n,)
        weights : float64 array of shape (n,), optional
        edges : float64 array of shape (n_bins + 1,), optional
            Default: 15 equal widths. From 0 to 1, not decreasing.
        closed : {"left", "right"}
            Which end of a bin belongs to it; the outermost bins keep both 0 and 1.

        Returns
        -------
        Bins
            With `n_slices` = 1.
        """
        from calibrant.numerics.kernels import binning

        edges = _EDGES_15 if edges is None else np.ascontiguousarray(edges, dtype=np.float64)
        score, outcome = plain(score), bits(outcome)
        if weights is None:
            return cls._count(score, outcome, edges, closed)
        start, sums = _lookup(edges, closed), np.zeros((1, len(edges) - 1, 9))
        right = closed == "right"
        binning.sums_weighted(score, outcome, plain(weights), start, edges, right, sums)
        n, *rest = np.moveaxis(sums, 2, 0)
        return cls(edges, n.astype(np.int64), *rest)

    @classmethod
    def checked(
        cls,
        scores: NDArray[Any],
        labels: NDArray[Any],
        *,
        edges: NDArray[np.float64] | None = None,
        closed: Literal["left", "right"] = "left",
    ) -> Bins:
        """Check binary probabilities and count them, where NLL and Brier are not wanted.

        The bins are those of `derive` and `from_rows`, bit for bit, at a fraction of the cost.

        Parameters
        ----------
        scores : float array of shape (n,), (n, 1) or (n, 2)
            P(y=1), or both classes.
        labels : integer array of shape (n,)
        edges, closed
            As in `from_rows`.

        Returns
        -------
        Bins
            With `n_slices` = 1.

        Raises
        ------
        BadBatch
            As in `rows.derive`: with counts and the first row numbers.

        Examples
        --------
        >>> Bins.checked(np.array([0.1, 0.9]), np.array([0, 1]), edges=np.array([0, 0.5, 1])).n
        array([[1, 1]])
        """
        from calibrant.numerics.kernels.rows import are_binary

        p, y = np.asarray(scores), np.asarray(labels)
        usual = p.dtype in (np.float32, np.float64) and y.dtype.kind in "iub"
        if usual and p.ndim == 1 and p.shape == y.shape and len(p):
            p, y = np.ascontiguousarray(p), np.ascontiguousarray(y, dtype=np.int64)
            if are_binary(p, y):
                edges = _EDGES_15 if edges is None else np.ascontiguousarray(edges, np.float64)
                return cls._count(p, y, edges, closed)
        rows = derive(scores, labels, task="binary", score_kind="probabilities")
        return cls.from_rows(rows.score, rows.outcome, edges=edges, closed=closed)

    @classmethod
    def _count(
        cls,
        score: NDArray[Any],
        outcome: NDArray[Any],
        edges: NDArray[np.float64],
        closed: Literal["left", "right"],
    ) -> Bins:
        from calibrant.numerics.kernels import binning

        n_bins, right = len(edges) - 1, closed == "right"
        even = not right and np.array_equal(edges[:-1], np.arange(n_bins) * (1.0 / n_bins))
        start = np.zeros(0, dtype=np.int64) if even else _lookup(edges, closed)
        lanes = np.zeros((binning.LANES, 2 * n_bins, 3))
        binning.sums_plain(score, outcome, even, start, edges, right, lanes)
        by_outcome = lanes.sum(axis=0).reshape(1, n_bins, 2, 3)
        n, p, v = np.moveaxis(by_outcome.sum(axis=2), 2, 0)
        y, c, _ = np.moveaxis(by_outcome[:, :, 1], 2, 0)
        return cls.unweighted(edges, n.astype(np.int64), p, y, v, c)


_BIN_SUMS = ("n", "w", "p", "y", "v", "c", "w2", "w2v", "w2d2")


def _codes(codes: NDArray[Any] | None, n: int, n_slices: int) -> tuple[NDArray[np.int32], bool]:
    if codes is None:
        return np.zeros(1, dtype=np.int32), False
    column = slice_codes(codes)
    if column.shape != (n,) or (n and int(column.max()) >= n_slices):
        message = f"`codes` must have shape ({n},) and values below {n_slices}"
        raise ValueError(message)
    return column, True


@dataclass(frozen=True, slots=True, eq=False)
class BinTable:
    """Integer counts and fixed-point sums per slice: adds, merges and subtracts bit for bit.

    The leading axis of every array is the slice. Merging any partition of a stream, in any
    order, gives the table of the whole.

    Attributes
    ----------
    fine : int64 array of shape (n_slices, 308, 3)
        Rows, outcomes and sum of round(p * 2**30) per fine bin.
    wide : int64 array of shape (n_slices, 15, 5)
        The same three on 15 equal widths, then the sums of p*(1-p) and of p*y.
    nll_fixed : int64 array of shape (n_slices,)
        Sum of the clipped negative log-likelihood in units of 2**-24 nat.
    """

    fine: NDArray[np.int64]
    wide: NDArray[np.int64]
    nll_fixed: NDArray[np.int64]

    @classmethod
    def zeros(cls, n_slices: int = 1) -> BinTable:
        """Return an empty table."""
        return cls(
            np.zeros((n_slices, FINE_BINS, 3), dtype=np.int64),
            np.zeros((n_slices, 15, 5), dtype=np.int64),
            np.zeros(n_slices, dtype=np.int64),
        )

    @classmethod
    def from_rows(
        cls,
        score: NDArray[Any],
        outcome: NDArray[Any],
        *,
        codes: NDArray[Any] | None = None,
        n_slices: int = 1,
    ) -> BinTable:
        """Count rows.

        Parameters
        ----------
        score : float array of shape (n,), in [0, 1]
            Must be validated: `rows.derive` does.
        outcome : bool array of shape (n,)
        codes : int array of shape (n,), optional
            Slice of each row; -1: in none. Default: all rows in slice 0.
        n_slices : int
        """
        table = cls.zeros(n_slices)
        table.add_rows(score, outcome, codes=codes)
        return table

    def add_rows(
        self, score: NDArray[Any], outcome: NDArray[Any], *, codes: NDArray[Any] | None = None
    ) -> None:
        """Count further rows into this table, in place."""
        from calibrant.numerics.kernels import binning

        column, by_slice = _codes(codes, len(score), len(self))
        binning.tabulate(
            plain(score), bits(outcome), column, by_slice, _FINE_START, FINE_EDGES, _EDGES_15,
            self.fine, self.wide, self.nll_fixed,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.fine)

    def __add__(self, other: BinTable) -> BinTable:
        return BinTable(
            self.fine + other.fine, self.wide + other.wide, self.nll_fixed + other.nll_fixed
        )

    def __sub__(self, other: BinTable) -> BinTable:
        return BinTable(
            self.fine - other.fine, self.wide - other.wide, self.nll_fixed - other.nll_fixed
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BinTable):
            return NotImplemented
        return (
            np.array_equal(self.fine, other.fine)
            and np.array_equal(self.wide, other.wide)
            and np.array_equal(self.nll_fixed, other.nll_fixed)
        )

    __hash__ = None  # type: ignore[assignment]

    def take(self, slices: Any) -> BinTable:
        """Return the slices at these positions (a list, an array or a mask)."""
        index = np.atleast_1d(np.asarray(slices))
        return BinTable(self.fine[index], self.wide[index], self.nll_fixed[index])

    def total(self) -> BinTable:
        """Merge all slices into one."""
        return BinTable(
            self.fine.sum(axis=0, keepdims=True),
            self.wide.sum(axis=0, keepdims=True),
            self.nll_fixed.sum(keepdims=True),
        )

    @classmethod
    def concat(cls, parts: Sequence[BinTable]) -> BinTable:
        """Put the slices of several tables one after another."""
        return cls(
            np.concatenate([part.fine for part in parts]),
            np.concatenate([part.wide for part in parts]),
            np.concatenate([part.nll_fixed for part in parts]),
        )

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows per slice, shape (n_slices,)."""
        return np.asarray(self.wide[:, :, 0].sum(axis=1))

    def nll_clipped(self) -> NDArray[np.float64]:
        """Return the mean NLL, p clipped to [1e-12, 1-1e-12], per slice; NaN where empty."""
        return divide(self.nll_fixed / NLL_QUANTUM, self.rows)

    def bins(self, view: View = 15) -> Bins:
        """Return a view of the table.

        Parameters
        ----------
        view : {15, 10, 20, "log_odds"}
            15 is counted as such. The others are unions of fine bins: their n, p and y are
            exact, while sums of p*(1-p) and p*y take every fine bin at its mean score, which
            is off by at most the variance inside a fine bin, 6e-6 a row.
        """
        if view == 15:
            n, y, p, v, c = np.moveaxis(self.wide, 2, 0)
            return Bins.unweighted(
                _EDGES_15, n.copy(), p / QUANTUM, y.astype(np.float64), v / QUANTUM, c / QUANTUM
            )
        edges = LOG_ODDS_EDGES if view == "log_odds" else equal_edges(view)
        n, k, s = np.moveaxis(self.fine, 2, 0)
        count, positives, total = n.astype(np.float64), k.astype(np.float64), s / QUANTUM
        mean = divide(total, count, 0.0)
        parts = (n, total, positives, total * (1.0 - mean), positives * mean)
        start = fine_groups(edges)
        grouped = (np.add.reduceat(part, start, axis=1) for part in parts)
        return Bins.unweighted(edges, *grouped)


@dataclass(frozen=True, slots=True, eq=False)
class WeightedTable:
    """The table of weighted rows: float sums, so that partitions agree to 1e-12 only.

    Attributes
    ----------
    fine : float64 array of shape (n_slices, 308, 5)
        Sums of 1, w, w*p, w*y, w^2 per fine bin.
    wide : float64 array of shape (n_slices, 15, 9)
        Sums in the order of `Bins`: 1, w, w*p, w*y, w*p*(1-p), w*p*y, w^2, w^2*p*(1-p),
        w^2*(p-y)^2.
    nll_sum : float64 array of shape (n_slices,)
        Sum of w times the clipped negative log-likelihood.
    """

    fine: NDArray[np.float64]
    wide: NDArray[np.float64]
    nll_sum: NDArray[np.float64]

    @classmethod
    def zeros(cls, n_slices: int = 1) -> WeightedTable:
        """Return an empty table."""
        return cls(
            np.zeros((n_slices, FINE_BINS, 5)), np.zeros((n_slices, 15, 9)), np.zeros(n_slices)
        )

    @classmethod
    def from_rows(
        cls,
        score: NDArray[Any],
        outcome: NDArray[Any],
        weights: NDArray[np.float64],
        *,
        codes: NDArray[Any] | None = None,
        n_slices: int = 1,
    ) -> WeightedTable:
        """Count weighted rows; parameters as in `BinTable.from_rows`."""
        table = cls.zeros(n_slices)
        table.add_rows(score, outcome, weights, codes=codes)
        return table

    def add_rows(
        self,
        score: NDArray[Any],
        outcome: NDArray[Any],
        weights: NDArray[np.float64],
        *,
        codes: NDArray[Any] | None = None,
    ) -> None:
        """Count further rows into this table, in place."""
        from calibrant.numerics.kernels import binning

        column, by_slice = _codes(codes, len(score), len(self))
        binning.tabulate_weighted(
            plain(score), bits(outcome), plain(weights), column, by_slice, _FINE_START, FINE_EDGES, _EDGES_15,
            self.fine, self.wide, self.nll_sum,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.fine)

    def __add__(self, other: WeightedTable) -> WeightedTable:
        return WeightedTable(
            self.fine + other.fine, self.wide + other.wide, self.nll_sum + other.nll_sum
        )

    def take(self, slices: Any) -> WeightedTable:
        """Return the slices at these positions (a list, an array or a mask)."""
        index = np.atleast_1d(np.asarray(slices))
        return WeightedTable(self.fine[index], self.wide[index], self.nll_sum[index])

    def total(self) -> WeightedTable:
        """Merge all slices into one."""
        return WeightedTable(
            self.fine.sum(axis=0, keepdims=True),
            self.wide.sum(axis=0, keepdims=True),
            self.nll_sum.sum(keepdims=True),
        )

    @classmethod
    def concat(cls, parts: Sequence[WeightedTable]) -> WeightedTable:
        """Put the slices of several tables one after another."""
        return cls(
            np.concatenate([part.fine for part in parts]),
            np.concatenate([part.wide for part in parts]),
            np.concatenate([part.nll_sum for part in parts]),
        )

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows per slice, shape (n_slices,)."""
        return np.asarray(np.rint(self.wide[:, :, 0].sum(axis=1)), dtype=np.int64)

    def nll_clipped(self) -> NDArray[np.float64]:
        """Return the weighted mean NLL, p clipped to [1e-12, 1-1e-12]; NaN where empty."""
        return divide(self.nll_sum, self.wide[:, :, 1].sum(axis=1))

    def bins(self, view: View = 15) -> Bins:
        """Return a view of the table; see `BinTable.bins`."""
        if view == 15:
            n, *sums = np.moveaxis(self.wide, 2, 0)
            return Bins(_EDGES_15, np.rint(n).astype(np.int64), *(part.copy() for part in sums))
        edges = LOG_ODDS_EDGES if view == "log_odds" else equal_edges(view)
        n, w, p, y, w2 = np.moveaxis(self.fine, 2, 0)
        mean, rate = divide(p, w, 0.0), divide(y, w, 0.0)
        residual = mean * mean - 2.0 * mean * rate + rate
        spread = mean * (1.0 - mean)
        parts = (w, p, y, w * spread, y * mean, w2, w2 * spread, w2 * residual)
        start = fine_groups(edges)
        count = np.rint(np.add.reduceat(n, start, axis=1)).astype(np.int64)
        return Bins(edges, count, *(np.add.reduceat(part, start, axis=1) for part in parts))


def tabulate(
    score: NDArray[Any],
    outcome: NDArray[Any],
    weights: NDArray[np.float64] | None = None,
    *,
    codes: NDArray[Any] | None = None,
    n_slices: int = 1,
) -> BinTable | WeightedTable:
    """Count rows into the table that suits them: exact without weights, float with."""
    if weights is None:
        return BinTable.from_rows(score, outcome, codes=codes, n_slices=n_slices)
    return WeightedTable.from_rows(score, outcome, weights, codes=codes, n_slices=n_slices)

"""Counting rows into bins: integer tables, float sums, and the bin index itself."""

from __future__ import annotations

import numpy as np
from numba import boolean, njit, uint8

from calibrant.numerics.kernels.signature import FLOATS, filled, float64, given, int64

CELLS = 4096
"""Cells of the lookup that gives the first bin a score may lie in."""

LANES = 8  # copies of the sums, so that neighbouring rows do not wait for each other
BLOCK = 256  # rows whose bins are found before they are added; a multiple of LANES

QUANTUM = 1073741824.0  # 2**30: sums of p and of products
NLL_QUANTUM = 16777216.0  # 2**24
CLIP = 1e-12


@njit(cache=True, nogil=True, inline="always")
def _left_bin(p, start, edges, last):  # type: ignore[no-untyped-def]
    b = start[int(p * CELLS)]
    while b < last and p >= edges[b + 1]:
        b += 1
    return b


@njit(cache=True, nogil=True, inline="always")
def _right_bin(p, start, edges, last):  # type: ignore[no-untyped-def]
    b = start[int(p * CELLS)]
    while b < last and p > edges[b + 1]:
        b += 1
    return b


@njit(cache=True, nogil=True, inline="always")
def _even_bin(p, edges, last):  # type: ignore[no-untyped-def]
    """Return the bin of equal widths: the floor is off by one at most, and says so itself."""
    j = min(int(p * (last + 1)), last)
    return j - (p < edges[j]) + ((p >= edges[j + 1]) & (j < last))


@njit(cache=True, nogil=True)
def tabulate(score, outcome, codes, by_slice, fine_start, fine_edges, edges15, fine, wide, nll):  # type: ignore[no-untyped-def]
    """Add rows to integer tables; a row whose code is negative is in no slice."""
    for i in range(score.shape[0]):
        group = codes[i] if by_slice else 0
        if group < 0:
            continue
        p = float(score[i])
        y = np.int64(outcome[i])
        fixed = np.int64(np.rint(p * QUANTUM))
        b = _left_bin(p, fine_start, fine_edges, 307)
        fine[group, b, 0] += 1
        fine[group, b, 1] += y
        fine[group, b, 2] += fixed
        j = _even_bin(p, edges15, 14)
        wide[group, j, 0] += 1
        wide[group, j, 1] += y
        wide[group, j, 2] += fixed
        wide[group, j, 3] += np.int64(np.rint(p * (1.0 - p) * QUANTUM))
        wide[group, j, 4] += fixed * y
        chance = p if y else 1.0 - p
        chance = min(max(chance, CLIP), 1.0 - CLIP)
        nll[group] += np.int64(np.rint(-np.log(chance) * NLL_QUANTUM))


@njit(cache=True, nogil=True)
def tabulate_weighted(  # type: ignore[no-untyped-def]
    score, outcome, weights, codes, by_slice, fine_start, fine_edges, edges15, fine, wide, nll
):
    """Add weighted rows to float tables."""
    for i in range(score.shape[0]):
        group = codes[i] if by_slice else 0
        if group < 0:
            continue
        p = float(score[i])
        y = float(outcome[i])
        w = weights[i]
        b = _left_bin(p, fine_start, fine_edges, 307)
        fine[group, b, 0] += 1.0
        fine[group, b, 1] += w
        fine[group, b, 2] += w * p
        fine[group, b, 3] += w * y
        fine[group, b, 4] += w * w
        j = _even_bin(p, edges15, 14)
        _add_weighted(wide, group, j, p, y, w)
        chance = p if y else 1.0 - p
        chance = min(max(chance, CLIP), 1.0 - CLIP)
        nll[group] -= w * np.log(chance)


@njit(cache=True, nogil=True, inline="always")
def _add_weighted(sums, group, j, p, y, w):  # type: ignore[no-untyped-def]
    v = p * (1.0 - p)
    sums[group, j, 0] += 1.0
    sums[group, j, 1] += w
    sums[group, j, 2] += w * p
    sums[group, j, 3] += w * y
    sums[group, j, 4] += w * v
    sums[group, j, 5] += w * p * y
    sums[group, j, 6] += w * w
    sums[group, j, 7] += w * w * v
    sums[group, j, 8] += w * w * (p - y) * (p - y)


@njit(cache=True, nogil=True)
def sums_weighted(score, outcome, weights, start, edges, right, sums):  # type: ignore[no-untyped-def]
    """Add weighted rows to sums of shape (1, n_bins, 9)."""
    last = edges.shape[0] - 2
    for i in range(score.shape[0]):
        p = float(score[i])
        j = _right_bin(p, start, edges, last) if right else _left_bin(p, start, edges, last)
        _add_weighted(sums, 0, j, p, float(outcome[i]), weights[i])


@njit(cache=True, nogil=True)
def _even_cells(score, outcome, n_bins, cells):  # type: ignore[no-untyped-def]
    """Find 2 * bin + outcome over equal widths; the floor is off by one bin at most.

    Edges are multiplied here, not looked up, so that several rows fit into an instruction.
    """
    step = 1.0 / n_bins
    for i in range(score.shape[0]):
        p = np.float64(score[i])
        j = np.int32(p * n_bins)
        j = np.int32(j - (p < j * step) + (p >= (j + 1) * step))
        cells[i] = 2 * min(max(j, 0), n_bins - 1) + outcome[i]


@njit(cache=True, nogil=True)
def _cells(score, outcome, start, edges, right, cells):  # type: ignore[no-untyped-def]
    """Find 2 * bin + outcome over any edges."""
    last = edges.shape[0] - 2
    for i in range(score.shape[0]):
        p = float(score[i])
        j = _right_bin(p, start, edges, last) if right else _left_bin(p, start, edges, last)
        cells[i] = 2 * j + outcome[i]


@njit(cache=True, nogil=True)
def _add(score, cells, sums):  # type: ignore[no-untyped-def]
    for i in range(score.shape[0]):
        p, lane, cell = float(score[i]), i & (LANES - 1), cells[i]
        sums[lane, cell, 0] += 1.0
        sums[lane, cell, 1] += p
        sums[lane, cell, 2] += p * (1.0 - p)


@njit(
    [
        (
            given(score, 1),
            given(outcome, 1),
            boolean,
            given(int64, 1),
            given(float64, 1),
            boolean,
            filled(3),
        )
        for score in FLOATS
        for outcome in (uint8, int64)
    ],
    cache=True,
    nogil=True,
)
def sums_plain(score, outcome, even, start, edges, right, sums):  # type: ignore[no-untyped-def]
    """Add rows to sums of 1, p and p (1 - p), shape (LANES, 2 n_bins, 3), by bin and outcome.

    `even`: edge j is j / n_bins as a product, and belongs to the bin above it.
    """
    cells = np.empty(BLOCK, np.int32)
    for i in range(0, score.shape[0], BLOCK):
        p, y = score[i : i + BLOCK], outcome[i : i + BLOCK]
        if even:
            _even_cells(p, y, np.int32(edges.shape[0] - 1), cells)
        else:
            _cells(p, y, start, edges, right, cells)
        _add(p, cells, sums)


@njit(cache=True, nogil=True)
def slice_sums(values, weights, weighted, codes, by_slice, sums):  # type: ignore[no-untyped-def]
    """Add up w, w x and w^2 per slice."""
    for i in range(values.shape[0]):
        group = codes[i] if by_slice else 0
        if group < 0:
            continue
        w = weights[i] if weighted else 1.0
        sums[group, 0] += w
        sums[group, 1] += w * values[i]
        sums[group, 2] += w * w


@njit(cache=True, nogil=True)
def slice_squares(values, weights, weighted, codes, by_slice, mean, squares):  # type: ignore[no-untyped-def]
    """Add up (w (x - mean))^2 per slice."""
    for i in range(values.shape[0]):
        group = codes[i] if by_slice else 0
        if group < 0:
            continue
        w = weights[i] if weighted else 1.0
        residual = w * (values[i] - mean[group])
        squares[group] += residual * residual

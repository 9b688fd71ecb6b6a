"""Isotonic regression: pooled ties, pool-adjacent-violators, and Venn-Abers from the same sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int32, njit, types, uint32, uint64

from calibrant.numerics.kernels.signature import filled, float64, given, int64

BLOCKS_OF_KEYS = {
    keys: types.Tuple([filled(1, keys)] * 2 + [filled(1, int64)] * 2)  # type: ignore[no-untyped-call]
    for keys in (uint32, uint64)
}
BLOCKS = types.Tuple([filled(1)] * 4)  # type: ignore[no-untyped-call]


@njit(
    [
        types.void(given(bits, 1), given(int64, 1), filled(1, keys))
        for bits, keys in ((int32, uint32), (int64, uint64))
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def pack(bits: Any, labels: Any, keys: Any) -> None:
    """Write sortable keys: the bits of scores in [0, 1], then the 0/1 label; -0.0 becomes 0."""
    for i in range(bits.size):
        score = bits[i] if bits[i] > 0 else 0
        keys[i] = (score << 1) | labels[i]


@njit(
    [found(given(keys, 1)) for keys, found in BLOCKS_OF_KEYS.items()],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def pooled_keys(keys: Any) -> Any:
    """Return the isotonic blocks of sorted keys: first and last score bits, rows, positives.

    Equal scores are pooled first; a block swallows its predecessor while its mean is not higher,
    compared exactly in integers.
    """
    n = keys.size
    first = np.empty(n, keys.dtype)  # only as much memory is touched as there are open blocks
    last = np.empty(n, keys.dtype)
    count = np.empty(n, np.int64)
    positive = np.empty(n, np.int64)
    top = -1
    i = 0
    while i < n:
        score = keys[i] >> 1
        rows = np.int64(0)
        ones = np.int64(0)
        while i < n and keys[i] >> 1 == score:
            rows += 1
            ones += np.int64(keys[i] & 1)
            i += 1
        low = score
        while top >= 0 and positive[top] * rows >= ones * count[top]:
            low = first[top]
            rows += count[top]
            ones += positive[top]
            top -= 1
        top += 1
        first[top] = low
        last[top] = score
        count[top] = rows
        positive[top] = ones
    m = top + 1
    return first[:m].copy(), last[:m].copy(), count[:m].copy(), positive[:m].copy()


@njit(
    BLOCKS(given(float64, 1), given(float64, 1), given(float64, 1)),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def pooled_sorted(x: Any, weight: Any, total: Any) -> Any:
    """Return the isotonic blocks of scores that rise strictly: first, last, weight, sum.

    `total` is the weighted sum of outcomes at each score.
    """
    n = x.size
    first = np.empty(n)
    last = np.empty(n)
    mass = np.empty(n)
    held = np.empty(n)
    top = -1
    for i in range(n):
        low = x[i]
        w = weight[i]
        s = total[i]
        while top >= 0 and held[top] * w >= s * mass[top]:
            low = first[top]
            w += mass[top]
            s += held[top]
            top -= 1
        top += 1
        first[top] = low
        last[top] = x[i]
        mass[top] = w
        held[top] = s
    m = top + 1
    return first[:m].copy(), last[:m].copy(), mass[:m].copy(), held[:m].copy()


@njit(
    float64(float64, float64, float64, float64, float64, float64),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def turn(ax: float, ay: float, bx: float, by: float, cx: float, cy: float) -> float:
    """Return a positive number if a -> b -> c turns left."""
    return (bx - ax) * (cy - by) - (by - ay) * (cx - bx)


@njit(filled(1)(given(float64, 1), given(float64, 1)), cache=True, nogil=True, error_model="numpy")
def upper_probabilities(weight: Any, total: Any) -> Any:
    """Return, at each rising score, the isotonic value there after adding (score, 1).

    `weight` and `total` are the weight and the weighted sum of outcomes of each score. The value
    is a slope of the greatest convex minorant of the cumulative sums in which every point left of
    the score is moved by (-1, -1); the corners are kept on a stack while the score moves right
    (Vovk, Petej and Fedorova 2015, algorithms 1 and 2). O(n).
    """
    m = weight.size
    px = np.empty(m + 2)  # entry j + 1 is the paper's P_j
    py = np.empty(m + 2)
    px[0] = py[0] = -1.0
    px[1] = py[1] = 0.0
    for j in range(m):
        px[j + 2] = px[j + 1] + weight[j]
        py[j + 2] = py[j + 1] + total[j]
    # the stack lies right to left, its top is the leftmost corner
    stack_x = np.empty(m + 2)
    stack_y = np.empty(m + 2)
    size = 0
    for j in range(m + 2):
        while size > 1 and (
            turn(
                stack_x[size - 2],
                stack_y[size - 2],
                stack_x[size - 1],
                stack_y[size - 1],
                px[j],
                py[j],
            )
            <= 0.0
        ):
            size -= 1
        stack_x[size] = px[j]
        stack_y[size] = py[j]
        size += 1
    stack_x[:size] = stack_x[:size][::-1].copy()
    stack_y[:size] = stack_y[:size][::-1].copy()
    found = np.empty(m)
    for j in range(1, m + 1):
        tx, ty = stack_x[size - 1], stack_y[size - 1]
        ux, uy = stack_x[size - 2], stack_y[size - 2]
        found[j - 1] = (uy - ty) / (ux - tx)
        px[j] = px[j - 1] + px[j + 1] - px[j]
        py[j] = py[j - 1] + py[j + 1] - py[j]
        if turn(tx, ty, ux, uy, px[j], py[j]) >= 0.0:
            continue  # at or above the first edge: the leftmost corner stays
        size -= 1
        while size > 1 and (
            turn(
                px[j],
                py[j],
                stack_x[size - 1],
                stack_y[size - 1],
                stack_x[size - 2],
                stack_y[size - 2],
            )
            <= 0.0
        ):
            size -= 1
        stack_x[size] = px[j]
        stack_y[size] = py[j]
        size += 1
    return found

"""Sums over rows from which a temperature is solved; one call is one pass over the data.

Logits are shifted by the row maximum: `d = z - max <= 0` and `x = c d` with the multiplier
`c = 1/T`. Per row `s_i = sum e^x x^i`; a masked class (-inf) adds 0 to each. Rows are handled in
blocks laid out class by class, so that every inner loop runs over rows: it vectorises without
reordering any row's own sum. Products may be fused with the sum they go into: one rounding less,
and a fifth of the time.

`log s_0` generates the cumulants of d under softmax(x), so its derivatives in c beyond the second
cost a product and a sum each, little beside the exponential: a pass that returns four saves the
next pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, njit, types

from calibrant.numerics.kernels.exponential import LOWEST, exp_nonpositive
from calibrant.numerics.kernels.signature import FLOATS, filled, float64, given, int64

BLOCK = 4096  # elements of a working block: it stays in the first-level cache
ROWS = 32  # but at least so many rows, or the inner loops are too short to pay
FULL = 1e200  # sums of logs are taken as logs of products of up to this size
FUSED = {"contract"}

SUMS = types.UniTuple(float64, 5)  # type: ignore[no-untyped-call]
SURVEY = types.Tuple((boolean, boolean, *(float64,) * 4))  # type: ignore[no-untyped-call]


@njit(
    [types.void(given(t, 2), int64, int64, filled(2), filled(1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def load_block(z: Any, start: int, m: int, x: Any, top: Any) -> None:
    """Write rows start to start + m class by class into `x`, shifted by their maximum `top`."""
    k = z.shape[1]
    top[:m] = -np.inf
    for j in range(k):
        row = x[j]
        for r in range(m):  # apart from the maximum: together they take twice as long
            row[r] = z[start + r, j]
        for r in range(m):
            top[r] = row[r] if row[r] > top[r] else top[r]
    for j in range(k):
        row = x[j]
        for r in range(m):
            row[r] -= top[r]


@njit(
    [SUMS(given(t, 2), given(int64, 1), given(float64, 1), float64) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath=FUSED,
)
def pass_rows(z: Any, y: Any, w: Any, c: float) -> tuple[float, float, float, float, float]:
    """Return the weighted sums of f, c f', c^2 f'', c^3 f''' and c^4 f'''': loss, derivatives in c.

    `w` is empty for unit weights.
    """
    n, k = z.shape
    size = max(ROWS, BLOCK // k)
    x = np.empty((k, size))
    top = np.empty(size)
    s0 = np.empty(size)
    s1 = np.empty(size)
    s2 = np.empty(size)
    s3 = np.empty(size)
    s4 = np.empty(size)
    loss = 0.0
    product = 1.0
    slope = 0.0
    curve = 0.0
    third = 0.0
    fourth = 0.0
    for start in range(0, n, size):
        m = min(size, n - start)
        load_block(z, start, m, x, top)
        s0[:] = 0.0
        s1[:] = 0.0
        s2[:] = 0.0
        s3[:] = 0.0
        s4[:] = 0.0
        for j in range(k):
            row = x[j]
            for r in range(m):
                v = max(c * row[r], LOWEST)
                e = exp_nonpositive(v)
                s0[r] += e
                e *= v
                s1[r] += e
                e *= v
                s2[r] += e
                e *= v
                s3[r] += e
                e *= v
                s4[r] += e
        for r in range(m):
            weight = w[start + r] if w.size else 1.0
            own = c * x[y[start + r], r]
            mean = s1[r] / s0[r]
            second = s2[r] / s0[r]
            cube = s3[r] / s0[r]
            spread = second - mean * mean
            if w.size:
                loss += weight * np.log(s0[r])
            else:
                product *= s0[r]
                if product > FULL:
                    loss += np.log(product)
                    product = 1.0
            loss -= weight * own
            slope += weight * (mean - own)
            curve += weight * spread
            third += weight * (cube - mean * (3.0 * second - 2.0 * mean * mean))
            # the fourth cumulant from moments about 0
            fourth += weight * (
                s4[r] / s0[r]
                - mean * (4.0 * cube - 6.0 * mean * (second + spread))
                - 3.0 * second * second
            )
    return loss + np.log(product), slope, curve, third, fourth


@njit(
    [SUMS(given(t, 1), given(int64, 1), given(float64, 1), float64) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath=FUSED,
)
def pass_binary(z: Any, y: Any, w: Any, c: float) -> tuple[float, float, float, float, float]:
    """Return the sums of `pass_rows` for binary logits, the softmax of [0, z].

    An infinite logit on its label's side adds 0. x is held to at least LOWEST.
    """
    n = z.size
    value = np.empty(BLOCK)
    tail = np.empty(BLOCK)
    loss = 0.0
    product = 1.0
    slope = 0.0
    curve = 0.0
    third = 0.0
    fourth = 0.0
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        for r in range(m):
            v = max(-c * abs(np.float64(z[start + r])), LOWEST)
            value[r] = v
            tail[r] = exp_nonpositive(v)
        for r in range(m):
            v = value[r]
            e = tail[r]
            weight = w[start + r] if w.size else 1.0
            if w.size:
                loss += weight * np.log1p(e)
            else:
                product *= 1.0 + e
                if product > FULL:
                    loss += np.log(product)
                    product = 1.0
            # 1 where the label is on the other side of 0 than the score
            wrong = np.float64((z[start + r] >= 0) ^ (y[start + r] == 1))
            p = e / (1.0 + e)
            loss -= weight * wrong * v
            slope += weight * (p - wrong) * v
            spread = p * (1.0 - p)
            curve += weight * spread * v * v
            third += weight * spread * (1.0 - 2.0 * p) * v * v * v
            fourth += weight * spread * (1.0 - 6.0 * spread) * v * v * v * v
    return loss + np.log(product), slope, curve, third, fourth


@njit([boolean(filled(2), int64, filled(1))], cache=True, nogil=True)
def alike(x: Any, m: int, first: Any) -> bool:
    """Whether the first m rows of a block have the same shifted logits as the first row of all."""
    same = True
    for j in range(first.size):
        row = x[j]
        for r in range(m):
            same &= row[r] == first[j]
    return same


@njit(
    [SURVEY(given(t, 2), given(int64, 1), given(float64, 1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath=FUSED,
)
def survey_rows(z: Any, y: Any, w: Any) -> tuple[bool, bool, float, float, float, float]:
    """Return what decides a temperature before it is solved, and the loss without one.

    In order: all rows have the same shifted logits; every label attains its row's maximum; the
    weighted sum of f' at c = 0; weighted sum of squares and count of the finite logits below the
    maximum; the weighted sum of f at c = 1, which shares the reading of the rows.
    A row that cannot be used (NaN, +inf, all masked) makes the sum of squares NaN, a label whose
    class is masked makes the slope infinite.
    """
    n, k = z.shape
    size = max(ROWS, BLOCK // k)
    x = np.empty((k, size))
    top = np.empty(size)
    s0 = np.empty(size)
    total = np.empty(size)
    squares = np.empty(size)
    finite = np.empty(size)
    first = np.empty(k)
    same = True
    attained = True
    slope = 0.0
    square = 0.0
    count = 0.0
    loss = 0.0
    product = 1.0
    for start in range(0, n, size):
        m = min(size, n - start)
        load_block(z, start, m, x, top)
        if start == 0:
            for j in range(k):
                first[j] = x[j, 0]
        s0[:] = 0.0
        total[:] = 0.0
        squares[:] = 0.0
        finite[:] = 0.0
        for j in range(k):
            row = x[j]
            for r in range(m):
                v = row[r]
                s0[r] += exp_nonpositive(v)
                held = 0.0 if v == -np.inf else v
                total[r] += held
                squares[r] += held * held
                finite[r] += 0.0 if v == -np.inf else 1.0
        same = same and alike(x, m, first)
        for r in range(m):
            weight = w[start + r] if w.size else 1.0
            own = x[y[start + r], r]
            attained &= own == 0.0
            slope += weight * (total[r] / finite[r] - own)
            square += weight * squares[r]
            count += weight * (finite[r] - 1.0)
            if w.size:
                loss += weight * np.log(s0[r])
            else:
                product *= s0[r]
                if product > FULL:
                    loss += np.log(product)
                    product = 1.0
            loss -= weight * own
    return same, attained, slope, square, count, loss + np.log(product)


@njit(
    [SURVEY(given(t, 1), given(int64, 1), given(float64, 1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath=FUSED,
)
def survey_binary(z: Any, y: Any, w: Any) -> tuple[bool, bool, float, float, float, float]:
    """Return the survey of `survey_rows` for binary logits; an infinite one is a masked class."""
    n = z.size
    value = np.empty(BLOCK)
    tail = np.empty(BLOCK)
    same = True
    attained = True
    slope = 0.0
    square = 0.0
    count = 0.0
    loss = 0.0
    product = 1.0
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        for r in range(m):
            value[r] = -abs(np.float64(z[start + r]))
            tail[r] = exp_nonpositive(value[r])
        for r in range(m):
            d = value[r]
            weight = w[start + r] if w.size else 1.0
            same &= z[start + r] == z[0]
            wrong = (z[start + r] >= 0) ^ (y[start + r] == 1)
            if d != -np.inf:
                own = d if wrong else 0.0
                attained &= own == 0.0
                slope += weight * (0.5 * d - own)
                square += weight * d * d
                count += weight
                loss -= weight * own
            elif wrong:
                slope = np.inf
            if w.size:
                loss += weight * np.log1p(tail[r])
            else:
                product *= 1.0 + tail[r]
                if product > FULL:
                    loss += np.log(product)
                    product = 1.0
    return same, attained, slope, square, count, loss + np.log(product)

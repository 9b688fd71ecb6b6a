"""Sums over rows from which a temperature is solved; one call is one pass over the data.

Logits are shifted by the row maximum: `d = z - max <= 0` and `x = c d` with the multiplier
`c = 1/T`. Per row `s0, s1, s2 = sum e^x {1, x, x^2}`; a masked class (-inf) adds 0 to each. Rows
are handled in blocks laid out class by class, so that every inner loop runs over rows: it
vectorises without reordering any row's own sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, njit, types

from calibrant.numerics.kernels.exponential import LOWEST, exp_nonpositive
from calibrant.numerics.kernels.signature import FLOATS, filled, float64, given, int64

BLOCK = 4096  # elements of a working block: it stays in the first-level cache
FULL = 1e200  # sums of logs are taken as logs of products of up to this size

SUMS = types.Tuple((float64, float64, float64))  # type: ignore[no-untyped-call]
SURVEY = types.Tuple((boolean, boolean, float64, float64, float64))  # type: ignore[no-untyped-call]


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
        for r in range(m):
            v = np.float64(z[start + r, j])
            row[r] = v
            top[r] = max(top[r], v)
    for j in range(k):
        row = x[j]
        for r in range(m):
            row[r] -= top[r]


@njit(
    [SUMS(given(t, 2), given(int64, 1), given(float64, 1), float64) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def pass_rows(z: Any, y: Any, w: Any, c: float) -> tuple[float, float, float]:
    """Return the weighted sums of f, c f' and c^2 f'': loss and its derivatives in c.

    `w` is empty for unit weights.
    """
    n, k = z.shape
    size = max(8, BLOCK // k)
    x = np.empty((k, size))
    top = np.empty(size)
    s0 = np.empty(size)
    s1 = np.empty(size)
    s2 = np.empty(size)
    loss = 0.0
    product = 1.0
    slope = 0.0
    curve = 0.0
    for start in range(0, n, size):
        m = min(size, n - start)
        load_block(z, start, m, x, top)
        s0[:] = 0.0
        s1[:] = 0.0
        s2[:] = 0.0
        for j in range(k):
            row = x[j]
            for r in range(m):
                v = max(c * row[r], LOWEST)
                e = exp_nonpositive(v)
                ev = e * v
                s0[r] += e
                s1[r] += ev
                s2[r] += ev * v
        for r in range(m):
            weight = w[start + r] if w.size else 1.0
            own = c * x[y[start + r], r]
            mean = s1[r] / s0[r]
            if w.size:
                loss += weight * np.log(s0[r])
            else:
                product *= s0[r]
                if product > FULL:
                    loss += np.log(product)
                    product = 1.0
            loss -= weight * own
            slope += weight * (mean - own)
            curve += weight * (s2[r] / s0[r] - mean * mean)
    return loss + np.log(product), slope, curve


@njit(
    [SUMS(given(t, 1), given(int64, 1), given(float64, 1), float64) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def pass_binary(z: Any, y: Any, w: Any, c: float) -> tuple[float, float, float]:
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
            curve += weight * p * (1.0 - p) * v * v
    return loss + np.log(product), slope, curve


@njit(
    [SURVEY(given(t, 2), given(int64, 1), given(float64, 1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def survey_rows(z: Any, y: Any, w: Any) -> tuple[bool, bool, float, float, float]:
    """Return what decides a temperature before it is solved.

    In order: all rows have the same shifted logits; every label attains its row's maximum; the
    weighted sum of f' at c = 0; weighted sum of squares and count of the finite logits below the
    maximum.
    A row that cannot be used (NaN, +inf, all masked) makes the sum of squares NaN, a label whose
    class is masked makes the slope infinite.
    """
    n, k = z.shape
    size = max(8, BLOCK // k)
    x = np.empty((k, size))
    top = np.empty(size)
    total = np.empty(size)
    squares = np.empty(size)
    finite = np.empty(size)
    first = np.empty(k)
    same = True
    attained = True
    slope = 0.0
    square = 0.0
    count = 0.0
    for start in range(0, n, size):
        m = min(size, n - start)
        load_block(z, start, m, x, top)
        if start == 0:
            for j in range(k):
                first[j] = x[j, 0]
        total[:] = 0.0
        squares[:] = 0.0
        finite[:] = 0.0
        for j in range(k):
            row = x[j]
            for r in range(m):
                v = row[r]
                held = 0.0 if v == -np.inf else v
                total[r] += held
                squares[r] += held * held
                finite[r] += 0.0 if v == -np.inf else 1.0
        if same:
            for j in range(k):
                row = x[j]
                for r in range(m):
                    same &= row[r] == first[j]
        for r in range(m):
            weight = w[start + r] if w.size else 1.0
            own = x[y[start + r], r]
            attained &= own == 0.0
            slope += weight * (total[r] / finite[r] - own)
            square += weight * squares[r]
            count += weight * (finite[r] - 1.0)
    return same, attained, slope, square, count


@njit(
    [SURVEY(given(t, 1), given(int64, 1), given(float64, 1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def survey_binary(z: Any, y: Any, w: Any) -> tuple[bool, bool, float, float, float]:
    """Return the survey of `survey_rows` for binary logits; an infinite one is a masked class."""
    same = True
    attained = True
    slope = 0.0
    square = 0.0
    count = 0.0
    for i in range(z.size):
        v = np.float64(z[i])
        same &= z[i] == z[0]
        d = -abs(v)
        if d != -np.inf:
            own = 0.0 if (v >= 0) == (y[i] == 1) else d
            attained &= own == 0.0
            weight = w[i] if w.size else 1.0
            slope += weight * (0.5 * d - own)
            square += weight * d * d
            count += weight
        elif (v > 0.0) != (y[i] == 1):
            slope = np.inf
    return same, attained, slope, square, count

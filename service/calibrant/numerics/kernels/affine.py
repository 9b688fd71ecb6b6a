"""Binary scores to P(y=1): the logistic maps, and the sums from which they are fitted.

A kernel that reads what a caller sent returns True where a row cannot be used, as in `softmax`.
Internal log-odds may be infinite: the other class was masked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, njit, types

from calibrant.numerics.kernels.exponential import LOWEST, exp_nonpositive
from calibrant.numerics.kernels.signature import FLOATS, filled, float64, given, int64

EPS = 2.220446049250313e-16
BLOCK = 1024  # rows of a working block: it stays in the first-level cache
FULL = 1e200  # sums of logs are taken as logs of products of up to this size
PAIR = types.Tuple((float64, float64))  # type: ignore[no-untyped-call]
LOG_EPS = -36.04365338911715  # log(EPS); the log of 1 - EPS is -EPS


@njit(float64(float64), cache=True, nogil=True, error_model="numpy")
def sigmoid(v: float) -> float:
    """Return 1 / (1 + exp(-v)) without overflow; 0 and 1 at the infinities."""
    size = -abs(v)
    e = exp_nonpositive(size) if size > LOWEST else 0.0
    return 1.0 / (1.0 + e) if v >= 0.0 else e / (1.0 + e)


@njit(
    [boolean(given(t, 1), float64, float64, boolean, float64, filled(1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def affine_sigmoid(z: Any, a: float, b: float, infinite: Any, mix: float, out: Any) -> bool:
    """Write sigmoid(a z + b) into `out`; `infinite` says that z = +inf is allowed."""
    bad = False
    for i in range(z.size):
        v = np.float64(z[i])
        bad |= not (v < np.inf or (infinite and v == np.inf))
        u = a * v + b if a > 0.0 else b  # 0 times infinity
        out[i] = sigmoid(u) * (1.0 - mix) + 0.5 * mix
    return bad


@njit(
    [
        boolean(given(t, 1), float64, float64, float64, float64, boolean, float64, filled(1))
        for t in FLOATS
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def ensemble_sigmoid(
    z: Any,
    beta: float,
    scaled_part: float,
    plain_part: float,
    flat: float,
    infinite: Any,
    mix: float,
    out: Any,
) -> bool:
    """Write the weighted mean of sigmoid(beta z), sigmoid(z) and 1/2 into `out`."""
    bad = False
    for i in range(z.size):
        v = np.float64(z[i])
        bad |= not (v < np.inf or (infinite and v == np.inf))
        p = scaled_part * sigmoid(beta * v) + plain_part * sigmoid(v) + 0.5 * flat
        out[i] = p * (1.0 - mix) + 0.5 * mix
    return bad


@njit(PAIR(float64), cache=True, nogil=True, error_model="numpy")
def log_parts(v: float) -> tuple[float, float]:
    """Return ln p and ln(1-p) of log-odds `v`, with p held to [EPS, 1 - EPS]."""
    size = -abs(v)
    rest = -np.log1p(exp_nonpositive(size) if size > LOWEST else 0.0)
    small = max(size + rest, LOG_EPS)
    large = min(rest, -EPS)
    return (large, small) if v >= 0.0 else (small, large)


@njit(
    [boolean(given(t, 1), float64, float64, float64, boolean, float64, filled(1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def beta_sigmoid(z: Any, a: float, b: float, c: float, infinite: Any, mix: float, out: Any) -> bool:
    """Write sigmoid(a ln p - b ln(1-p) + c) of log-odds into `out`."""
    bad = False
    for i in range(z.size):
        v = np.float64(z[i])
        bad |= not (v < np.inf or (infinite and v == np.inf))
        yes, no = log_parts(v)
        out[i] = sigmoid(a * yes - b * no + c) * (1.0 - mix) + 0.5 * mix
    return bad


@njit(
    [boolean(given(t, 1), filled(1)) for t in FLOATS], cache=True, nogil=True, error_model="numpy"
)
def logits_of(p: Any, out: Any) -> bool:
    """Write the log-odds of probabilities, held to [EPS, 1 - EPS], into `out`."""
    bad = False
    for i in range(p.size):
        v = np.float64(p[i])
        bad |= not (v >= 0.0 and v <= 1.0)
        held = min(max(v, EPS), 1.0 - EPS)
        out[i] = np.log(held) - np.log1p(-held)
    return bad


@njit(
    [boolean(given(t, 1), float64, filled(1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def probabilities_of(p: Any, mix: float, out: Any) -> bool:
    """Copy probabilities into `out`."""
    bad = False
    for i in range(p.size):
        v = np.float64(p[i])
        bad |= not (v >= 0.0 and v <= 1.0)
        out[i] = v * (1.0 - mix) + 0.5 * mix
    return bad


@njit(
    [boolean(given(t, 2), filled(1)) for t in FLOATS], cache=True, nogil=True, error_model="numpy"
)
def pair_logits(z: Any, out: Any) -> bool:
    """Write the log-odds of two-column logits, z1 - z0, into `out`."""
    bad = False
    for i in range(z.shape[0]):
        no = np.float64(z[i, 0])
        yes = np.float64(z[i, 1])
        bad |= not (no < np.inf and yes < np.inf and max(no, yes) > -np.inf)
        out[i] = yes - no
    return bad


@njit(
    [boolean(given(t, 2), float64, filled(1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def pair_probabilities(p: Any, tolerance: float, out: Any) -> bool:
    """Write column 1 of two-column probabilities into `out`, divided by the sum if it is not 1."""
    bad = False
    for i in range(p.shape[0]):
        no = np.float64(p[i, 0])
        yes = np.float64(p[i, 1])
        off = abs(no + yes - 1.0)
        bad |= not (no >= 0.0 and yes >= 0.0 and no <= 1.0 and yes <= 1.0 and off <= tolerance)
        out[i] = yes / (no + yes) if off > 1e-9 else yes
    return bad


@njit(
    types.void(
        filled(1),
        given(types.int32, 1),
        given(float64, 1),
        given(float64, 1),
        given(float64, 1),
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def affine_by_member(p: Any, member: Any, a: Any, b: Any, mix: Any) -> None:
    """Replace probabilities by sigmoid(a logit p + b) of their member; none if negative."""
    for i in range(p.size):
        m = member[i]
        if m >= 0:
            v = min(max(p[i], EPS), 1.0 - EPS)
            v = sigmoid(a[m] * (np.log(v) - np.log1p(-v)) + b[m])
            p[i] = v * (1.0 - mix[m]) + 0.5 * mix[m]


@njit(
    float64(given(float64, 1), given(float64, 1), int64),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def lane_sum(a: Any, b: Any, n: int) -> float:
    """Return the sum of a * b over the first n entries, in eight interleaved sums."""
    lanes = np.zeros(8)
    whole = n - n % 8
    for i in range(0, whole, 8):
        for j in range(8):
            lanes[j] += a[i + j] * b[i + j]
    found = 0.0
    for j in range(8):
        found += lanes[j]
    for i in range(whole, n):
        found += a[i] * b[i]
    return found


@njit(
    float64(given(float64, 1), given(float64, 1), int64, int64),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def log1p_sum(tail: Any, w: Any, start: int, n: int) -> float:
    """Return the weighted sum of log(1 + e), e in [0, 1]; unit weights take logs of products."""
    found = 0.0
    product = 1.0
    for r in range(n):
        if w.size:
            found += w[start + r] * np.log1p(tail[r])
        else:
            product *= 1.0 + tail[r]
            if product > FULL:
                found += np.log(product)
                product = 1.0
    return float(found + np.log(product))


@njit(
    types.void(
        given(float64, 2),
        given(float64, 1),
        given(float64, 1),
        given(float64, 1),
        filled(1),
        filled(2),
        filled(1),
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def logistic_pass(
    x: Any, target: Any, w: Any, theta: Any, gradient: Any, hessian: Any, loss: Any
) -> None:
    """Write loss, gradient and Hessian of a logistic fit of soft targets on features (d, n).

    `w` is empty for unit weights. Everything is a weighted sum over rows.
    """
    d, n = x.shape
    residual = np.empty(BLOCK)
    spread = np.empty(BLOCK)
    tail = np.empty(BLOCK)
    total = 0.0
    gradient[:] = 0.0
    hessian[:, :] = 0.0
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        tail[:size] = 0.0
        for j in range(d):
            for r in range(size):
                tail[r] += theta[j] * x[j, start + r]
        for r in range(size):
            v = tail[r]
            e = exp_nonpositive(-abs(v))
            weight = w[start + r] if w.size else 1.0
            p = (1.0 if v >= 0.0 else e) / (1.0 + e)
            residual[r] = weight * (p - target[start + r])
            spread[r] = weight * e / ((1.0 + e) * (1.0 + e))
            total += weight * (max(v, 0.0) - target[start + r] * v)
            tail[r] = e
        total += log1p_sum(tail, w, start, size)
        for j in range(d):
            gradient[j] += lane_sum(residual, x[j, start : start + size], size)
            for m in range(j + 1):
                for r in range(size):
                    tail[r] = spread[r] * x[m, start + r]
                hessian[j, m] += lane_sum(tail, x[j, start : start + size], size)
    loss[0] = total
    for j in range(d):
        for m in range(j):
            hessian[m, j] = hessian[j, m]


@njit(
    [float64(given(t, 1), given(int64, 1), given(float64, 1)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def loss_of(p: Any, y: Any, w: Any) -> float:
    """Return the weighted sum of -log of the label's probability, held to at least EPS.

    NaN where a value is not a probability. Unit weights (`w` empty) take logs of products.
    """
    loss = 0.0
    product = 1.0
    bad = False
    for i in range(p.size):
        v = np.float64(p[i])
        bad |= not (v >= 0.0 and v <= 1.0)
        own = max(v if y[i] == 1 else 1.0 - v, EPS)
        if w.size:
            loss -= w[i] * np.log(own)
        else:
            product *= own
            if product < 1e-280:
                loss -= np.log(product)
                product = 1.0
    return np.nan if bad else loss - np.log(product)

"""Rows of scores to rows of probabilities: the multiclass half of every calibrator.

A kernel that reads what a caller sent returns True where a row cannot be used: NaN, +inf or only
masked classes (-inf) among logits; NaN, a value outside [0, 1] or a sum off by more than
`tolerance` among probabilities. What it wrote is then meaningless. `mix` is the weight of the
uniform distribution. A masked class gets probability 0 before that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, njit, types

from calibrant.numerics.kernels.exponential import LOWEST, exp_nonpositive
from calibrant.numerics.kernels.signature import FLOATS, filled, float64, given, int64

RENORMALISED = 1e-9  # a row sum further off than this is divided out


@njit(float64(float64), cache=True, nogil=True, error_model="numpy")
def falling(x: float) -> float:
    """Return exp(x) for x <= 0, exactly 0 where it would be denormal or x is -inf."""
    return exp_nonpositive(x) if x > LOWEST else 0.0


@njit(
    [boolean(given(t, 2), float64, float64, filled(2)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def scaled(z: Any, beta: float, mix: float, out: Any) -> bool:
    """Write softmax(beta z) into `out`."""
    n, k = z.shape
    bad = False
    for i in range(n):
        top = -np.inf
        for j in range(k):
            v = np.float64(z[i, j])
            bad |= not v < np.inf
            top = max(top, v)
        bad |= top == -np.inf
        total = 0.0
        for j in range(k):
            e = falling(beta * (z[i, j] - top))
            out[i, j] = e
            total += e
        factor = (1.0 - mix) / total
        for j in range(k):
            out[i, j] = out[i, j] * factor + mix / k
    return bad


@njit(
    [boolean(given(t, 2), float64, float64, float64, float64, float64, filled(2)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def ensemble(
    z: Any, beta: float, scaled_part: float, plain_part: float, flat: float, mix: float, out: Any
) -> bool:
    """Write the weighted mean of softmax(beta z), softmax(z) and the uniform into `out`."""
    n, k = z.shape
    bad = scaled(z, beta, 0.0, out)
    plain = np.empty(k)
    for i in range(n):
        top = -np.inf
        for j in range(k):
            top = max(top, np.float64(z[i, j]))
        total = 0.0
        for j in range(k):
            plain[j] = falling(z[i, j] - top)
            total += plain[j]
        for j in range(k):
            p = scaled_part * out[i, j] + plain_part * (plain[j] / total) + flat / k
            out[i, j] = p * (1.0 - mix) + mix / k
    return bad


@njit(
    [
        boolean(given(t, 2), given(float64, 1), given(float64, 1), float64, filled(2))
        for t in FLOATS
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def affine(z: Any, scale: Any, bias: Any, mix: float, out: Any) -> bool:
    """Write softmax(scale * z + bias) into `out`; a masked class stays masked."""
    n, k = z.shape
    bad = False
    for i in range(n):
        top = -np.inf
        for j in range(k):
            v = np.float64(z[i, j])
            bad |= not v < np.inf
            out[i, j] = scale[j] * v + bias[j] if v > -np.inf else -np.inf
            top = max(top, out[i, j])
        bad |= top == -np.inf
        total = 0.0
        for j in range(k):
            e = falling(out[i, j] - top)
            out[i, j] = e
            total += e
        factor = (1.0 - mix) / total
        for j in range(k):
            out[i, j] = out[i, j] * factor + mix / k
    return bad


@njit(
    [boolean(given(t, 2), float64, float64, float64, filled(2)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def log_probabilities(z: Any, beta: float, smoothing: float, tiny: float, out: Any) -> bool:
    """Write the log of (1-s) softmax(beta z) + s/k, at least log(tiny), into `out`.

    Without smoothing it is the exact log-softmax.
    """
    n, k = z.shape
    bad = False
    lowest = np.log(tiny)
    for i in range(n):
        top = -np.inf
        for j in range(k):
            v = np.float64(z[i, j])
            bad |= not v < np.inf
            top = max(top, v)
        bad |= top == -np.inf
        total = 0.0
        for j in range(k):
            e = falling(beta * (z[i, j] - top))
            out[i, j] = e
            total += e
        if smoothing > 0.0:
            for j in range(k):
                out[i, j] = np.log(max((1.0 - smoothing) * out[i, j] / total + smoothing / k, tiny))
        else:
            rest = np.log(total)
            for j in range(k):
                out[i, j] = max(beta * (z[i, j] - top) - rest, lowest)
    return bad


@njit(types.void(filled(2), float64), cache=True, nogil=True, error_model="numpy")
def softmax_in_place(x: Any, mix: float) -> None:
    """Replace finite rows by their softmax."""
    n, k = x.shape
    for i in range(n):
        top = -np.inf
        for j in range(k):
            top = max(top, x[i, j])
        total = 0.0
        for j in range(k):
            e = falling(x[i, j] - top)
            x[i, j] = e
            total += e
        factor = (1.0 - mix) / total
        for j in range(k):
            x[i, j] = x[i, j] * factor + mix / k


@njit(
    [boolean(given(t, 2), float64, float64, filled(2)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def normalised(p: Any, tolerance: float, mix: float, out: Any) -> bool:
    """Copy probabilities into `out`, divided by their row's sum where it is not 1."""
    n, k = p.shape
    bad = False
    for i in range(n):
        total = 0.0
        for j in range(k):
            v = np.float64(p[i, j])
            bad |= not (v >= 0.0 and v <= 1.0)
            out[i, j] = v + 0.0  # -0.0 becomes 0.0
            total += v
        off = abs(total - 1.0)
        bad |= not off <= tolerance
        factor = (1.0 - mix) / total if off > RENORMALISED else 1.0 - mix
        for j in range(k):
            out[i, j] = out[i, j] * factor + mix / k
    return bad


@njit(
    [boolean(given(t, 2), float64, float64, filled(2)) for t in FLOATS],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def log_of(p: Any, tolerance: float, tiny: float, out: Any) -> bool:
    """Write the log of probabilities, each at least `tiny`, into `out`."""
    bad = normalised(p, tolerance, 0.0, out)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = np.log(max(out[i, j], tiny))
    return bad


@njit(
    [boolean(given(t, 2), filled(2)) for t in FLOATS], cache=True, nogil=True, error_model="numpy"
)
def class_logits(z: Any, out: Any) -> bool:
    """Write the log-odds of each class against the rest, class by class, into `out` (k, n)."""
    n, k = z.shape
    bad = False
    for i in range(n):
        best = 0
        for j in range(k):
            bad |= not np.float64(z[i, j]) < np.inf
            if z[i, j] > z[i, best]:
                best = j
        top = np.float64(z[i, best])
        bad |= top == -np.inf
        second = -np.inf
        for j in range(k):
            if j != best:
                second = max(second, np.float64(z[i, j]))
        others = 0.0
        for j in range(k):
            if j != best:
                others += falling(z[i, j] - second)
        # the best class is left out by hand: subtracting it would cancel every digit
        out[best, i] = top - second - np.log(others) if second > -np.inf else np.inf
        total = 1.0 + others * falling(second - top)
        for j in range(k):
            if j != best:
                d = np.float64(z[i, j]) - top
                out[j, i] = d - np.log(total - falling(d))
    return bad


@njit(types.void(given(float64, 2), filled(2)), cache=True, nogil=True, error_model="numpy")
def class_columns(p: Any, out: Any) -> None:
    """Write rows (n, k) class by class into `out` (k, n)."""
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            out[j, i] = p[i, j]


@njit(
    types.void(given(float64, 2), float64, filled(2)), cache=True, nogil=True, error_model="numpy"
)
def shares(columns: Any, mix: float, out: Any) -> None:
    """Divide one-versus-rest results (k, n) by their sum into `out` (n, k); zeros are uniform."""
    k, n = columns.shape
    for i in range(n):
        total = 0.0
        for j in range(k):
            total += columns[j, i]
        for j in range(k):
            p = columns[j, i] / total if total > 0.0 else 1.0 / k
            out[i, j] = p * (1.0 - mix) + mix / k


@njit(
    types.void(
        filled(2),
        given(types.int32, 1),
        given(float64, 2),
        given(float64, 2),
        float64,
        given(float64, 1),
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def affine_by_member(p: Any, member: Any, scale: Any, bias: Any, tiny: float, mix: Any) -> None:
    """Replace rows of probabilities by softmax(scale * log p + bias) of their member.

    Rows with a negative member stay as they are.
    """
    n, k = p.shape
    for i in range(n):
        m = member[i]
        if m < 0:
            continue
        top = -np.inf
        for j in range(k):
            p[i, j] = scale[m, j] * np.log(max(p[i, j], tiny)) + bias[m, j]
            top = max(top, p[i, j])
        total = 0.0
        for j in range(k):
            p[i, j] = falling(p[i, j] - top)
            total += p[i, j]
        for j in range(k):
            p[i, j] = p[i, j] * ((1.0 - mix[m]) / total) + mix[m] / k


@njit(
    float64(filled(2), given(int64, 1), given(float64, 1)),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def residuals(scores: Any, y: Any, share: Any) -> float:
    """Replace rows of scores by share * (softmax - one-hot label); return the weighted loss.

    A class at -inf is masked.
    """
    n, k = scores.shape
    loss = 0.0
    for i in range(n):
        top = -np.inf
        for j in range(k):
            top = max(top, scores[i, j])
        own = scores[i, y[i]] - top
        total = 0.0
        for j in range(k):
            e = falling(scores[i, j] - top)
            scores[i, j] = e
            total += e
        loss += share[i] * (np.log(total) - own)
        for j in range(k):
            scores[i, j] *= share[i] / total
        scores[i, y[i]] -= share[i]
    return loss


@njit(
    types.void(given(float64, 2), given(int64, 1), float64, filled(1)),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def row_losses(p: Any, y: Any, tiny: float, out: Any) -> None:
    """Write the negative log of each label's probability, held to at least `tiny`, into `out`."""
    for i in range(p.shape[0]):
        out[i] = -np.log(max(p[i, y[i]], tiny))

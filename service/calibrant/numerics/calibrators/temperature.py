"""Temperature scaling and ensemble temperature scaling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibrators.inputs import ALL, Data
from calibrant.numerics.calibrators.outcome import Solution

LOWEST, HIGHEST = 1e-3, 1e3
"""Bounds of b = s/T; T is sought between s/1000 and 1000 s, s being the scale of the logits."""

CLAMP_SHARP, CLAMP_FLAT = 0.05, 100.0
"""What is stored at a bound, in units of s."""

MAX_PASSES = 60
EXACT_ELEMENTS = 2_000_000
"""Up to this many scores the solution is exact to rounding; above, to 1e-7."""

NEAR = 0.1
"""Relative steps up to this are taken by four derivatives; the expansion is poor beyond."""

Arrays = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]
Sums = tuple[float, float, float, float, float]
Pass = Callable[[NDArray[Any], NDArray[np.int64], NDArray[np.float64], float], Sums]


def fit_temperature(data: Data) -> Solution:
    r"""Find the T that minimises the mean negative log likelihood of softmax(z / T).

    With d = z - max (row by row, so d <= 0), s the root mean square of the finite d below the
    maximum and b = s / T, the loss is convex in b. Three cases are decided exactly beforehand:
    constant scores (`unidentifiable`), every label attaining its row's maximum (T -> 0), a loss
    that does not fall at b = 0 (T -> infinity); the last two are `at_bound` and stored clamped.
    Otherwise Newton's method from b = 1, guarded by a bracket, on a subsample first when there are
    more than 2,000 rows. Near the optimum a step uses four derivatives instead of two, so that
    one pass over all rows after the subsamples is mostly enough. A masked class (-inf) is left
    out of every sum.

    Parameters
    ----------
    data : Data

    Returns
    -------
    Solution

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks, ICML.
    """
    survey = data.survey
    if survey.constant:
        return Solution({"temperature": 1.0}, "unidentifiable", rank_kept=True)
    if survey.attained or survey.flat_slope >= 0:
        factor = CLAMP_SHARP if survey.attained else CLAMP_FLAT
        return Solution({"temperature": factor * survey.scale}, "at_bound", rank_kept=True)
    return _solve(data, survey.scale)


def _solve(data: Data, scale: float) -> Solution:
    """Solve an identifiable temperature, from a subsample's solution where rows are many."""
    from calibrant.numerics.kernels import temperature

    sums: Pass = temperature.pass_binary if data.task == "binary" else temperature.pass_rows
    z, y, w = data.logits, data.labels, data.weights
    start, n = 1.0, len(data)
    first = min(max(n // 20, 2000), 10_000)
    # the larger subsample costs a twentieth of the pass over all rows that it mostly saves
    for size in (first, n // 20) if n // 20 >= 2 * first else (first,):
        if (every := n // size) > 1:
            part = slice(None, None, every)
            few = np.ascontiguousarray(z[part]), y[part].copy(), w[part].copy() if w.size else ALL
            rough = _newton(sums, few, scale, start, 1e-8)
            start = rough.b if rough.settled else 1.0
    exact = z.size <= EXACT_ELEMENTS
    found = _newton(sums, (z, y, w), scale, start, 1e-11 if exact else 5e-8)
    if found.b <= LOWEST * 1.001 or found.b >= HIGHEST / 1.001:
        factor = CLAMP_FLAT if found.b < 1 else CLAMP_SHARP
        return Solution({"temperature": factor * scale}, "at_bound", found.passes, rank_kept=True)
    return Solution(
        {"temperature": scale / found.b},
        "ok" if found.settled else "not_converged",
        found.passes,
        abs(found.slope) / data.weight_sum,
        found.loss / data.weight_sum,
        rank_kept=True,
    )


class _Found:
    """Where Newton's method ended: b, and loss and slope there to second order."""

    __slots__ = ("b", "loss", "passes", "settled", "slope")

    def __init__(self, b: float, *, passes: int, settled: bool, loss: float, slope: float) -> None:
        self.b, self.passes, self.settled = b, passes, settled
        self.loss, self.slope = loss, slope


def _newton(sums: Pass, arrays: Arrays, scale: float, b: float, enough: float) -> _Found:
    """Minimise over b by Newton's method inside a shrinking bracket, to a relative error."""
    low, high = LOWEST, HIGHEST
    loss = slope = 0.0
    for passes in range(1, MAX_PASSES + 1):
        loss, slope, curve, third, fourth = sums(*arrays, b / scale)
        step, error = _step(slope, curve, third, fourth)
        if error <= enough:
            # before the bracket is consulted: at the optimum rounding may put the step outside it
            rest = slope + step * (0.5 * curve + step * (third / 6 + step * fourth / 24))
            loss += step * rest
            return _Found(b * (1 + step), passes=passes, settled=True, loss=loss, slope=slope)
        low, high = (b, high) if slope < 0 else (low, b)
        b = b * (1 + step) if low < b * (1 + step) < high else float(np.sqrt(low * high))
        if high / low < 1 + 1e-12 or b >= HIGHEST / 1.001 or b <= LOWEST * 1.001:
            return _Found(b, passes=passes, settled=True, loss=loss, slope=slope)
    return _Found(b, passes=MAX_PASSES, settled=False, loss=loss, slope=slope)


def _step(slope: float, curve: float, third: float, fourth: float) -> tuple[float, float]:
    """Return the relative step to the optimum and about what error it leaves.

    By two derivatives of the loss the error is about the step squared. By four it is the fifth
    derivative's part, whose size is guessed from how the third and the fourth grow; on normal,
    heavy-tailed, peaked and two-valued logits of 2 to 1,000 classes it was at least .9 of the error.
    """
    if slope == 0:
        return 0.0, 0.0
    newton = -slope / curve if curve > 0 else -float(np.sign(slope)) * np.inf
    if abs(newton) > NEAR:
        return newton, newton * newton
    step = newton
    for _ in range(4):
        bend = curve + step * (third + 0.5 * step * fourth)
        if not bend > 0.5 * curve:  # the expansion is no convex function here
            return newton, newton * newton
        value = slope + step * (curve + step * (0.5 * third + step * fourth / 6.0))
        step -= value / bend
    growth = max(10.0, abs(third / curve) ** 3, abs(fourth / curve) ** 1.5)
    return step, step**4 * growth / 16


def fit_ets(data: Data, *, loss: str = "log") -> Solution:
    r"""Fit `w0 softmax(z/T) + w1 softmax(z) + w2/k`: T first, then the weights.

    Both steps minimise the same loss. The weights are found by Newton steps on the simplex, each
    an exact quadratic programme (three unknowns: all seven faces are tried). The map keeps every
    row's order of classes.

    Parameters
    ----------
    data : Data
    loss : {"log", "mse"}
        `mse` with T in [0.05, 5] is the original; the default is the log loss.

    Returns
    -------
    Solution

    References
    ----------
    .. [1] Zhang, Kailkhura, Han (2020), Mix-n-Match, ICML.
    """
    first = fit_temperature(data) if loss == "log" else _squared_temperature(data)
    if first.status == "unidentifiable":
        return Solution(
            {"temperature": 1.0, "weights": np.array([0.0, 1.0, 0.0])}, "unidentifiable"
        )
    temperature = first.params["temperature"]
    if loss == "log":
        parts = np.stack(
            [_own(data, temperature), _own(data, 1.0), np.full(len(data), 1 / data.n_classes)]
        )
        weights, passes = _log_weights(parts, data)
    else:
        weights, passes = _squared_weights(temperature, data), 1
    return Solution(
        {"temperature": temperature, "weights": weights},
        first.status,
        first.passes + passes,
        first.gradient,
        rank_kept=weights[0] + weights[1] > 0,
        notes={"loss": loss},
    )


def _softmax(data: Data, temperature: float) -> NDArray[np.float64]:
    """Return softmax(z/T) with one column a class, also for binary."""
    from calibrant.numerics.kernels import affine, softmax

    if data.task == "multiclass":
        out = np.empty(data.scores.shape)
        softmax.scaled(data.logits, 1 / temperature, 0.0, out)
        return out
    p = np.empty(len(data))
    affine.affine_sigmoid(data.logits, 1 / temperature, 0.0, True, 0.0, p)
    rest = np.empty(len(data))
    affine.affine_sigmoid(-data.logits, 1 / temperature, 0.0, True, 0.0, rest)
    return np.stack([rest, p], axis=1)


def _own(data: Data, temperature: float) -> NDArray[np.float64]:
    """Return the probability of each row's label under softmax(z/T)."""
    found: NDArray[np.float64] = _softmax(data, temperature)[np.arange(len(data)), data.labels]
    return found


def _log_weights(parts: NDArray[np.float64], data: Data) -> tuple[NDArray[np.float64], int]:
    """Minimise the mean of -log(w . parts) over the simplex."""
    share = data.weights / data.weight_sum if data.weighted else np.full(len(data), 1 / len(data))
    w = np.array([0.8, 0.1, 0.1])  # an interior start: at a vertex a row may have probability 0
    value = float(-share @ np.log(w @ parts))
    for passes in range(1, MAX_PASSES + 1):
        inverse = parts / (w @ parts)
        gradient = -(inverse @ share)
        hessian = (inverse * share) @ inverse.T
        step = simplex_minimum(hessian, gradient - hessian @ w) - w
        decrement = -float(gradient @ step)
        length, moved = 1.0, False
        while decrement > 1e-13 and length > 1e-10 and not moved:
            trial = w + length * step
            mixture = trial @ parts
            if (mixture > 0).all():
                new = float(-share @ np.log(mixture))
                moved = new <= value - 1e-4 * length * decrement
                w, value = (trial, new) if moved else (w, value)
            length *= 0.5
        if not moved:
            return _tidy(w), passes
    return _tidy(w), MAX_PASSES


def _tidy(w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights exactly on the simplex."""
    held: NDArray[np.float64] = np.maximum(w, 0.0)
    held /= held.sum()
    return held


def simplex_minimum(
    hessian: NDArray[np.float64], linear: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minimise w H w / 2 + linear w over the simplex by trying each of its faces."""
    m = len(linear)
    ridge = 1e-12 * max(float(np.trace(hessian)), 1e-300) * np.eye(m)
    best: NDArray[np.float64] = np.eye(m)[0]
    lowest = np.inf
    for mask in range(1, 2**m):
        face = [i for i in range(m) if mask >> i & 1]
        size = len(face)
        system = np.zeros((size + 1, size + 1))
        system[:size, :size] = (hessian + ridge)[np.ix_(face, face)]
        system[:size, size] = system[size, :size] = 1.0
        right = np.append(-linear[face], 1.0)
        solved = np.linalg.lstsq(system, right, rcond=None)[0][:size]
        if (solved < -1e-12).any():
            continue
        w = np.zeros(m)
        w[face] = np.maximum(solved, 0.0)
        w /= w.sum()
        value = float(0.5 * w @ hessian @ w + linear @ w)
        if value < lowest:
            best, lowest = w, value
    return best


def _squared_temperature(data: Data) -> Solution:
    """Minimise the Brier score over T in [0.05, 5]."""
    from scipy.optimize import minimize_scalar

    survey = data.survey
    if survey.constant:
        return Solution({"temperature": 1.0}, "unidentifiable")
    hot = np.eye(data.n_classes)[data.labels]
    share = data.weights if data.weighted else None

    def brier(log_t: float) -> float:
        error = ((_softmax(data, float(np.exp(log_t))) - hot) ** 2).sum(axis=1)
        return float(np.average(error, weights=share))

    bounds = (np.log(0.05), np.log(5.0))
    found = minimize_scalar(brier, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    inside = bounds[0] + 1e-6 < found.x < bounds[1] - 1e-6
    return Solution(
        {"temperature": float(np.exp(found.x))}, "ok" if inside else "at_bound", int(found.nfev)
    )


def _squared_weights(temperature: float, data: Data) -> NDArray[np.float64]:
    """Minimise the Brier score over the simplex: one quadratic programme."""
    parts = np.stack(
        [
            _softmax(data, temperature),
            _softmax(data, 1.0),
            np.full((len(data), data.n_classes), 1 / data.n_classes),
        ]
    )
    hot = np.eye(data.n_classes)[data.labels]
    share = data.weights / data.weight_sum if data.weighted else np.full(len(data), 1 / len(data))
    weighted = parts * share[:, None]
    hessian = np.einsum("ink,jnk->ij", weighted, parts)
    return _tidy(simplex_minimum(2 * hessian, -2 * np.einsum("ink,nk->i", weighted, hot)))

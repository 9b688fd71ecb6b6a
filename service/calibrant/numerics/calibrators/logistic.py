"""Platt scaling and beta calibration: logistic maps with few parameters, by Newton's method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibrators.inputs import Data
from calibrant.numerics.calibrators.model import EPS
from calibrant.numerics.calibrators.outcome import Solution, Status

Float64 = NDArray[np.float64]
STEEPEST = 20.0
"""Slope stored for separable rows, in units of 1/s: temperature's clamp at T = 0.05 s."""

MAX_PASSES = 100


@dataclass(frozen=True, slots=True)
class Logistic:
    """A fitted logistic regression: parameters, mean loss, mean gradient, passes."""

    theta: Float64
    loss: float
    gradient: float
    passes: int
    settled: bool


def soft_targets(data: Data) -> Float64:
    """Return Platt's targets: (n+ + 1)/(n+ + 2) for positives and 1/(n- + 2) for negatives.

    Counts are weight sums, raised to the number of rows where weights are of a smaller scale.
    """
    yes = data.labels == 1
    counts = []
    for side in (yes, ~yes):
        rows = float(np.count_nonzero(side))
        counts.append(max(float(data.weights[side].sum()), rows) if data.weighted else rows)
    high, low = (counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2)
    return np.where(yes, high, low)


def one_sided(data: Data) -> bool:
    """Whether all labels are the same: a class never seen, one against the rest."""
    return not bool((data.labels != data.labels[0]).any())


def _level(data: Data) -> float:
    """Return the log-odds of the mean soft target, finite for any labels."""
    mean = float(np.average(soft_targets(data), weights=data.weights if data.weighted else None))
    return float(np.log(mean / (1 - mean)))


def newton(
    features: Float64,
    target: Float64,
    weights: Float64,
    start: Float64,
    free: Sequence[int] | None = None,
    ridge: float = 0.0,
) -> Logistic:
    """Fit a logistic regression on features of shape (d, n) by damped Newton steps.

    Only the parameters `free` move; each pays `ridge / 2` times its square. Stops when the Newton
    decrement promises less than 1e-19 of mean loss; where it never gets there (separable rows),
    `settled` is False.
    """
    from calibrant.numerics.kernels import affine

    total = float(weights.sum()) if weights.size else float(features.shape[1])
    d = len(start)
    moved = np.arange(d) if free is None else np.array(free)
    block = np.ix_(moved, moved)
    gradient, hessian, loss = np.empty(d), np.empty((d, d)), np.empty(1)

    def evaluate(theta: Float64) -> float:
        affine.logistic_pass(features, target, weights, theta, gradient, hessian, loss)
        gradient[moved] += ridge * theta[moved]
        hessian[moved, moved] += ridge
        return float(loss[0]) + 0.5 * ridge * float(theta[moved] @ theta[moved])

    def ended(passes: int, slope: Float64, *, settled: bool) -> Logistic:
        mean = float(np.abs(slope).max()) / total
        return Logistic(theta, value / total, mean, passes, settled=settled and mean < 1e-8)

    theta = start.copy()
    value = evaluate(theta)
    passes = 1
    slope = gradient[moved].copy()
    while passes < MAX_PASSES:
        curvature = hessian[block]
        curvature[np.diag_indices(len(moved))] *= 1 + 1e-12
        curvature[np.diag_indices(len(moved))] += 1e-14 * total
        step = np.zeros(d)
        step[moved] = -np.linalg.solve(curvature, slope)
        decrement = -float(slope @ step[moved])
        if decrement <= 1e-19 * total:
            return ended(passes, slope, settled=True)
        length, origin, before = 1.0, theta, value
        while True:
            theta = origin + length * step
            value = evaluate(theta)
            passes += 1
            # the sum over rows is rounded: near the optimum a good step may seem to cost a little
            if value <= before - 1e-4 * length * decrement + 1e-12 * (abs(before) + total):
                break
            length *= 0.5
            if length < 1e-6 or passes >= MAX_PASSES:
                return ended(passes, gradient[moved], settled=length < 1e-6)
        slope = gradient[moved].copy()
    return ended(passes, slope, settled=False)


def separated(z: NDArray[np.float64], labels: NDArray[np.int64]) -> bool:
    """Whether every positive scores at least as high as every negative."""
    yes = labels == 1
    return bool(z[yes].min(initial=np.inf) >= z[~yes].max(initial=-np.inf))


def fit_platt(data: Data, *, targets: str = "platt") -> Solution:
    r"""Fit `sigmoid(a z + b)`, a >= 0, on log-odds by maximum likelihood.

    Parameters
    ----------
    data : Data
        Binary. Rows whose other class is masked (infinite log-odds) say nothing and are left out.
    targets : {"platt", "hard"}
        `platt` replaces 1 and 0 by (n+ + 1)/(n+ + 2) and 1/(n- + 2), which keeps the optimum
        finite on separable rows; `hard` is the plain maximum likelihood.

    Returns
    -------
    Solution
        `at_bound` with a = 0 where the scores rank the labels no better than chance, and with
        a = 20/s where hard targets are separable.

    References
    ----------
    .. [1] Platt (1999), Probabilistic outputs for support vector machines.
    .. [2] Lin, Lin, Weng (2007), A note on Platt's probabilistic outputs.
    """
    scale = data.survey.scale
    kept = np.isfinite(data.logits)
    part = data if kept.all() else data.take(kept)
    z = np.asarray(part.logits, dtype=np.float64)
    if not len(z) or z.min() == z.max():
        return Solution({"a": 1.0, "b": 0.0}, "unidentifiable", rank_kept=True)
    target = soft_targets(part) if targets == "platt" else part.labels.astype(np.float64)
    if one_sided(part):
        return Solution({"a": 0.0, "b": _level(part)}, "at_bound", 1, rank_kept=False)
    features = np.stack([z / scale, np.ones(len(z))])
    share = part.weights if part.weighted else None
    mean = float(np.average(target, weights=share))
    level = float(np.log(mean / (1 - mean)))
    if np.average((mean - target) * features[0], weights=share) >= 0:
        # the loss rises with a from a = 0 on; by convexity the constrained optimum is there
        return Solution({"a": 0.0, "b": level}, "at_bound", 1, rank_kept=False)
    if targets == "hard" and separated(z, part.labels):
        held = newton(features, target, part.weights, np.array([STEEPEST, 0.0]), free=[1])
        params = {"a": STEEPEST / scale, "b": float(held.theta[1])}
        return Solution(params, "at_bound", held.passes, rank_kept=True)
    found = newton(features, target, part.weights, np.array([0.0, level]))
    return Solution(
        {"a": float(found.theta[0]) / scale, "b": float(found.theta[1])},
        "ok" if found.settled else "not_converged",
        found.passes,
        found.gradient,
        rank_kept=True,
        notes={"targets": targets},
    )


def fit_beta(data: Data) -> Solution:
    r"""Fit `sigmoid(a ln p - b ln(1-p) + c)`, a, b >= 0, by maximum likelihood.

    The problem is convex: where the free optimum breaks a bound, the optimum lies on a face of
    the bounds, so a = 0, b = 0 and both are solved and the best feasible one is taken.

    Parameters
    ----------
    data : Data
        Binary; p is held to [EPS, 1 - EPS].

    Returns
    -------
    Solution
        `at_bound` where a = b = 0 (scores rank no better than chance) and where the rows are
        separable, with a = b = 20/s then.

    Notes
    -----
    Differs from betacal in: 1. both bounds are honoured (it drops one parameter once, and may
    keep a negative one); 2. no penalty.

    References
    ----------
    .. [1] Kull, Silva Filho, Flach (2017), Beta calibration, AISTATS.
    """
    z = np.asarray(data.logits, dtype=np.float64)
    survey = data.survey
    if z.min() == z.max():
        return Solution({"a": 1.0, "b": 1.0, "c": 0.0}, "unidentifiable", rank_kept=True)
    log_eps = float(np.log(EPS))
    yes = np.clip(-np.logaddexp(0, -z), log_eps, -EPS)
    no = np.clip(-np.logaddexp(0, z), log_eps, -EPS)
    features = np.stack([yes / survey.scale, -no / survey.scale, np.ones(len(z))])
    target = data.labels.astype(np.float64)
    if one_sided(data):
        return Solution({"a": 0.0, "b": 0.0, "c": _level(data)}, "at_bound", 1, rank_kept=False)
    if separated(z, data.labels):
        start = np.array([STEEPEST, STEEPEST, 0.0])
        held = newton(features, target, data.weights, start, free=[2])
        return _beta(held, survey.scale, "at_bound")
    mean = float(np.average(target, weights=data.weights if data.weighted else None))
    start = np.array([0.0, 0.0, float(np.log(mean / (1 - mean)))])
    best: Logistic | None = None
    passes = 0
    for free in ([0, 1, 2], [0, 2], [1, 2], [2]):
        found = newton(features, target, data.weights, start, free=free)
        passes += found.passes
        if found.settled and found.theta[0] >= 0 and found.theta[1] >= 0:
            best = found if best is None or found.loss < best.loss else best
            if len(free) == 3:
                break
    if best is None:
        return Solution({"a": 1.0, "b": 1.0, "c": 0.0}, "not_converged", passes)
    flat = best.theta[0] == 0 and best.theta[1] == 0
    best = Logistic(best.theta, best.loss, best.gradient, passes, settled=True)
    return _beta(best, survey.scale, "at_bound" if flat else "ok")


def _beta(found: Logistic, scale: float, status: Status) -> Solution:
    """Return beta parameters in the units of the logarithms."""
    a, b, c = (float(value) for value in found.theta)
    return Solution(
        {"a": a / scale, "b": b / scale, "c": c},
        status,
        found.passes,
        found.gradient,
        rank_kept=a + b > 0,
        notes={"bounds_active": [name for name, value in (("a", a), ("b", b)) if value == 0]},
    )

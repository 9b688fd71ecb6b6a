"""Multiclass maps with many parameters: vector, structured and Dirichlet scaling.

All are softmax(scale * x + matrix @ x + bias), convex in their parameters, with an analytic
float64 gradient. L-BFGS (scipy, imported when a fit runs) does the work; Newton steps solved by
conjugate gradients finish what it leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Unusable
from calibrant.numerics.calibrators.inputs import Data
from calibrant.numerics.calibrators.model import TINY
from calibrant.numerics.calibrators.outcome import Solution
from calibrant.numerics.calibrators.temperature import fit_temperature

Float64 = NDArray[np.float64]

MAX_PASSES = 2000
POLISHING = 30
GRADIENT = 1e-9
"""Largest mean derivative, with every feature in units of its size, that counts as converged."""

MAX_MATRIX_CLASSES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One penalised multinomial regression.

    Parameters lie one after the other: diagonal (k), bias (k) and, with `full`, a matrix (k, k)
    whose own diagonal stays 0. The penalty is `sum(strength * (theta - centre)**2)`.

    Attributes
    ----------
    x : float64 array of shape (n, k)
        Features, 0 where a class is masked.
    masked : bool array of shape (n, k), or None
    labels : int64 array of shape (n,)
    share : float64 array of shape (n,)
        Weight of each row; sums to 1.
    size : float64 array of shape (d,)
        Root mean square of each parameter's feature: the solver's unit.
    start, centre, strength : float64 arrays of shape (d,)
    full : bool
    offset : float64 array of shape (n, k), or None
        Added to every row's scores.
    """

    x: Float64
    masked: NDArray[np.bool_] | None
    labels: NDArray[np.int64]
    share: Float64
    size: Float64
    start: Float64
    centre: Float64
    strength: Float64
    full: bool
    offset: Float64 | None = None

    def linear(self, theta: Float64) -> Float64:
        """Return scale * x + matrix @ x + bias, row by row."""
        k = self.x.shape[1]
        found = self.x * theta[:k] + theta[k : 2 * k]
        if self.full:
            found += self.x @ theta[2 * k :].reshape(k, k).T
        return found

    def adjoint(self, residual: Float64) -> Float64:
        """Return the derivatives of `sum(residual * linear(theta))`."""
        parts = [np.einsum("nk,nk->k", residual, self.x), residual.sum(axis=0)]
        if self.full:
            matrix = residual.T @ self.x
            np.fill_diagonal(matrix, 0.0)
            parts.append(matrix.reshape(-1))
        return np.concatenate(parts)

    def evaluate(self, theta: Float64) -> tuple[float, Float64, Float64]:
        """Return loss, gradient, and the rows' probabilities times their share."""
        from calibrant.numerics.kernels import softmax

        scores = self.linear(theta)
        if self.offset is not None:
            scores += self.offset
        if self.masked is not None:
            scores[self.masked] = -np.inf
        loss = softmax.residuals(scores, self.labels, self.share)
        away = theta - self.centre
        loss += float(self.strength @ (away * away))
        gradient = self.adjoint(scores) + 2 * self.strength * away
        scores[np.arange(len(scores)), self.labels] += self.share
        return loss, gradient, scores

    def curvature(self, probabilities: Float64, direction: Float64) -> Float64:
        """Return the Hessian times a direction; probabilities as `evaluate` returns them."""
        change = self.linear(direction)
        mean = np.einsum("nk,nk->n", probabilities, change) / self.share
        return self.adjoint(probabilities * (change - mean[:, None])) + (
            2 * self.strength * direction
        )


def fit_vector(data: Data) -> Solution:
    r"""Fit `softmax(v * z + b)` by plain maximum likelihood; for experts, it is not penalised.

    Parameters
    ----------
    data : Data
        Multiclass.

    Returns
    -------
    Solution
        b has mean 0: a constant added to all of it changes nothing.

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks, ICML.
    """
    k = data.n_classes
    first = fit_temperature(data).params["temperature"]
    logits = np.asarray(data.logits, dtype=np.float64)
    masked = np.isneginf(logits)
    x = np.where(masked, 0.0, logits)
    start = np.concatenate([np.full(k, 1 / first), np.zeros(k)])
    nothing = np.zeros(2 * k)
    problem = _problem(data, x, start, nothing, nothing, masked if masked.any() else None)
    theta, found = solve(problem)
    bias = theta[k : 2 * k] - theta[k : 2 * k].mean()
    return replace(found, params={"scale": theta[:k], "bias": bias})


def fit_svs(data: Data) -> Solution:
    r"""Fit structured vector scaling: `softmax((1 + v) * x + b)` after temperature scaling.

    x is the log of temperature-scaled probabilities mixed with the uniform, weight 1/(n + 1). The
    objective is the mean log loss plus (k/n)(sum v^2 + sum b^2).

    Parameters
    ----------
    data : Data
        Multiclass.

    Returns
    -------
    Solution

    References
    ----------
    .. [1] Berta, Holzmueller, Jordan, Bach (2025), Structured matrix scaling for multi-class
       calibration.
    """
    return _structured(data, full=False)


def fit_sms(data: Data) -> Solution:
    r"""Fit structured matrix scaling: `fit_svs` with off-diagonal terms M x.

    They are penalised by (k(k-1)/n) sum M^2. k^2 parameters: at most 100 classes.

    Parameters
    ----------
    data : Data
        Multiclass.

    Returns
    -------
    Solution

    Raises
    ------
    Unusable
        If there are more than 100 classes.

    References
    ----------
    .. [1] Berta, Holzmueller, Jordan, Bach (2025), Structured matrix scaling for multi-class
       calibration.
    """
    _refuse_many_classes(data, "sms")
    return _structured(data, full=True)


def _structured(data: Data, *, full: bool) -> Solution:
    """Fit svs, or sms with `full`."""
    from calibrant.numerics.kernels import softmax

    k, n = data.n_classes, data.size
    first = fit_temperature(data)
    if first.status not in {"ok", "at_bound"}:
        return first
    temperature, smoothing = first.params["temperature"], 1 / (n + 1)
    x = np.empty(data.scores.shape)
    softmax.log_probabilities(data.logits, 1 / temperature, smoothing, TINY, x)
    length = 2 * k + (k * k if full else 0)
    centre = np.concatenate([np.ones(k), np.zeros(length - k)])
    strength = np.full(length, k / n)
    strength[2 * k :] = k * (k - 1) / n
    theta, found = solve(_problem(data, x, centre, centre, strength))
    params = {
        "temperature": temperature,
        "smoothing": smoothing,
        "scale": theta[:k],
        "bias": theta[k : 2 * k],
    }
    if full:
        params["matrix"] = theta[2 * k :].reshape(k, k)
    status = found.status if first.status == "ok" else first.status
    return replace(found, params=params, status=status, passes=found.passes + first.passes)


def fit_dirichlet(data: Data, *, off_diagonal: float = 1e-3, intercept: float = 1e-3) -> Solution:
    r"""Fit Dirichlet calibration with ODIR: `softmax(W log p + b)`.

    The objective is the mean log loss plus `off_diagonal` times the mean of the squared
    off-diagonal entries of W plus `intercept` times the mean of b^2.

    Parameters
    ----------
    data : Data
        Multiclass.
    off_diagonal, intercept : float, at least 0

    Returns
    -------
    Solution

    Raises
    ------
    Unusable
        If there are more than 100 classes.

    References
    ----------
    .. [1] Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song, Flach (2019), Beyond temperature
       scaling, NeurIPS.
    """
    from calibrant.numerics.kernels import softmax

    _refuse_many_classes(data, "dirichlet")
    k = data.n_classes
    x = np.empty(data.scores.shape)
    softmax.log_probabilities(data.logits, 1.0, 0.0, TINY, x)
    length = 2 * k + k * k
    start = np.concatenate([np.ones(k), np.zeros(length - k)])
    strength = np.concatenate(
        [
            np.zeros(k),
            np.full(k, intercept / k),
            np.full(k * k, off_diagonal / (k * (k - 1))),
        ]
    )
    theta, found = solve(_problem(data, x, start, np.zeros(length), strength))
    matrix = theta[2 * k :].reshape(k, k) + np.diag(theta[:k])
    notes = {"off_diagonal": off_diagonal, "intercept": intercept}
    return replace(found, params={"matrix": matrix, "bias": theta[k : 2 * k]}, notes=notes)


def _refuse_many_classes(data: Data, kind: str) -> None:
    if data.n_classes > MAX_MATRIX_CLASSES:
        raise Unusable(
            f"`{kind}` has k^2 parameters and takes at most {MAX_MATRIX_CLASSES} classes; "
            "`svs` has 2 k."
        )


def _problem(
    data: Data,
    x: Float64,
    start: Float64,
    centre: Float64,
    strength: Float64,
    masked: NDArray[np.bool_] | None = None,
) -> Problem:
    """Assemble a problem; its shape follows from the length of `start`."""
    k, n = data.n_classes, len(data)
    share = data.weights / data.weight_sum if data.weighted else np.full(n, 1 / n)
    each = np.sqrt(np.maximum(share @ (x * x), 1e-300))
    full = len(start) > 2 * k
    size = np.concatenate([each, np.ones(k), np.tile(each, k) if full else np.empty(0)])
    return Problem(x, masked, data.labels, share, size, start, centre, strength, full=full)


def solve(problem: Problem) -> tuple[Float64, Solution]:
    """Minimise a problem; returns theta and how it went, without parameters.

    L-BFGS first. Where it stops short (it compares losses, whose differences drown in rounding
    before the gradient vanishes), Newton steps by conjugate gradients follow.
    """
    from scipy.optimize import minimize

    size = problem.size

    def scaled(phi: Float64) -> tuple[float, Float64]:
        loss, gradient, _ = problem.evaluate(phi / size)
        return loss, gradient / size

    found = minimize(
        scaled,
        problem.start * size,
        jac=True,
        method="L-BFGS-B",
        options={
            "maxcor": 20,
            "maxiter": MAX_PASSES,
            "maxfun": MAX_PASSES,
            "ftol": 1e-15,
            "gtol": GRADIENT,
        },
    )
    theta, passes = found.x / size, int(found.nfev)
    loss, gradient, probabilities = problem.evaluate(theta)
    for _ in range(POLISHING):
        worst = float(np.abs(gradient / size).max())
        if worst <= GRADIENT or passes >= MAX_PASSES:
            break
        step, used = _newton_step(problem, gradient, probabilities)
        passes += used
        after = problem.evaluate(theta + step)
        if float(np.abs(after[1] / size).max()) >= worst and after[0] >= loss:
            break
        theta = theta + step
        loss, gradient, probabilities = after
    worst = float(np.abs(gradient / size).max())
    settled = worst <= 10 * GRADIENT
    return theta, Solution({}, "ok" if settled else "not_converged", passes, worst)


def _newton_step(
    problem: Problem, gradient: Float64, probabilities: Float64
) -> tuple[Float64, int]:
    """Solve Hessian @ step = -gradient by conjugate gradients in the problem's units."""
    size = problem.size
    step = np.zeros_like(gradient)
    residual = -gradient / size
    direction = residual.copy()
    square = float(residual @ residual)
    goal = 1e-6 * square
    used = 0
    while used < min(len(gradient), 200):
        used += 1
        image = problem.curvature(probabilities, direction / size) / size
        bend = float(direction @ image)
        if bend <= 1e-300:
            break
        length = square / bend
        step += length * direction
        residual -= length * image
        before, square = square, float(residual @ residual)
        if square <= goal:
            break
        direction = residual + (square / before) * direction
    return step / size, used

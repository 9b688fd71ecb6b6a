"""Multiclass maps with many parameters: vector, structured and Dirichlet scaling, by L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibrators.inputs import Data
from calibrant.numerics.calibrators.model import TINY
from calibrant.numerics.calibrators.outcome import Solution
from calibrant.numerics.calibrators.temperature import fit_temperature

Float64 = NDArray[np.float64]

MAX_PASSES = 3000
GRADIENT = 1e-8
"""Largest mean derivative, in units where every feature has size 1, that counts as converged."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How a parameter vector is laid out, what it starts from and how it is penalised.

    Blocks follow each other: diagonal (k), bias (k) and, with `full`, a matrix (k, k) whose
    diagonal is the first block. The penalty is `sum(strength * (theta - centre)**2)`.

    Attributes
    ----------
    x : float64 array of shape (n, k)
        Features; -inf is a masked class and stays masked.
    size : float64 array of shape (d,)
        Natural size of each parameter's feature; the solver works in units of 1/size.
    start, centre, strength : float64 arrays of shape (d,)
    full : bool
    """

    x: Float64
    size: Float64
    start: Float64
    centre: Float64
    strength: Float64
    full: bool


def fit_vector(data: Data) -> Solution:
    r"""Fit `softmax(v * z + b)` by plain maximum likelihood; for experts, it is not penalised.

    Parameters
    ----------
    data : Data
        Multiclass.

    Returns
    -------
    Solution
        b is centred to mean 0: a constant added to all of it changes nothing.

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks, ICML.
    """
    k = data.n_classes
    scale = data.survey.scale
    first = fit_temperature(data)
    x = np.asarray(data.logits, dtype=np.float64)
    x = x - x.max(axis=1, keepdims=True)
    # v is not shift-invariant: rows are not shifted in the map, so neither may they be here
    x = np.asarray(data.logits, dtype=np.float64)
    start = np.concatenate([np.full(k, 1 / first.params["temperature"]), np.zeros(k)])
    finite = x[np.isfinite(x)]
    size = np.concatenate([np.full(k, max(scale, float(np.sqrt(np.mean(finite**2))))), np.ones(k)])
    nothing = np.zeros(2 * k)
    found = _solve(data, Layout(x, size, start, nothing, nothing, full=False))
    theta, solution = found
    bias = theta[k:] - theta[k:].mean()
    return replace(solution, params={"scale": theta[:k], "bias": bias})

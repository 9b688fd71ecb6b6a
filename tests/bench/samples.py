"""Made rows of fixed seeds, and what is right about them, computed plainly in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Expected = dict[str, tuple[float, float]]
"""Figure to its value and the relative tolerance that a correct contender keeps."""

EXACT = 1e-6
SINGLE = 1e-2  # counters in float32 lose rows: torchmetrics is off by .7 % at 1 M rows
N_BINS = 15


def binary(n: int) -> Arrays:
    """Return overconfident binary probabilities in float32."""
    rng = np.random.default_rng(1)
    truth = rng.beta(2.0, 3.0, n)
    odds = (truth / (1 - truth)) ** 1.4
    scores = (odds / (1 + odds)).astype(np.float32)
    return {"scores": scores, "labels": (rng.random(n) < truth).astype(np.int64)}


def logits(n: int, k: int = 10) -> Arrays:
    """Return logits in float32 whose right temperature is about 1.6."""
    rng = np.random.default_rng(2)
    scores = rng.normal(0.0, 2.5, (n, k)).astype(np.float32)
    labels = (scores / 1.6 + rng.gumbel(size=(n, k))).argmax(axis=1)
    return {"scores": scores, "labels": labels.astype(np.int64)}


def probabilities(n: int, k: int = 1000) -> Arrays:
    """Return softmax outputs in float32."""
    made = logits(n, k)
    scores = made["scores"].copy()
    np.exp(scores - scores.max(axis=1, keepdims=True), out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return {"scores": scores, "labels": made["labels"]}


def sliced(n: int, slices: int = 50) -> Arrays:
    """Return binary rows in slices of unequal size."""
    rng = np.random.default_rng(3)
    codes = np.minimum(rng.exponential(slices / 4, n).astype(np.int32), slices - 1)
    return {**binary(n), "codes": codes}


def calibration_of(p: NDArray[Any], hit: NDArray[Any], tolerance: float = SINGLE) -> Expected:
    """Return ECE and MCE of a binary view by counting."""
    p = p.astype(np.float64)
    edges = np.linspace(0.0, 1.0, N_BINS + 1)
    at = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, N_BINS - 1)
    n = np.bincount(at, minlength=N_BINS)
    gap = np.abs(np.bincount(at, p - hit, N_BINS))
    return {
        "ece": (float(gap.sum() / len(p)), tolerance),
        "mce": (float((gap / np.maximum(n, 1))[n >= 30].max()), tolerance),
    }


def right_binary(arrays: Arrays) -> Expected:
    """Return what a report of binary probabilities says."""
    p, y = arrays["scores"].astype(np.float64), arrays["labels"]
    own = np.where(y == 1, p, 1 - p)
    return {
        **calibration_of(p, y),
        "nll": (float(-np.log(own).mean()), EXACT),
        "brier": (float(((p - y) ** 2).mean()), EXACT),
        "accuracy": (float(((p >= 0.5) == (y == 1)).mean()), EXACT),
    }


def right_logits(arrays: Arrays) -> Expected:
    """Return what a report of logits says."""
    z = arrays["scores"].astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    own = z[np.arange(len(z)), arrays["labels"]]
    np.exp(z, out=z)
    total = z.sum(axis=1)
    nll = np.log(total) - own
    z /= total[:, None]
    hit = z.argmax(axis=1) == arrays["labels"]
    brier = (z * z).sum(axis=1) - 2 * np.exp(-nll) + 1
    return {
        **calibration_of(z.max(axis=1), hit),
        "nll": (float(nll.mean()), 1e-5),
        "brier": (float(brier.mean()), 1e-5),
    }


def right_probabilities(arrays: Arrays) -> Expected:
    """Return ECE and MCE of the top label."""
    p = arrays["scores"]
    return calibration_of(p.max(axis=1), p.argmax(axis=1) == arrays["labels"])


def right_temperature(arrays: Arrays) -> Expected:
    """Return the temperature of least log loss, by bisection on its derivative."""
    z = arrays["scores"].astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    own = z[np.arange(len(z)), arrays["labels"]]
    low, high = 0.05, 20.0  # of 1/T; the derivative rises in it
    while high / low > 1 + 1e-9:
        middle = float(np.sqrt(low * high))
        e = np.exp(middle * z)
        slope = (np.einsum("ij,ij->i", e, z) / e.sum(axis=1) - own).mean()
        low, high = (middle, high) if slope < 0 else (low, middle)
    return {"temperature": (float(1 / np.sqrt(low * high)), 1e-3)}

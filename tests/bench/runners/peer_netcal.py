"""netcal: ECE, and temperature scaling by maximum likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from netcal.metrics import ECE
from netcal.scaling import TemperatureScaling
from protocol import Figures, Work, answer

torch.set_num_threads(1)


def ece(scores: Any, labels: Any) -> Work:
    """ECE; neither row sums nor labels are checked."""
    metric = ECE(bins=15)
    return lambda: {"ece": metric.measure(scores, labels)}


def _temperature(dtype: Any, scores: Any, labels: Any) -> Work:
    """Fit on probabilities, which it takes instead of logits; they are computed beforehand."""
    z = scores.astype(dtype)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)

    def work() -> Figures:
        scaling = TemperatureScaling()
        scaling.fit(p, labels)
        return {"temperature": 1 / float(np.asarray(scaling.temperature).reshape(-1)[0])}

    return work


def temperature32(scores: Any, labels: Any) -> Work:
    """Fit in float32."""
    return _temperature(np.float32, scores, labels)


def temperature64(scores: Any, labels: Any) -> Work:
    """Fit in float64."""
    return _temperature(np.float64, scores, labels)


answer(
    {"ece": ece, "temperature32": temperature32, "temperature64": temperature64},
    ["netcal", "torch", "numpy"],
)

"""scikit-learn: isotonic regression and the temperature scaling inside CalibratedClassifierCV."""

from __future__ import annotations

from typing import Any

import numpy as np
from protocol import Figures, Work, answer
from sklearn.calibration import _TemperatureScaling
from sklearn.isotonic import IsotonicRegression

PROBES = np.array([0.05, 0.2, 0.5, 0.8, 0.95])


def _isotonic(dtype: Any, scores: Any, labels: Any) -> Work:
    p, y = scores.astype(dtype), labels.astype(dtype)

    def work() -> Figures:
        fitted = IsotonicRegression(out_of_bounds="clip").fit(p, y).predict(PROBES.astype(dtype))
        return {f"at_{at:g}": float(value) for at, value in zip(PROBES, fitted, strict=True)}

    return work


def isotonic32(scores: Any, labels: Any) -> Work:
    """Fit in float32."""
    return _isotonic(np.float32, scores, labels)


def isotonic64(scores: Any, labels: Any) -> Work:
    """Fit in float64."""
    return _isotonic(np.float64, scores, labels)


def _temperature(dtype: Any, scores: Any, labels: Any) -> Work:
    z = scores.astype(dtype)
    return lambda: {"temperature": 1 / float(_TemperatureScaling().fit(z, labels).beta_)}


def temperature32(scores: Any, labels: Any) -> Work:
    """Fit in float32."""
    return _temperature(np.float32, scores, labels)


def temperature64(scores: Any, labels: Any) -> Work:
    """Fit in float64."""
    return _temperature(np.float64, scores, labels)


answer(
    {
        "isotonic32": isotonic32,
        "isotonic64": isotonic64,
        "temperature32": temperature32,
        "temperature64": temperature64,
    },
    ["scikit-learn", "numpy", "scipy"],
)

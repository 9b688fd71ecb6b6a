"""probmetrics: temperature scaling by bisection on logits."""

from __future__ import annotations

from typing import Any

import torch
from probmetrics.calibrators.temperature_scaling import TemperatureScalingCalibrator
from probmetrics.distributions import CategoricalLogits
from protocol import Figures, Work, answer

torch.set_num_threads(1)


def temperature(scores: Any, labels: Any) -> Work:
    """Fit with its defaults."""
    z, y = CategoricalLogits(torch.from_numpy(scores)), torch.from_numpy(labels)

    def work() -> Figures:
        fitted = TemperatureScalingCalibrator()
        fitted.fit_torch(z, y)
        return {"temperature": 1 / float(fitted.invtemp_)}

    return work


answer({"temperature": temperature}, ["probmetrics", "torch", "numpy"])

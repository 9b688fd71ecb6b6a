"""torchmetrics: ECE and MCE of binary scores and of logits."""

from __future__ import annotations

from typing import Any

import torch
from protocol import Figures, Work, answer
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

torch.set_num_threads(1)
BINS = 15


def binary(scores: Any, labels: Any) -> Work:
    """ECE alone, checked as it does by default."""
    p, y = torch.from_numpy(scores), torch.from_numpy(labels)
    return lambda: {"ece": binary_calibration_error(p, y, n_bins=BINS, norm="l1").item()}


def binary_both(scores: Any, labels: Any) -> Work:
    """ECE and MCE, which are two calls."""
    p, y = torch.from_numpy(scores), torch.from_numpy(labels)
    return lambda: {
        "ece": binary_calibration_error(p, y, n_bins=BINS, norm="l1").item(),
        "mce": binary_calibration_error(p, y, n_bins=BINS, norm="max").item(),
    }


def binary_unchecked(scores: Any, labels: Any) -> Work:
    """ECE alone with its checks off."""
    p, y = torch.from_numpy(scores), torch.from_numpy(labels)
    return lambda: {
        "ece": binary_calibration_error(p, y, n_bins=BINS, norm="l1", validate_args=False).item()
    }


def multiclass(scores: Any, labels: Any) -> Work:
    """ECE alone; it applies softmax to logits by itself."""
    z, y = torch.from_numpy(scores), torch.from_numpy(labels)
    k = z.shape[1]
    return lambda: {
        "ece": multiclass_calibration_error(z, y, num_classes=k, n_bins=BINS, norm="l1").item()
    }


def logits_all(scores: Any, labels: Any) -> Work:
    """ECE with NLL and Brier written in torch beside it."""
    z, y = torch.from_numpy(scores), torch.from_numpy(labels)
    k = z.shape[1]

    def work() -> Figures:
        ece = multiclass_calibration_error(z, y, num_classes=k, n_bins=BINS, norm="l1")
        log_p = torch.log_softmax(z, dim=1)
        own = log_p.gather(1, y[:, None])[:, 0]
        p = log_p.exp()
        brier = (p * p).sum(dim=1) - 2 * own.exp() + 1
        return {"ece": ece.item(), "nll": -own.mean().item(), "brier": brier.mean().item()}

    return work


answer(
    {
        "binary": binary,
        "binary_both": binary_both,
        "binary_unchecked": binary_unchecked,
        "multiclass": multiclass,
        "logits_all": logits_all,
    },
    ["torchmetrics", "torch", "numpy"],
)

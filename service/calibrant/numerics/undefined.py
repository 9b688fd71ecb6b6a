"""Why a metric has no value.

Metrics give NaN inside arrays where they cannot be computed; a report turns that into null with
the reason named here.
"""

from __future__ import annotations

from typing import Literal

Reason = Literal["empty", "single_class", "too_few_rows", "separable", "no_variation"]

_NEED_BOTH = {
    "auroc",
    "average_precision",
    "calibration_slope",
    "calibration_intercept",
    "oe_ratio",
}


def reason(metric: str, n: float, positives: float) -> Reason:
    """Name why `metric` is NaN on `n` rows of which `positives` have outcome 1.

    Parameters
    ----------
    metric : str
        Name as in a report.
    n, positives : float
        Rows, or their weights.

    Examples
    --------
    >>> reason("ece", 0, 0), reason("auroc", 8, 8), reason("mce", 8, 4)
    ('empty', 'single_class', 'too_few_rows')
    """
    if n <= 0:
        return "empty"
    if metric in _NEED_BOTH and not 0 < positives < n:
        return "single_class"
    return "too_few_rows"

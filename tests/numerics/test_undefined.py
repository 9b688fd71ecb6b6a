from __future__ import annotations

import pytest

from calibrant.numerics.undefined import reason


@pytest.mark.parametrize(
    ("metric", "n", "positives", "expected"),
    [
        ("ece", 0, 0, "empty"),
        ("auroc", 0, 0, "empty"),
        ("auroc", 5, 0, "single_class"),
        ("calibration_slope", 5, 5, "single_class"),
        ("mce", 5, 5, "too_few_rows"),
        ("rmsce_interval", 2, 1, "too_few_rows"),
    ],
)
def test_a_missing_value_has_a_reason(
    metric: str, n: float, positives: float, expected: str
) -> None:
    assert reason(metric, n, positives) == expected

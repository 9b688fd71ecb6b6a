import pytest

from calibrant.operations.draw.words import against_noise, count, decimal, rows, signed
from calibrant.operations.evaluate.report import NoiseFloor


@pytest.mark.parametrize(
    ("value", "text"), [(28_834, "28,834"), (12.0, "12"), (12.5, "12.5"), (0, "0")]
)
def test_rows_are_written_with_separators(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (-0.0001, "0.000"), (None, "-"), (-0.5, "-0.500")]
)
def test_figures_have_no_negative_zero(value: float | None, text: str) -> None:
    assert decimal(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "+0.100"), (-0.1, "-0.100"), (0.00001, "0.000"), (None, "-")]
)
def test_signs_are_always_written_except_for_zero(value: float | None, text: str) -> None:
    assert signed(value) == text


def test_one_row_is_singular() -> None:
    assert rows(1) == "1 row"
    assert rows(2) == "2 rows"


def test_an_error_is_compared_with_its_noise() -> None:
    floor = NoiseFloor(mean=0.012, p95=0.017)
    assert against_noise(0.018, floor).startswith("above noise (a calibrated model shows 0.012")
    assert against_noise(0.016, floor).startswith("within noise")

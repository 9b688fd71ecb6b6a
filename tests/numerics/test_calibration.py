from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibrant.numerics import calibration as cal
from calibrant.numerics.table import Bins, BinTable, tabulate

# Four rows in two bins of [0, 1/2, 1]: gaps -.3 (n 2) and +.35 (n 2).
SCORE = np.array([0.1, 0.3, 0.8, 0.9])
OUTCOME = np.array([0, 1, 0, 1], dtype=bool)
HALVES = np.array([0.0, 0.5, 1.0])

POINT: list[Callable[[Bins], np.ndarray]] = [
    cal.ece, cal.ace, cal.rmsce, cal.bias, cal.oe_ratio, cal.brier, cal.mean_score, cal.base_rate,
    lambda b: cal.mce(b, min_count=1).value,
]  # fmt: skip


def bins() -> Bins:
    return Bins.from_rows(SCORE, OUTCOME, edges=HALVES)


def scores(n: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, n, elements=st.floats(0, 1))


def test_numbers_by_hand() -> None:
    b = bins()
    np.testing.assert_allclose(cal.gaps(b), [[-0.3, 0.35]])
    np.testing.assert_allclose(cal.ece(b), 0.325)
    np.testing.assert_allclose(cal.ace(b), 0.325)
    np.testing.assert_allclose(cal.rmsce(b), np.sqrt((0.09 + 0.1225) / 2))
    np.testing.assert_allclose(cal.bias(b), 0.025)
    np.testing.assert_allclose(cal.oe_ratio(b), 2.1 / 2)
    np.testing.assert_allclose(cal.brier(b), np.mean((SCORE - OUTCOME) ** 2))
    np.testing.assert_allclose(cal.mean_score(b), 0.525)
    np.testing.assert_allclose(cal.base_rate(b), 0.5)


def test_the_debiased_error_by_hand() -> None:
    # Bins d = (.1, -.7) and (.8, -.1): products of distinct rows -.07 and -.08, each twice over
    # N - 1 = 1, divided by n = 4.
    np.testing.assert_allclose(cal.l2_debiased(bins()), (2 * -0.07 + 2 * -0.08) / 4)
    assert cal.rmsce_debiased(bins()).tolist() == [0.0]


def test_the_variance_of_the_debiased_error_follows_its_formula(rng: np.random.Generator) -> None:
    p = rng.random(400)
    y = rng.random(400) < p**1.5
    b = Bins.from_rows(p, y)
    d, j = p - y, np.minimum((p * 15).astype(int), 14)
    inside = between = square = 0.0
    for k in range(15):
        x = d[j == k]
        n, m, v = len(x), x.mean(), x.var(ddof=1)
        inside += (n / 400) ** 2 * (4 * m**2 * v / n + 2 * v**2 / (n * (n - 1)))
        between += n / 400 * m**4
        square += n / 400 * m**2
    expected = inside + (between - square**2) / 400
    np.testing.assert_allclose(cal.l2_variance(b), expected, rtol=1e-10)
    low, high = cal.rmsce_interval(b)[0]
    centre = cal.l2_debiased(b)[0]
    np.testing.assert_allclose(high, np.sqrt(centre + 1.959964 * np.sqrt(expected)), rtol=1e-6)
    assert low <= cal.rmsce_debiased(b)[0] <= high


def test_the_largest_gap_needs_enough_rows_and_tells_them() -> None:
    p = np.concatenate([np.full(29, 0.05), np.full(31, 0.95)])
    b = Bins.from_rows(p, np.concatenate([np.ones(29), np.ones(31)]))
    value, count = cal.mce(b)
    np.testing.assert_allclose(value, 0.05)
    assert count.tolist() == [31]
    np.testing.assert_allclose(cal.mce(b, min_count=1).value, 0.95)
    assert np.isnan(cal.mce(b, min_count=100).value).all()
    assert cal.mce(b, min_count=100).count.tolist() == [0]


def test_without_rows_nothing_has_a_value() -> None:
    b = BinTable.zeros(2).bins()
    for metric in [*POINT, cal.l2_debiased, cal.rmsce_debiased, cal.l2_debiased_kumar]:
        assert np.isnan(metric(b)).all()
    assert np.isnan(cal.rmsce_interval(b)).all()
    assert np.isnan(cal.murphy(b).brier).all()


def test_bins_of_one_row_each_leave_no_debiased_error() -> None:
    b = Bins.from_rows(np.array([0.1, 0.9]), np.array([0, 1]))
    assert np.isnan(cal.l2_debiased(b)).all()
    assert np.isnan(cal.rmsce_interval(b)).all()


def test_an_expected_over_observed_ratio_needs_a_positive() -> None:
    assert np.isnan(cal.oe_ratio(Bins.from_rows(np.array([0.5]), np.array([0]))))


def test_slices_are_computed_as_if_alone(rng: np.random.Generator) -> None:
    p, codes = rng.random(900), rng.integers(0, 4, 900)
    y = rng.random(900) < p
    together = BinTable.from_rows(p, y, codes=codes, n_slices=4).bins()
    for s in range(4):
        alone = BinTable.from_rows(p[codes == s], y[codes == s]).bins()
        for metric in [*POINT, cal.rmsce_debiased, cal.l2_debiased_kumar]:
            np.testing.assert_array_equal(metric(together)[s], metric(alone)[0])
        np.testing.assert_allclose(cal.rmsce_interval(together)[s], cal.rmsce_interval(alone)[0])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_parts_of_the_brier_score_add_up(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 80))
    p, y = data.draw(scores(n)), data.draw(hnp.arrays(np.bool_, n))
    w = data.draw(hnp.arrays(np.float64, n, elements=st.floats(0.01, 10)))
    for weights in (None, w):
        parts = cal.murphy(Bins.from_rows(p, y, weights))
        total = (
            parts.reliability - parts.resolution + parts.uncertainty
            + parts.within_variance - 2 * parts.within_covariance
        )  # fmt: skip
        np.testing.assert_allclose(total, np.average((p - y) ** 2, weights=weights), atol=1e-12)
        np.testing.assert_allclose(total, parts.brier, rtol=0, atol=1e-12)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_errors_keep_their_order_and_their_bounds(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 80))
    b = Bins.from_rows(data.draw(scores(n)), data.draw(hnp.arrays(np.bool_, n)))
    ece, rmsce, mce = cal.ece(b)[0], cal.rmsce(b)[0], cal.mce(b, min_count=1).value[0]
    slack = 1e-12
    assert 0 <= abs(cal.bias(b)[0]) <= ece + slack
    assert ece <= rmsce + slack
    assert rmsce <= mce + slack
    assert mce <= 1 + slack
    assert cal.l2_debiased(b)[0] <= rmsce**2 + slack or np.isnan(cal.l2_debiased(b)[0])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_order_of_rows_does_not_matter(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 80))
    p, y = data.draw(scores(n)), data.draw(hnp.arrays(np.bool_, n))
    order = np.array(data.draw(st.permutations(range(n))))
    a, b = BinTable.from_rows(p, y).bins(), BinTable.from_rows(p[order], y[order]).bins()
    for metric in [*POINT, cal.rmsce_debiased]:
        np.testing.assert_array_equal(metric(a), metric(b))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_integer_weights_equal_repeated_rows(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 50))
    p, y = data.draw(scores(n)), data.draw(hnp.arrays(np.bool_, n))
    times = data.draw(hnp.arrays(np.int64, n, elements=st.integers(1, 5)))
    a = tabulate(p, y, times.astype(float)).bins()
    b = tabulate(np.repeat(p, times), np.repeat(y, times)).bins()
    for metric in POINT[:-1]:
        np.testing.assert_allclose(metric(a), metric(b), rtol=0, atol=1e-7)


def test_equal_weights_change_no_uncertainty(rng: np.random.Generator) -> None:
    p = rng.random(500)
    y = rng.random(500) < p
    plain, heavy = Bins.from_rows(p, y), Bins.from_rows(p, y, np.full(500, 7.0))
    for metric in (cal.l2_debiased, cal.l2_variance, cal.rmsce_interval, cal.l2_debiased_kumar):
        np.testing.assert_allclose(metric(heavy), metric(plain), rtol=1e-9, atol=1e-15)


def test_the_weighted_debiased_error_is_unbiased(rng: np.random.Generator) -> None:
    p = np.tile(np.linspace(0.02, 0.98, 150), 2)
    w = rng.gamma(0.7, size=300) + 0.05
    values = [cal.l2_debiased(Bins.from_rows(p, rng.random(300) < p, w))[0] for _ in range(4000)]
    se = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * se + 2e-4


@pytest.mark.parametrize("closed", ["left", "right"])
def test_a_score_on_an_edge_goes_where_the_name_says(closed: str) -> None:
    b = Bins.from_rows(np.array([0.5]), np.array([1]), edges=HALVES, closed=closed)
    assert b.n.tolist() == ([[0, 1]] if closed == "left" else [[1, 0]])

from __future__ import annotations

import numpy as np
import pytest

from calibrant.numerics import calibration, floor
from calibrant.numerics.table import Bins, BinTable, tabulate

# reference/numerics.md, section 2: 15 bins, uniform p, simulated mean and p95, formula mean.
TABLE = [
    (100, 0.12, 0.16, 0.118),
    (300, 0.068, 0.094, 0.069),
    (1_000, 0.039, 0.052, 0.0385),
    (3_000, 0.022, 0.030, 0.0222),
    (10_000, 0.0125, 0.0166, 0.0122),
]


@pytest.mark.parametrize(("n", "mean", "p95", "formula"), TABLE)
def test_the_floor_of_uniform_scores_is_as_tabulated(
    n: int, mean: float, p95: float, formula: float
) -> None:
    p = (np.arange(n) + 0.5) / n
    bins = Bins.from_rows(p, np.zeros(n))
    found = floor.noise_floor(bins)
    assert found.mean[0] == pytest.approx(formula, rel=0.04)
    assert floor.null_draws(bins).mean() == pytest.approx(mean, rel=0.06)
    assert found.p95[0] == pytest.approx(p95, rel=0.06)


@pytest.mark.parametrize("n", [40, 200, 2_000])
def test_null_draws_have_the_spread_of_simulated_calibrated_data(
    n: int, rng: np.random.Generator
) -> None:
    p = rng.beta(0.5, 4, n)
    simulated = [calibration.ece(Bins.from_rows(p, rng.random(n) < p))[0] for _ in range(1_500)]
    drawn = floor.null_draws(Bins.from_rows(p, np.zeros(n)))[:, 0]
    assert drawn.mean() == pytest.approx(np.mean(simulated), rel=0.06)
    assert np.quantile(drawn, 0.95) == pytest.approx(np.quantile(simulated, 0.95), rel=0.08)


def test_calibrated_data_rarely_get_a_small_p_value(rng: np.random.Generator) -> None:
    p = rng.random((400, 500))
    y = rng.random((400, 500)) < p
    codes = np.repeat(np.arange(400), 500)
    bins = BinTable.from_rows(p.ravel(), y.ravel(), codes=codes, n_slices=400).bins()
    p_values = floor.noise_floor(bins).p_value
    assert 0.02 <= np.mean(p_values <= 0.05) <= 0.09
    z, two_sided = floor.bias_test(bins)
    assert 0.02 <= np.mean(two_sided <= 0.05) <= 0.09
    assert np.abs(z.mean()) < 0.2


def test_miscalibrated_data_get_a_small_p_value(rng: np.random.Generator) -> None:
    p = rng.random(3_000)
    bins = Bins.from_rows(p, rng.random(3_000) < p**2)
    found = floor.noise_floor(bins)
    assert found.p_value[0] == pytest.approx(1 / (1 + floor.DRAWS))
    assert calibration.ece(bins)[0] > found.high[0] > found.p95[0] > found.mean[0] > found.low[0]


def test_equal_seeds_give_equal_floors_whatever_the_other_slices(
    rng: np.random.Generator,
) -> None:
    p, codes = rng.beta(1, 6, 3_000), rng.integers(0, 3, 3_000)
    y = rng.random(3_000) < p
    together = floor.noise_floor(BinTable.from_rows(p, y, codes=codes, n_slices=3).bins(), seed=5)
    for s in range(3):
        alone = floor.noise_floor(BinTable.from_rows(p[codes == s], y[codes == s]).bins(), seed=5)
        np.testing.assert_allclose(alone.p95[0], together.p95[s], rtol=1e-12)
        assert alone.p_value[0] == together.p_value[s]


def test_the_bias_test_has_two_sides() -> None:
    low = Bins.from_rows(np.full(100, 0.4), np.ones(100))
    high = Bins.from_rows(np.full(100, 0.6), np.zeros(100))
    (z_low,), (p_low,) = floor.bias_test(low)
    (z_high,), (p_high,) = floor.bias_test(high)
    assert z_low == pytest.approx(-z_high)
    assert p_low == pytest.approx(p_high)
    assert p_low < 1e-20


def test_equal_weights_change_no_floor(rng: np.random.Generator) -> None:
    p = rng.beta(1, 5, 700)
    y = rng.random(700) < p
    plain = floor.noise_floor(tabulate(p, y).bins())
    heavy = floor.noise_floor(tabulate(p, y, np.full(700, 3.0)).bins())
    np.testing.assert_allclose(heavy.mean, plain.mean, rtol=1e-8)
    np.testing.assert_allclose(heavy.p95, plain.p95, rtol=0.02)


def test_uneven_weights_raise_the_floor(rng: np.random.Generator) -> None:
    p = rng.random(1_000)
    y = rng.random(1_000) < p
    plain = floor.noise_floor(tabulate(p, y).bins())
    uneven = floor.noise_floor(tabulate(p, y, rng.gamma(0.3, size=1_000) + 1e-3).bins())
    assert uneven.mean[0] > 1.5 * plain.mean[0]


def test_certain_scores_leave_no_noise() -> None:
    found = floor.noise_floor(Bins.from_rows(np.array([0.0, 1.0]), np.array([0, 1])))
    assert found.mean.tolist() == [0.0]
    assert found.p95.tolist() == [0.0]
    assert found.p_value.tolist() == [1.0]


def test_an_empty_slice_has_no_floor() -> None:
    found = floor.noise_floor(BinTable.zeros().bins())
    for values in (found.mean, found.p95, found.low, found.high, found.p_value):
        assert np.isnan(values).all()
    assert np.isnan(floor.bias_test(BinTable.zeros().bins())[0]).all()


def test_the_detectable_bias_is_found_with_its_power(rng: np.random.Generator) -> None:
    p = np.full(400, 0.3)
    shift = floor.detectable_bias(Bins.from_rows(p, np.zeros(400)))[0]
    found = [
        floor.bias_test(Bins.from_rows(p, rng.random(400) < 0.3 - shift))[1][0] < 0.05
        for _ in range(1_500)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)

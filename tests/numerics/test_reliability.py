from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from calibrant.numerics.reliability import consistency_band, diagram, equal_mass_diagram
from calibrant.numerics.table import Bins, BinTable, tabulate


def test_a_diagram_by_hand() -> None:
    p, y = np.array([0.1, 0.3, 0.3, 0.9]), np.array([0, 1, 0, 1])
    found = diagram(Bins.from_rows(p, y, edges=np.array([0, 0.2, 0.5, 0.6, 1])))
    assert found.n.tolist() == [[1, 2, 0, 1]]
    np.testing.assert_allclose(found.share, [[0.25, 0.5, 0, 0.25]])
    np.testing.assert_allclose(found.mean_score, [[0.1, 0.3, np.nan, 0.9]])
    np.testing.assert_allclose(found.rate, [[0, 0.5, np.nan, 1]])
    exact = stats.binomtest(1, 2).proportion_ci(method="exact")
    np.testing.assert_allclose([found.low[0, 1], found.high[0, 1]], [exact.low, exact.high])
    for column in (found.low, found.high, found.band_low, found.band_high):
        assert np.isnan(column[0, 2])


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_band_is_made_of_binomial_quantiles(level: float) -> None:
    n = np.array([1.0, 3, 10, 40, 1_000, 10**6])
    for p in (1e-9, 1e-4, 0.03, 0.5, 0.97, 1 - 1e-9):
        low, high = consistency_band(np.full(6, p), n, level=level)
        tail = (1 - level) / 2
        np.testing.assert_array_equal(low, stats.binom.ppf(tail, n, p) / n)
        np.testing.assert_array_equal(high, stats.binom.ppf(1 - tail, n, p) / n)


def test_certain_scores_have_a_band_without_width() -> None:
    low, high = consistency_band(np.array([0.0, 1.0]), np.array([5.0, 5.0]))
    assert low.tolist() == high.tolist() == [0.0, 1.0]


def test_the_band_holds_calibrated_rates(rng: np.random.Generator) -> None:
    p = rng.random((200, 1_500))
    y = rng.random((200, 1_500)) < p
    codes = np.repeat(np.arange(200), 1_500)
    found = diagram(BinTable.from_rows(p.ravel(), y.ravel(), codes=codes, n_slices=200).bins())
    inside = (found.band_low <= found.rate) & (found.rate <= found.band_high)
    assert 0.94 <= inside.mean() <= 0.99
    true = (found.low <= found.mean_score) & (found.mean_score <= found.high)
    assert 0.94 <= true.mean() <= 0.99


def test_weights_count_as_effective_rows(rng: np.random.Generator) -> None:
    p = rng.random(400)
    y = rng.random(400) < p
    plain = diagram(tabulate(p, y).bins())
    heavy = diagram(tabulate(p, y, np.full(400, 5.0)).bins())
    uneven = diagram(tabulate(p, y, rng.gamma(0.3, size=400) + 1e-3).bins())
    np.testing.assert_allclose(heavy.low, plain.low, atol=1e-6)
    np.testing.assert_allclose(heavy.band_high, plain.band_high, atol=1e-6)
    assert (uneven.high - uneven.low).mean() > 1.2 * (plain.high - plain.low).mean()


def test_equal_mass_bins_hold_equal_numbers_of_rows(rng: np.random.Generator) -> None:
    p = rng.beta(0.3, 3, 1_500)
    found = equal_mass_diagram(p, rng.random(1_500) < p)
    assert found.n.tolist() == [[100] * 15]
    assert (np.diff(found.edges) > 0).all()


def test_an_empty_slice_has_an_empty_diagram() -> None:
    found = diagram(BinTable.zeros().bins())
    assert np.isnan(found.rate).all()
    assert found.share.sum() == 0

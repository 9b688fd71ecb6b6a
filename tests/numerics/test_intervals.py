from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from scipy import stats

from calibrant.numerics import calibration, intervals
from calibrant.numerics.table import Bins, BinTable


def test_clopper_pearson_equals_scipy() -> None:
    for k, n in ((0, 1), (1, 1), (0, 40), (3, 40), (40, 40), (500, 1_000)):
        low, high = intervals.clopper_pearson(k, n)
        exact = stats.binomtest(k, n).proportion_ci(method="exact")
        np.testing.assert_allclose([low, high], [exact.low, exact.high], atol=1e-10)


def test_clopper_pearson_of_nothing_is_undefined() -> None:
    low, high = intervals.clopper_pearson(np.array([0.0]), np.array([0.0]))
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_clopper_pearson_takes_effective_rows() -> None:
    low, high = intervals.clopper_pearson(2.5, 7.3)
    assert 0 < low < 2.5 / 7.3 < high < 1


def test_a_mean_interval_is_students() -> None:
    x = np.array([1.0, 2.0, 4.0, 9.0])
    found = intervals.mean_interval(x)
    low, high = stats.t.interval(0.95, 3, x.mean(), stats.sem(x))
    np.testing.assert_allclose([found.low, found.high], [low, high], rtol=1e-10)
    assert found.n_eff == 4


def test_clusters_of_one_change_nothing(rng: np.random.Generator) -> None:
    x = rng.normal(size=50)
    plain = intervals.mean_interval(x)
    for clusters in (np.arange(50), np.full(50, -1)):
        found = intervals.mean_interval(x, clusters=clusters)
        np.testing.assert_allclose([found.low, found.high], [plain.low, plain.high], rtol=1e-12)


def test_rows_repeated_within_their_cluster_add_no_information(rng: np.random.Generator) -> None:
    x = rng.normal(size=60)
    once = intervals.mean_interval(x)
    naive = intervals.mean_interval(np.repeat(x, 5))
    robust = intervals.mean_interval(np.repeat(x, 5), clusters=np.repeat(np.arange(60), 5))
    np.testing.assert_allclose([robust.low, robust.high], [once.low, once.high], rtol=1e-9)
    assert naive.high - naive.low < 0.5 * (robust.high - robust.low)


def test_equal_weights_change_no_interval(rng: np.random.Generator) -> None:
    x = rng.normal(size=60)
    plain = intervals.mean_interval(x)
    heavy = intervals.mean_interval(x, np.full(60, 4.0))
    np.testing.assert_allclose([heavy.low, heavy.high], [plain.low, plain.high], rtol=1e-12)


def test_uneven_weights_widen_the_interval(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=500), rng.gamma(0.3, size=500) + 1e-3
    assert intervals.mean_interval(x, w).se > 1.4 * intervals.mean_interval(x).se


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_have_no_interval(n: int) -> None:
    found = intervals.mean_interval(np.ones(n))
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    one_cluster = intervals.mean_interval(np.arange(5.0), clusters=np.zeros(5, int))
    assert one_cluster.value == 2.0
    assert np.isnan(one_cluster.low)


def test_a_paired_difference_cancels_what_rows_share(rng: np.random.Generator) -> None:
    shared = rng.normal(0, 10, 400)
    after, before = shared + rng.normal(-0.5, 1, 400), shared + rng.normal(0, 1, 400)
    found = intervals.paired_difference(after, before)
    assert found.low < -0.5 < found.high
    assert found.se < 0.1


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_means_of_slices_equal_the_means_of_their_rows(
    clustered: bool, weighted: bool, rng: np.random.Generator
) -> None:
    x, codes = rng.normal(size=300), rng.integers(-1, 5, 300)
    codes[codes == 3] = 2  # slice 3 is empty
    w = rng.gamma(2, size=300) if weighted else None
    clusters = rng.integers(-1, 40, 300) if clustered else None
    found = intervals.slice_means(x, codes, 5, w, clusters)
    for s in range(5):
        rows = codes == s
        alone = intervals.mean_interval(
            x[rows],
            None if w is None else w[rows],
            None if clusters is None else clusters[rows],
        )
        for name in ("value", "low", "high", "se", "n_eff"):
            np.testing.assert_allclose(
                getattr(found, name)[s], getattr(alone, name), rtol=1e-9, equal_nan=True
            )


def test_the_api_cannot_bootstrap_a_plug_in_error(rng: np.random.Generator) -> None:
    p = rng.random(100)
    bins = BinTable.from_rows(p, rng.random(100) < p, codes=np.arange(100) % 2, n_slices=2).bins()
    offered = get_args(intervals.BootstrapMetric)
    assert set(offered) == {"bias", "brier", "oe_ratio", "l2_debiased"}
    for banned in ("ece", "mce", "ace", "rmsce", "rmsce_debiased", "ece_equal_mass"):
        with pytest.raises(ValueError, match="metric"):
            intervals.bootstrap_difference(bins, 0, 1, banned)  # type: ignore[arg-type]
    public = [name for name in vars(intervals) if "bootstrap" in name.lower()]
    assert public == ["BootstrapMetric", "bootstrap_difference"]


def test_a_bootstrap_from_bins_has_the_spread_of_resampled_rows(rng: np.random.Generator) -> None:
    p = rng.beta(2, 3, 1_500)
    y = rng.random(1_500) < p**1.3
    bins = BinTable.from_rows(p, y).bins()
    draws = intervals.resample(bins, 0, draws=2_000, seed=1)
    resampled = []
    for _ in range(600):
        rows = rng.integers(0, 1_500, 1_500)
        resampled.append(Bins.from_rows(p[rows], y[rows]))
    rows_bins = Bins.concat(resampled)
    for metric in (calibration.bias, calibration.brier, calibration.l2_debiased):
        np.testing.assert_allclose(metric(draws).std(), metric(rows_bins).std(), rtol=0.12)
        np.testing.assert_allclose(
            metric(draws).mean(), metric(rows_bins).mean(), atol=3 * metric(rows_bins).std() / 20
        )


def test_a_difference_between_slices_is_found(rng: np.random.Generator) -> None:
    p, codes = rng.random(6_000), np.arange(6_000) % 2
    y = rng.random(6_000) < np.where(codes == 1, p - 0.1 * p, p)
    bins = BinTable.from_rows(p, y, codes=codes, n_slices=2).bins()
    found = intervals.bootstrap_difference(bins, 1, 0, "bias")
    assert found.low < 0.05 < found.high
    assert found.low > 0
    again = intervals.bootstrap_difference(bins, 1, 0, "bias")
    assert found == again


def test_an_empty_slice_differs_from_nothing() -> None:
    bins = BinTable.from_rows(
        np.array([0.5]), np.array([1]), codes=np.array([0]), n_slices=2
    ).bins()
    assert np.isnan(intervals.bootstrap_difference(bins, 0, 1, "bias").value)

"""How often intervals hold the truth; simulated, slow, printed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from calibrant.numerics import calibration, floor, intervals
from calibrant.numerics.table import Bins, BinTable

RUNS = 600


def true_rate(p: np.ndarray, slope: float) -> np.ndarray:
    return expit(slope * logit(p))


def true_rmsce(slope: float) -> tuple[float, float]:
    """Return the root mean squared and the mean error of uniform scores in 15 bins."""
    p = (np.arange(3_000_000) + 0.5) / 3_000_000
    gap = np.abs((p - true_rate(p, slope)).reshape(15, -1).mean(axis=1))
    return float(np.sqrt((gap**2).mean())), float(gap.mean())


@pytest.mark.slow
def test_the_interval_of_the_debiased_error_covers_and_a_percentile_bootstrap_would_not(
    rng: np.random.Generator,
) -> None:
    print(f"\ncoverage of nominal 95 %, {RUNS} runs, 15 bins, uniform scores")
    print("    n  true ECE  plug-in bias  bias of E2  rmsce_interval  percentile bootstrap of ECE")
    for n in (500, 5_000):
        for slope in (1.0, 0.9, 0.7):
            target, true_ece = true_rmsce(slope)
            p = rng.random((RUNS, n))
            y = rng.random((RUNS, n)) < true_rate(p, slope)
            codes = np.repeat(np.arange(RUNS), n)
            bins = BinTable.from_rows(p.ravel(), y.ravel(), codes=codes, n_slices=RUNS).bins()
            low, high = calibration.rmsce_interval(bins).T
            cover = float(np.mean((low <= target + 1e-12) & (target <= high)))
            plug_in = float(calibration.ece(bins).mean() - true_ece)
            e2 = float(calibration.l2_debiased(bins).mean() - target**2)
            naive = np.mean([_percentile_bootstrap(bins, run, true_ece) for run in range(RUNS)])
            print(
                f"{n:5d} {true_ece:9.4f} {plug_in:+13.4f} {e2:+11.5f} {cover:15.3f} {naive:28.3f}"
            )
            assert cover >= 0.93
            assert abs(e2) < 4e-4
            if slope == 1.0:
                assert naive < 0.05


def _percentile_bootstrap(bins: Bins, run: int, truth: float) -> bool:
    """Judge the interval that calibrant refuses to give, from draws of the bins."""
    draws = calibration.ece(intervals.resample(bins, run, draws=200, seed=run))
    low, high = np.quantile(draws, [0.025, 0.975])
    return bool(low <= truth <= high)


@pytest.mark.slow
def test_mean_intervals_cover_with_weights_and_clusters(rng: np.random.Generator) -> None:
    print("\ncoverage of nominal 95 % intervals of a mean, 2,000 runs, skewed values")
    for n in (60, 600):
        plain, weighted, clustered = [], [], []
        for _ in range(2_000):
            x, w = rng.exponential(size=n), rng.gamma(1.0, size=n) + 0.05
            plain.append(_covers(intervals.mean_interval(x)))
            weighted.append(_covers(intervals.mean_interval(x, w)))
            clusters = np.repeat(np.arange(n // 6), 6)
            shared = np.repeat(rng.exponential(size=n // 6), 6)
            mixed = 0.5 * x[: len(shared)] + 0.5 * shared
            clustered.append(_covers(intervals.mean_interval(mixed, clusters=clusters)))
        shares = [np.mean(hits) for hits in (plain, weighted, clustered)]
        print(
            f"n {n:4d}: plain {shares[0]:.3f}, weighted {shares[1]:.3f}, clustered {shares[2]:.3f}"
        )
        assert min(shares) > (0.86 if n == 60 else 0.92)


def _covers(interval: intervals.Interval) -> bool:
    return interval.low <= 1.0 <= interval.high


@pytest.mark.slow
def test_the_bootstrap_difference_of_slices_covers(rng: np.random.Generator) -> None:
    print("\ncoverage of nominal 95 % intervals of slice differences, 600 runs")
    squared = true_rmsce(0.7)[0] ** 2
    for n in (400, 4_000):
        hits = {"bias": 0, "l2_debiased": 0}
        for run in range(RUNS):
            p, codes = rng.random(2 * n), np.arange(2 * n) % 2
            y = rng.random(2 * n) < np.where(codes == 1, true_rate(p, 0.7), p)
            bins = BinTable.from_rows(p, y, codes=codes, n_slices=2).bins()
            for metric, truth in (("bias", 0.0), ("l2_debiased", squared)):
                found = intervals.bootstrap_difference(
                    bins, 1, 0, metric, draws=400, seed=run  # type: ignore[arg-type]
                )  # fmt: skip
                hits[metric] += found.low <= truth <= found.high
        print(f"n {n:5d}:", {name: round(count / RUNS, 3) for name, count in hits.items()})
        assert min(hits.values()) / RUNS > 0.92


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1_000, 10_000])
def test_the_error_rate_of_the_ece_test_is_as_stated(n: int, rng: np.random.Generator) -> None:
    runs = 2_000
    p = rng.beta(0.8, 2.5, (runs, n))
    y = rng.random((runs, n)) < p
    codes = np.repeat(np.arange(runs), n)
    bins = BinTable.from_rows(p.ravel(), y.ravel(), codes=codes, n_slices=runs).bins()
    share = np.mean(floor.noise_floor(bins).p_value <= 0.05)
    two_sided = np.mean(floor.bias_test(bins)[1] <= 0.05)
    print(f"n {n}: ECE test rejects {share:.3f}, bias test {two_sided:.3f} of calibrated data")
    assert 0.035 <= share <= 0.07
    assert 0.035 <= two_sided <= 0.065

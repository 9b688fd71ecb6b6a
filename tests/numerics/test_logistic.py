from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from calibrant.numerics import logistic


def data(
    rng: np.random.Generator, n: int, a: float = 0.0, b: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    z = rng.normal(-0.5, 1.5, n)
    return expit(z), rng.random(n) < expit(a + b * z)


def loss(theta: np.ndarray, p: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    t = theta[0] + theta[1] * np.log(p / (1 - p))
    return float((w * (np.logaddexp(0, t) - y * t)).sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_the_fit_is_the_optimum_of_the_likelihood(weighted: bool, rng: np.random.Generator) -> None:
    p, y = data(rng, 800, 0.4, 0.7)
    w = rng.gamma(2, size=800) if weighted else np.ones(800)
    both = minimize(loss, [0, 1], (p, y, w), method="Nelder-Mead", options={"xatol": 1e-9})
    offset = minimize(
        lambda a: loss(np.array([a[0], 1.0]), p, y, w), [0], method="Nelder-Mead",
        options={"xatol": 1e-9},
    )  # fmt: skip
    found = logistic.slope_intercept(p, y, w if weighted else None)
    assert found.status == "ok"
    assert found.slope == pytest.approx(both.x[1], abs=1e-6)
    assert found.intercept == pytest.approx(offset.x[0], abs=1e-6)


def test_the_interval_is_walds(rng: np.random.Generator) -> None:
    p, y = data(rng, 800, 0.2, 0.8)
    found = logistic.slope_intercept(p, y)
    z = logistic.logit(p)
    intercept = minimize(
        lambda a: loss(np.array([a[0], found.slope]), p, y, np.ones(800)), [0],
        method="Nelder-Mead", options={"xatol": 1e-10},
    ).x[0]  # fmt: skip
    q = expit(intercept + found.slope * z)
    x = np.stack([np.ones(800), z], 1)
    covariance = np.linalg.inv((x * (q * (1 - q))[:, None]).T @ x)
    assert found.slope_high - found.slope == pytest.approx(
        1.959964 * np.sqrt(covariance[1, 1]), rel=1e-5
    )
    q = expit(found.intercept + z)
    assert found.intercept_high - found.intercept == pytest.approx(
        1.959964 / np.sqrt((q * (1 - q)).sum()), rel=1e-5
    )


@pytest.mark.parametrize("n", [300, 120_000])
def test_integer_weights_equal_repeated_rows(n: int, rng: np.random.Generator) -> None:
    p, y = data(rng, n)
    times = rng.integers(1, 4, n)
    a = logistic.slope_intercept(p, y, times.astype(float))
    b = logistic.slope_intercept(np.repeat(p, times), np.repeat(y, times))
    assert a.slope == pytest.approx(b.slope, rel=1e-9)
    assert a.intercept == pytest.approx(b.intercept, abs=1e-9)
    assert a.slope_high - a.slope_low > b.slope_high - b.slope_low  # reliabilities, not copies


def test_equal_weights_change_nothing(rng: np.random.Generator) -> None:
    p, y = data(rng, 500)
    a, b = logistic.slope_intercept(p, y), logistic.slope_intercept(p, y, np.full(500, 3.0))
    for name in ("slope", "slope_low", "slope_high", "intercept", "intercept_low"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-9)


@pytest.mark.parametrize("n", [900, 90_000])
@pytest.mark.parametrize("weighted", [False, True])
def test_slices_are_fitted_as_if_alone(n: int, weighted: bool, rng: np.random.Generator) -> None:
    p, y = data(rng, n, 0.1, 0.8)
    codes = rng.integers(-1, 6, n)
    y[codes == 4] = True
    p[codes == 5] = 0.3
    w = rng.gamma(2, size=n) if weighted else None
    found = logistic.slope_by_slice(p, y, codes, 7, w)
    assert found.status == ("ok",) * 4 + ("single_class", "no_variation", "empty")
    for s in range(7):
        rows = codes == s
        alone = logistic.slope_intercept(p[rows], y[rows], None if w is None else w[rows])
        for name in ("slope", "slope_low", "slope_high", "intercept", "intercept_high"):
            assert getattr(found[s], name) == pytest.approx(
                getattr(alone, name), rel=1e-7, nan_ok=True
            )


@pytest.mark.parametrize("by_slice", [False, True])
def test_rows_repeated_within_their_cluster_add_no_information(
    by_slice: bool, rng: np.random.Generator
) -> None:
    p, y = data(rng, 600)
    codes = np.repeat(np.arange(600) % 2, 4) if by_slice else None
    clusters = np.repeat(np.arange(600), 4)
    many = logistic.slope_by_slice(
        np.repeat(p, 4), np.repeat(y, 4), codes, 2 if by_slice else 1, clusters=clusters
    )[0]
    rows = np.arange(600) % 2 == 0 if by_slice else np.ones(600, bool)
    once = logistic.slope_intercept(p[rows], y[rows])
    assert many.slope == pytest.approx(once.slope, rel=1e-8)
    assert many.slope_high - many.slope_low == pytest.approx(
        once.slope_high - once.slope_low, rel=0.15
    )


@pytest.mark.parametrize(
    ("p", "y", "status"),
    [
        ([], [], "empty"),
        ([0.2, 0.4], [1, 1], "single_class"),
        ([0.3, 0.3, 0.3], [0, 1, 1], "no_variation"),
        ([0.2, 0.4, 0.6], [0, 0, 1], "separable"),
        ([0.2, 0.4, 0.4, 0.6], [0, 0, 1, 1], "separable"),
        ([0.6, 0.4, 0.2], [0, 1, 1], "separable"),
        ([0.2, 0.4, 0.3, 0.6], [0, 0, 1, 1], "ok"),
    ],
)
def test_degenerate_data_have_a_status(p: list[float], y: list[int], status: str) -> None:
    found = logistic.slope_intercept(np.array(p), np.array(y))
    assert found.status == status
    assert np.isfinite(found.slope) == (status == "ok")
    assert np.isfinite(found.intercept) == (status not in ("empty", "single_class"))


def test_a_constant_score_has_an_intercept() -> None:
    found = logistic.slope_intercept(np.full(100, 0.5), np.arange(100) < 80)
    assert found.intercept == pytest.approx(np.log(4))


def test_a_hard_problem_far_from_its_start_converges(rng: np.random.Generator) -> None:
    p, y = data(rng, 5_000, -6.0, 3.0)
    found = logistic.slope_intercept(p, y)
    assert found.status == "ok"
    assert found.slope_low < 3.0 < found.slope_high
    small = logistic.slope_intercept(expit(100 * (p - 0.5)), rng.random(5_000) < 0.5)
    assert small.status == "ok"
    assert abs(small.slope) < 0.01


def test_exact_zeros_and_ones_count_as_their_clipped_log_odds() -> None:
    p = np.array([0.0, 1.0, 0.0, 1.0, 0.5])
    found = logistic.slope_intercept(p, np.array([0, 1, 1, 0, 1]))
    assert found.status == "ok"
    assert logistic.logit(p)[1] == pytest.approx(-np.log(1e-12), rel=1e-4)


@pytest.mark.slow
def test_slope_intervals_cover(rng: np.random.Generator) -> None:
    print("\ncoverage of nominal 95 % intervals, 1,000 runs")
    print("      n   true slope  slope  clustered slope  intercept (of slope 1)")
    for n in (200, 2_000):
        for b in (1.0, 0.6):
            slope, intercept = [], []
            for _ in range(1_000):
                found = logistic.slope_intercept(*data(rng, n, 0.0, b))
                slope.append(found.slope_low <= b <= found.slope_high)
                intercept.append(found.intercept_low <= 0 <= found.intercept_high)
            shares = [np.mean(slope), np.mean([_clustered_run(rng, n) for _ in range(400)])]
            if b == 1.0:
                shares.append(np.mean(intercept))
            print(f"{n:7d} {b:12.1f}", *(f"{share:12.3f}" for share in shares))
            assert min(shares) > 0.92


def _clustered_run(rng: np.random.Generator, n: int) -> bool:
    """Every cluster of five rows has one score and one outcome."""
    p, y = data(rng, n // 5)
    found = logistic.slope_intercept(
        np.repeat(p, 5), np.repeat(y, 5), clusters=np.repeat(np.arange(n // 5), 5)
    )
    return found.slope_low <= 1.0 <= found.slope_high

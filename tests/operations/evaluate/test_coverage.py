"""Simulations: do the intervals hold what they say, and do verdicts err as seldom as they say."""

from __future__ import annotations

import numpy as np
import pytest

from calibrant.numerics.rows import derive
from calibrant.numerics.table import tabulate
from calibrant.operations.evaluate.gap import Gap
from calibrant.operations.evaluate.measure import add_slopes, figures, measure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCORES = {
    "even": lambda rng, size: rng.random(size),
    "confident": lambda rng, size: rng.beta(0.3, 0.3, size),
    "rare": lambda rng, size: rng.beta(0.5, 50, size),
    "tied": lambda rng, size: rng.integers(0, 11, size) / 10,
}


def simulate(rng, scores, n, runs, shift):
    """Return the metrics of `runs` batches of n rows, and the scores of each."""
    p = SCORES[scores](rng, runs * n)
    y = rng.random(runs * n) < np.clip(p + shift(p), 0, 1)
    codes = np.repeat(np.arange(runs, dtype=np.int32), n)
    rows = derive(p, y.astype(np.int64), task="binary", score_kind="probabilities")
    measured = measure(rows, codes, runs)
    add_slopes(measured, rows, codes)
    return figures(measured, np.zeros(runs, int)), p.reshape(runs, n)


def true_errors(p, shift):
    """Return bias, binned L1 and binned root mean square error of one batch, noise removed."""
    gap = np.clip(p + shift(p), 0, 1) - p
    index = np.minimum((p * 15).astype(int), 14)
    n = np.bincount(index, minlength=15)
    sums = np.bincount(index, gap, 15)
    full = n > 0
    l1 = np.abs(sums).sum() / len(p)
    l2 = np.sqrt((sums[full] ** 2 / n[full]).sum() / len(p))
    return -gap.mean(), l1, l2


@pytest.mark.parametrize("n", [100, 500, 5_000])
@pytest.mark.parametrize("scores", list(SCORES))
@pytest.mark.parametrize(
    "shift",
    [lambda p: 0.0 * p, lambda p: -0.15 * p, lambda p: 0.3 * (0.5 - p) * p * (1 - p) * 4],
    ids=["calibrated", "too high", "over-confident"],
)
def test_intervals_cover_the_truth(rng, scores, n, shift):
    made, p = simulate(rng, scores, n, 400, shift)
    held = {"bias": [], "ece": [], "rmsce_debiased": []}
    for metrics, own in zip(made, p, strict=True):
        truth = dict(zip(("bias", "ece", "rmsce_debiased"), true_errors(own, shift), strict=True))
        for name, value in truth.items():
            ends = (
                metrics.rmsce_interval if name == "rmsce_debiased" else metrics.intervals.get(name)
            )
            if ends is not None:
                held[name].append(ends[0] - 1e-9 <= value <= ends[1] + 1e-9)
    found = {name: float(np.mean(inside)) for name, inside in held.items()}
    print(scores, n, found)
    # three standard errors of 400 runs below 95 %
    assert min(found.values()) >= 0.917


@pytest.mark.parametrize("scores", list(SCORES))
@pytest.mark.parametrize("n", [5, 30, 100, 1_000])
def test_the_test_of_a_gap_keeps_its_level(rng, scores, n):
    runs = 4_000
    p = SCORES[scores](rng, runs * n)
    y = rng.random(runs * n) < p
    codes = np.repeat(np.arange(runs, dtype=np.int32), n)
    values = Gap.of(tabulate(p, y, codes=codes, n_slices=runs).bins()).p_value()
    rates = {level: float((values < level).mean()) for level in (0.05, 0.01, 0.001)}
    print(scores, n, rates)
    for level, rate in rates.items():
        assert rate <= level + 3.5 * np.sqrt(level / runs)


@pytest.mark.parametrize("scores", list(SCORES))
@pytest.mark.parametrize("n", [10, 100, 1_000])
def test_calibrated_rows_are_seldom_called_wrong(report, draw, rng, scores, n):
    wrong = 0
    for _ in range(150):
        rows = draw(n, score=SCORES[scores](rng, n))
        made = report(rows)
        wrong += made.verdict.status == "miscalibrated"
    print(scores, n, wrong / 150)
    assert wrong <= 9

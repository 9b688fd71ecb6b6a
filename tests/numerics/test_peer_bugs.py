"""Bugs and traps of peers, each as a test of ours (reference/numerics.md, sections 7 and 8).

Those of fits and calibrators are tested with the calibrators.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrant.errors import BadBatch
from calibrant.numerics import calibration, logistic, ranked, scoring, smooth
from calibrant.numerics.edges import equal_edges
from calibrant.numerics.rows import derive
from calibrant.numerics.table import Bins, BinTable, tabulate


def ece(p: np.ndarray, y: np.ndarray, n_bins: int = 15) -> float:
    return float(calibration.ece(Bins.from_rows(p, y, edges=equal_edges(n_bins)))[0])


def test_score_one_in_last_bin() -> None:
    # torchmetrics#3510: 1.0 goes to an extra bin: .525 where .475 is right.
    p, y = np.array([0.95, 1.0]), np.array([1, 0])
    assert ece(p, y, 10) == pytest.approx(0.475)
    table = BinTable.from_rows(p, y.astype(bool))
    assert table.bins(10).n[0].tolist() == [0] * 9 + [2]
    assert table.wide[0, 14, 0] == 2
    assert table.fine[0, 307, 0] == 1


def test_score_zero_counted() -> None:
    # Recipes with (lo, hi] drop p = 0 (torchmetrics#1646).
    p, y = np.array([0.0, 0.0, 0.5]), np.array([1, 1, 1])
    for closed in ("left", "right"):
        bins = Bins.from_rows(p, y, edges=equal_edges(10), closed=closed)
        assert bins.n.sum() == 3
        assert calibration.ece(bins)[0] == pytest.approx(2.5 / 3)
    assert ranked.equal_mass_bins(ranked.rank(p, y)).n.sum() == 3


@pytest.mark.parametrize("label", [-1, 2, 5])
def test_label_out_of_range_rejected(label: int) -> None:
    # torchmetrics accepts label 5 of 2 with validation on; netcal returns ECE 2.35.
    with pytest.raises(BadBatch):
        derive(np.array([0.5]), np.array([label]), task="binary", score_kind="probabilities")
    with pytest.raises(BadBatch):
        derive(
            np.array([[0.5, 0.5]]), np.array([label]), task="multiclass",
            score_kind="probabilities",
        )  # fmt: skip


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_nan_rejected(task: str, kind: str) -> None:
    scores = np.array([0.5, np.nan]) if task == "binary" else np.array([[0.5, 0.5], [1, np.nan]])
    with pytest.raises(BadBatch) as error:
        derive(scores, np.array([0, 1]), task=task, score_kind=kind)  # type: ignore[arg-type]
    assert "row 1, from 0" in error.value.errors[0].message


def test_ece_40m_rows() -> None:
    # Float32 counters: torchmetrics returns 0.0 for a constant .9 with true ECE .2 at 4e7 rows.
    million = BinTable.from_rows(np.full(10**6, 0.9), np.arange(10**6) % 10 < 7)
    table = BinTable.zeros()
    for _ in range(40):
        table = table + million
    assert table.rows.tolist() == [40_000_000]
    for view in (10, 15, 20):
        np.testing.assert_allclose(calibration.ece(table.bins(view)), 0.2, rtol=0, atol=1e-9)
    np.testing.assert_allclose(calibration.bias(table.bins()), 0.2, rtol=0, atol=1e-9)


def test_float64_sums_do_not_drift_at_many_rows() -> None:
    p = np.tile(np.float32([0.1, 0.7, 0.9, 0.3]), 500_000)
    y = np.tile([False, True, True, False], 500_000)
    four = calibration.ece(Bins.from_rows(p[:4], y[:4]))
    np.testing.assert_allclose(calibration.ece(Bins.from_rows(p, y)), four, rtol=1e-12)


def test_spiegelhalter_two_sided(rng: np.random.Generator) -> None:
    # mapie gives p = .9997 for z = -3.44; two-sided it is .00057.
    p = rng.random(4_000)
    found = scoring.spiegelhalter(p, rng.random(4_000) < 0.5 + 1.16 * (p - 0.5))
    assert found.z < -2
    assert found.p_value < 0.05
    mirrored = scoring.spiegelhalter(p, rng.random(4_000) < 0.5 + 0.84 * (p - 0.5))
    assert mirrored.z > 2
    assert mirrored.p_value < 0.05


def test_ecce_ties_pooled(rng: np.random.Generator) -> None:
    # probmetrics depends on the order of tied rows, mapie on a random jitter.
    p = np.round(rng.random(500), 1)
    y = rng.random(500) < p
    expected = ranked.ecce(ranked.rank(p, y))
    for _ in range(20):
        order = rng.permutation(500)
        assert ranked.ecce(ranked.rank(p[order], y[order])) == expected
    constant = ranked.ecce(ranked.rank(np.full(100, 0.5), np.arange(100) < 50))
    assert constant.mad == 0
    assert constant.mad_p_value == constant.range_p_value == 1.0


def test_ecce_p_nonnegative() -> None:
    # mapie: p = -1.6e-11 at x = 8.4.
    for x in np.linspace(0, 60, 6_001):
        assert 0 <= ranked.mad_p_value(x) <= 1
        assert 0 <= ranked.range_p_value(x) <= 1
    assert ranked.mad_p_value(8.4) > 0


@pytest.mark.parametrize("n_bins", [1, 2, 10, 15, 20])
def test_bin_count_exact(n_bins: int) -> None:
    # mapie's linspace(0, 1, B) has B - 1 bins; pycalib has two rules.
    middle = (np.arange(n_bins) + 0.5) / n_bins
    bins = Bins.from_rows(middle, np.ones(n_bins), edges=equal_edges(n_bins))
    assert bins.n.tolist() == [[1] * n_bins]
    if n_bins in (10, 15, 20):
        table = BinTable.from_rows(middle, np.ones(n_bins, bool))
        assert table.bins(n_bins).n.tolist() == [[1] * n_bins]


def test_floor_of_the_score_is_not_the_bin() -> None:
    # floor(p * B) is wrong for .3 .6 .7 at 10 bins: .6 * 10 = 6.0 but linspace has .6000000000000001.
    table = BinTable.from_rows(np.arange(21) / 20, np.zeros(21, bool))
    expected = np.histogram(np.arange(21) / 20, np.linspace(0, 1, 11))[0]
    assert table.bins(10).n[0].tolist() == expected.tolist()
    expected = np.histogram(np.arange(21) / 20, np.linspace(0, 1, 21))[0]
    assert table.bins(20).n[0].tolist() == expected.tolist()


def test_metric_order_independent(rng: np.random.Generator) -> None:
    # probmetrics: `1-auroc-ovr` after `auroc-ovr` raises KeyError.
    p = rng.random(300)
    y = rng.random(300) < p
    found, bins = ranked.rank(p, y), Bins.from_rows(p, y)
    metrics = [
        lambda: ranked.auroc(found), lambda: ranked.corp(found), lambda: ranked.ecce(found),
        lambda: float(calibration.ece(bins)[0]), lambda: float(calibration.ace(bins)[0]),
        lambda: smooth.smooth_ece(p, y), lambda: logistic.slope_intercept(p, y),
        lambda: scoring.spiegelhalter(p, y), lambda: float(calibration.rmsce_debiased(bins)[0]),
    ]  # fmt: skip
    forwards = [metric() for metric in metrics]
    backwards = [metric() for metric in reversed(metrics)][::-1]
    assert forwards == backwards


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_weights_equal_repetition(seed: int) -> None:
    # torchmetrics, netcal, relplot and uncertainty-calibration have no weights at all.
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(60), 2)
    y, times = rng.random(60) < p, rng.integers(1, 4, 60)
    w = times.astype(float)
    q, o = np.repeat(p, times), np.repeat(y, times)
    a, b = ranked.rank(p, y, w), ranked.rank(q, o)
    np.testing.assert_allclose(ranked.auroc(a), ranked.auroc(b), rtol=1e-12)
    np.testing.assert_allclose(ranked.average_precision(a), ranked.average_precision(b), rtol=1e-12)
    for score in ("brier", "log_loss"):
        np.testing.assert_allclose(
            ranked.corp(a, score=score), ranked.corp(b, score=score), atol=1e-12
        )
    assert ranked.ecce(a).mad == pytest.approx(ranked.ecce(b).mad, abs=1e-12)
    assert smooth.smooth_ece(p, y, w).value == pytest.approx(smooth.smooth_ece(q, o).value)
    bins, repeated = tabulate(p, y, w).bins(), tabulate(q, o).bins()
    for metric in (calibration.ece, calibration.rmsce, calibration.bias, calibration.brier):
        np.testing.assert_allclose(metric(bins), metric(repeated), rtol=0, atol=1e-8)
    one = logistic.slope_intercept(p, y, w)
    many = logistic.slope_intercept(q, o)
    assert one.status == many.status
    assert one.slope == pytest.approx(many.slope, rel=1e-6, nan_ok=True)


def test_state_memory_constant() -> None:
    # torchmetrics keeps every row.
    def size(table: BinTable) -> int:
        return sum(part.nbytes for part in (table.fine, table.wide, table.nll_fixed))

    few = BinTable.from_rows(np.array([0.5]), np.array([True]))
    many = BinTable.zeros()
    for _ in range(20):
        many.add_rows(np.linspace(0, 1, 10_000), np.ones(10_000, bool))
    assert size(few) == size(many) < 8_192
    assert sys.getsizeof(few) == sys.getsizeof(many)


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_score_kind_is_never_guessed(kind: str) -> None:
    # One value of 1.0000001 makes torchmetrics take a softmax of every row.
    scores, labels = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])
    rows = derive(scores, labels, task="multiclass", score_kind=kind)  # type: ignore[arg-type]
    expected = 0.9 if kind == "probabilities" else 1 / (1 + np.exp(-0.8))
    assert rows.score[0] == pytest.approx(expected)
    scores[0] = [1.0000001, 0.0]
    if kind == "probabilities":
        with pytest.raises(BadBatch, match="cannot be used"):
            derive(scores, labels, task="multiclass", score_kind="probabilities")


def test_float32_logits_do_not_saturate() -> None:
    # A float32 softmax overflows above 88.7 and saturates from 17.
    z = np.array([[90.0, 60.0, 0.0], [18.0, 0.0, 0.0]], dtype=np.float32)
    rows = derive(z, np.array([1, 1]), task="multiclass", score_kind="logits")
    np.testing.assert_allclose(rows.nll, [30.0, 18 + 2 * np.exp(-18.0)], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounded_rows_accepted(dtype: type, rng: np.random.Generator) -> None:
    # probmetrics rejects float16-rounded rows at K = 1000; torchmetrics accepts any sum.
    p = rng.dirichlet(np.full(1000, 0.1), 20)
    as_stored = p.astype(np.float16).astype(dtype) if dtype == np.float16 else p.astype(dtype)
    rows = derive(as_stored, np.zeros(20, int), task="multiclass", score_kind="probabilities")
    assert (rows.score > 0).all()
    with pytest.raises(BadBatch):
        derive(p * 1.02, np.zeros(20, int), task="multiclass", score_kind="probabilities")


def test_empty_is_refused_not_crashed() -> None:
    # torchmetrics: NaN; netcal: AssertionError.
    for task, scores in (("binary", np.zeros(0)), ("multiclass", np.zeros((0, 3)))):
        with pytest.raises(BadBatch, match="no rows"):
            derive(scores, np.zeros(0, int), task=task, score_kind="logits")  # type: ignore[arg-type]


def test_masked_logits_give_no_nan() -> None:
    z = np.array([[0.0, -np.inf, -np.inf], [-np.inf, 5.0, 5.0]])
    rows = derive(z, np.array([0, 2]), task="multiclass", score_kind="logits")
    np.testing.assert_allclose(rows.nll, [0, np.log(2)])
    np.testing.assert_allclose(rows.brier, [0, 0.5])

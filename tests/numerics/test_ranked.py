from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import isotonic_regression
from scipy.stats import norm

from calibrant.numerics import calibration, ranked
from calibrant.numerics.table import Bins


@st.composite
def tied_rows(draw: st.DrawFn, smallest: int = 1) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(smallest, 60))
    elements = st.one_of(st.floats(0, 1), st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0]))
    return (
        draw(hnp.arrays(np.float64, n, elements=elements)),
        draw(hnp.arrays(np.bool_, n)),
    )


def pairs_won(p: np.ndarray, y: np.ndarray, w: np.ndarray | None = None) -> float:
    w = np.ones(len(p)) if w is None else w
    a, b = p[y][:, None], p[~y][None, :]
    weight = w[y][:, None] * w[~y][None, :]
    return float((weight * ((a > b) + 0.5 * (a == b))).sum() / weight.sum())


@settings(max_examples=80, deadline=None)
@given(tied_rows())
def test_ranking_pools_exactly_equal_scores(rows: tuple[np.ndarray, np.ndarray]) -> None:
    p, y = rows
    score, inverse = np.unique(p, return_inverse=True)
    for weights in (None, np.ones(len(p))):
        found = ranked.rank(p, y, weights)
        np.testing.assert_array_equal(found.score, score)
        np.testing.assert_array_equal(found.w, np.bincount(inverse))
        np.testing.assert_array_equal(found.y, np.bincount(inverse, y))
        assert not np.signbit(found.score).any()


def test_ranking_leaves_its_input_alone(rng: np.random.Generator) -> None:
    p = rng.random(50)
    before = p.copy()
    ranked.rank(p, p > 0.5)
    np.testing.assert_array_equal(p, before)


@settings(max_examples=80, deadline=None)
@given(tied_rows(), st.integers(0, 2**32 - 1))
def test_auroc_is_the_share_of_pairs_won(rows: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    p, y = rows
    w = np.random.default_rng(seed).gamma(2, size=len(p)) + 0.01
    if y.all() or not y.any():
        assert np.isnan(ranked.auroc(ranked.rank(p, y)))
        return
    np.testing.assert_allclose(ranked.auroc(ranked.rank(p, y)), pairs_won(p, y), rtol=1e-12)
    np.testing.assert_allclose(ranked.auroc(ranked.rank(p, y, w)), pairs_won(p, y, w), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(tied_rows())
def test_auroc_is_kept_by_a_strictly_increasing_map(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    p, y = rows
    # The map acts on the distinct scores, so that rounding cannot create a tie.
    _, place = np.unique(p, return_inverse=True)
    mapped = (place + 1) / 100
    a, b = ranked.auroc(ranked.rank(p, y)), ranked.auroc(ranked.rank(mapped, y))
    assert a == b or (np.isnan(a) and np.isnan(b))


@pytest.mark.parametrize("weighted", [False, True])
def test_auroc_by_slice_equals_every_slice_alone(weighted: bool, rng: np.random.Generator) -> None:
    p = np.round(rng.random(600), 2)
    y, codes = rng.random(600) < p, rng.integers(-1, 5, 600)
    y[codes == 4] = True
    w = rng.gamma(2, size=600) if weighted else None
    for order in (None, ranked.ascending(p)):
        found = ranked.auroc_by_slice(p, y, codes, 6, w, order=order)
        for s in range(6):
            rows = codes == s
            alone = ranked.auroc(ranked.rank(p[rows], y[rows], None if w is None else w[rows]))
            np.testing.assert_allclose(found[s], alone, rtol=1e-12, equal_nan=True)
    assert np.isnan(found[4:]).all()


def test_auroc_of_one_class_against_the_rest_leaves_absent_classes_out() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]])
    found = ranked.auroc_ovr(p, np.array([0, 1, 0]))
    assert found.each[:2].tolist() == [1.0, 1.0]
    assert np.isnan(found.each[2])
    assert found.macro == 1.0
    assert np.isnan(ranked.auroc_ovr(p, np.zeros(3, int)).macro)


def test_average_precision_by_hand() -> None:
    # Descending: + - + (tied with -): precision 1 at recall 1/2, 2/4 at recall 1.
    found = ranked.rank(np.array([0.9, 0.8, 0.3, 0.3]), np.array([1, 0, 1, 0]))
    assert ranked.average_precision(found) == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert np.isnan(ranked.average_precision(ranked.rank(np.array([0.5]), np.array([0]))))


# ------------------------------------------------------------------------------------ equal mass


@settings(max_examples=80, deadline=None)
@given(tied_rows(), st.integers(1, 15))
def test_equal_mass_bins_hold_every_row_once_and_keep_ties_together(
    rows: tuple[np.ndarray, np.ndarray], n_bins: int
) -> None:
    p, y = rows
    bins = ranked.equal_mass_bins(ranked.rank(p, y), n_bins)
    assert bins.n.sum() == len(p)
    assert bins.n.shape[1] <= n_bins
    assert (bins.n > 0).all()
    assert bins.y.sum() == y.sum()
    np.testing.assert_allclose(bins.p.sum(), p.sum(), atol=1e-12)
    by_edges = Bins.from_rows(np.abs(p), y, edges=bins.edges, closed="right")
    np.testing.assert_allclose(bins.c, by_edges.c, atol=1e-12)
    np.testing.assert_array_equal(bins.n, by_edges.n)


def test_equal_mass_groups_without_ties_are_those_of_array_split(
    rng: np.random.Generator,
) -> None:
    p = rng.random(107)
    y = rng.random(107) < p
    order = np.argsort(p)
    expected = [len(group) for group in np.array_split(order, 15)]
    for weights in (None, np.full(107, 2.0)):
        bins = ranked.equal_mass_bins(ranked.rank(p, y, weights), 15)
        if weights is None:
            assert bins.n[0].tolist() == expected
        np.testing.assert_allclose(bins.n[0], expected, atol=1)


def test_every_distinct_score_can_be_a_group() -> None:
    found = ranked.rank(np.array([0.2, 0.2, 0.6]), np.array([0, 1, 1]))
    assert ranked.equal_mass_bins(found, groups="unique").n.tolist() == [[2, 1]]


def test_weights_cut_at_equal_cumulative_weight() -> None:
    p, w = np.array([0.1, 0.2, 0.3, 0.4]), np.array([3.0, 1.0, 1.0, 1.0])
    bins = ranked.equal_mass_bins(ranked.rank(p, np.zeros(4), w), 2)
    np.testing.assert_allclose(bins.edges, [0, 0.15, 1])
    np.testing.assert_allclose(bins.w, [[3, 3]])


# ------------------------------------------------------------------------------------------ ECCE


def test_cumulative_errors_by_hand() -> None:
    # Ascending C: 0, +.9/2 (p .1, y 1), then +(-.8)/2.
    found = ranked.ecce(ranked.rank(np.array([0.8, 0.1]), np.array([0, 1])))
    assert found.mad == pytest.approx(0.45)
    assert found.range == pytest.approx(0.45)
    assert found.sigma == pytest.approx(np.sqrt(0.16 + 0.09) / 2)


def test_the_range_includes_the_start() -> None:
    found = ranked.ecce(ranked.rank(np.array([0.5, 0.6]), np.array([1, 1])))
    assert found.range == pytest.approx((0.5 + 0.4) / 2)


def test_both_series_agree_where_both_are_exact() -> None:
    k = np.arange(1, 60)
    for x in np.linspace(1.0, 5.0, 17):
        odd = 2 * k - 1
        inside = 4 / np.pi * ((-1.0) ** (k - 1) / odd * np.exp(-((odd * np.pi / x) ** 2) / 8))
        assert ranked.mad_p_value(x) == pytest.approx(1 - inside.sum(), abs=1e-12)
        term = (1 / x**2 + 1 / (odd * np.pi) ** 2) * np.exp(-((odd * np.pi / x) ** 2) / 2)
        assert ranked.range_p_value(x) == pytest.approx(1 - 8 * term.sum(), abs=1e-12)


@pytest.mark.parametrize("p_value", [ranked.mad_p_value, ranked.range_p_value])
def test_p_values_fall_from_one_to_zero_without_a_step(p_value: object) -> None:
    assert callable(p_value)
    values = np.array([p_value(x) for x in np.linspace(0, 40, 4_001)])
    assert values[0] == 1.0
    assert (np.diff(values) <= 1e-12).all()
    assert (values >= 0).all()
    assert p_value(8.4) == pytest.approx(
        {ranked.mad_p_value: 4, ranked.range_p_value: 8}[p_value] * norm.sf(8.4), rel=1e-9
    )


@pytest.mark.slow
def test_p_values_are_uniform_under_calibration(rng: np.random.Generator) -> None:
    found = []
    for _ in range(1_000):
        p = rng.random(2_000)
        e = ranked.ecce(ranked.rank(p, rng.random(2_000) < p))
        found.append((e.mad_p_value, e.range_p_value))
    share = (np.array(found) <= 0.1).mean(axis=0)
    print("share of p <= .1 under calibration (MAD, range):", share)
    assert ((share > 0.06) & (share < 0.13)).all()


def test_certain_scores_have_no_p_value() -> None:
    assert np.isnan(ranked.ecce(ranked.rank(np.array([0.0, 1.0]), np.array([0, 1]))).mad_p_value)


# ------------------------------------------------------------------------------------------ CORP


@settings(max_examples=80, deadline=None)
@given(tied_rows(), st.sampled_from(["brier", "log_loss"]))
def test_the_parts_of_a_score_add_up_and_are_not_negative(
    rows: tuple[np.ndarray, np.ndarray], score: str
) -> None:
    p, y = rows
    parts = ranked.corp(ranked.rank(p, y), score=score)  # type: ignore[arg-type]
    total = parts.miscalibration - parts.discrimination + parts.uncertainty
    np.testing.assert_allclose(total, parts.score, atol=1e-12)
    assert min(parts.miscalibration, parts.discrimination, parts.uncertainty) >= -1e-12


@settings(max_examples=60, deadline=None)
@given(tied_rows(), st.integers(0, 2**32 - 1))
def test_recalibration_is_the_isotonic_fit(rows: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    p, y = rows
    w = np.random.default_rng(seed).integers(1, 4, len(p)).astype(float)
    _, inverse = np.unique(p, return_inverse=True)
    size = np.bincount(inverse, w)
    fit = isotonic_regression(np.bincount(inverse, w * y) / size, weights=size).x[inverse]
    parts = ranked.corp(ranked.rank(p, y, w))
    np.testing.assert_allclose(
        parts.score - parts.miscalibration, np.average((fit - y) ** 2, weights=w), atol=1e-12
    )


# ------------------------------------------------------------------------------- Hosmer-Lemeshow


def test_hosmer_lemeshow_by_hand() -> None:
    bins = Bins.from_rows(np.full(10, 0.3), np.arange(10) < 5)
    found = ranked.hosmer_lemeshow(bins.take([0]))
    assert np.isnan(found.statistic)  # empty bins of equal width are no groups
    found = ranked.hosmer_lemeshow(
        ranked.equal_mass_bins(ranked.rank(np.full(10, 0.3), np.arange(10) < 5), 10)
    )
    assert found.statistic == pytest.approx(2.0**2 / (10 * 0.3 * 0.7))
    assert found.dof == 1


def test_hosmer_lemeshow_loses_two_degrees_on_the_rows_of_the_fit(
    rng: np.random.Generator,
) -> None:
    p = rng.random(500)
    bins = ranked.equal_mass_bins(ranked.rank(p, rng.random(500) < p), 10)
    new, fitted = (
        ranked.hosmer_lemeshow(bins, fitted_on_these_rows=flag) for flag in (False, True)
    )
    assert (new.dof, fitted.dof) == (10, 8)
    assert fitted.p_value < new.p_value


def test_hosmer_lemeshow_of_certain_scores_is_undefined() -> None:
    bins = ranked.equal_mass_bins(ranked.rank(np.array([0.0, 1.0]), np.array([0, 1])), 2)
    assert np.isnan(ranked.hosmer_lemeshow(bins).statistic)


def test_the_equal_mass_error_of_a_constant_score_is_its_gap() -> None:
    bins = ranked.equal_mass_bins(ranked.rank(np.full(30, 0.9), np.arange(30) < 21))
    np.testing.assert_allclose(calibration.ece(bins), 0.2)
    assert bins.n.tolist() == [[30]]

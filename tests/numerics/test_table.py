from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibrant.errors import BadBatch
from calibrant.numerics.edges import FINE_EDGES, LOG_ODDS_EDGES, bin_index, equal_edges
from calibrant.numerics.rows import derive
from calibrant.numerics.table import QUANTUM, Bins, BinTable, WeightedTable, tabulate

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def columns(draw: st.DrawFn) -> Columns:
    """Scores with ties, ends and edges, outcomes, and slice codes from -1 to 2."""
    n = draw(st.integers(1, 60))
    score = draw(
        hnp.arrays(
            np.float64,
            n,
            elements=st.one_of(
                st.floats(0, 1), st.sampled_from([0.0, 1.0, 1 / 3, 0.3, 0.6, 0.7, 1e-5])
            ),
        )
    )
    outcome = draw(hnp.arrays(np.bool_, n))
    codes = draw(hnp.arrays(np.int32, n, elements=st.integers(-1, 2)))
    return score, outcome, codes


def table(data: Columns, rows: np.ndarray | slice = slice(None)) -> BinTable:
    score, outcome, codes = data
    return BinTable.from_rows(score[rows], outcome[rows], codes=codes[rows], n_slices=3)


@settings(max_examples=60, deadline=None)
@given(columns(), st.randoms(use_true_random=False))
def test_any_partition_in_any_order_merges_to_the_batch_bit_for_bit(
    data: Columns, random: object
) -> None:
    n = len(data[0])
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    order, part = rng.permutation(n), rng.integers(0, 4, n)
    merged = sum((table(data, order[part[order] == i]) for i in range(4)), start=BinTable.zeros(3))
    whole = table(data)
    assert merged == whole
    assert merged - table(data, part == 2) == table(data, part != 2)


@settings(max_examples=60, deadline=None)
@given(columns())
def test_a_table_counts_what_numpy_counts(data: Columns) -> None:
    score, outcome, codes = data
    made = table(data)
    fixed = np.rint(score * QUANTUM).astype(np.int64)
    for s in range(3):
        rows = codes == s
        j = bin_index(score[rows], FINE_EDGES)
        np.testing.assert_array_equal(made.fine[s, :, 0], np.bincount(j, minlength=308))
        for b in np.unique(j):
            inside = np.flatnonzero(rows)[j == b]
            assert made.fine[s, b, 1] == outcome[inside].sum()
            assert made.fine[s, b, 2] == fixed[inside].sum()
        j15 = bin_index(score[rows], equal_edges(15))
        np.testing.assert_array_equal(made.wide[s, :, 0], np.bincount(j15, minlength=15))


@settings(max_examples=60, deadline=None)
@given(columns(), st.sampled_from([10, 15, 20, "log_odds"]))
def test_every_view_equals_binning_the_rows(data: Columns, view: int | str) -> None:
    score, outcome, codes = data
    made = table(data).bins(view)  # type: ignore[arg-type]
    edges = LOG_ODDS_EDGES if view == "log_odds" else equal_edges(int(view))
    for s in range(3):
        rows = codes == s
        direct = Bins.from_rows(score[rows], outcome[rows], edges=edges)
        np.testing.assert_array_equal(made.n[s], direct.n[0])
        np.testing.assert_array_equal(made.y[s], direct.y[0])
        np.testing.assert_allclose(made.p[s], direct.p[0], rtol=0, atol=60 / QUANTUM)
        np.testing.assert_allclose(made.v[s], direct.v[0], rtol=0, atol=60 * 7e-6)
        np.testing.assert_allclose(made.c[s], direct.c[0], rtol=0, atol=60 * 0.0025)
        if view == 15:
            np.testing.assert_allclose(made.v[s], direct.v[0], rtol=0, atol=60 / QUANTUM)
            np.testing.assert_allclose(made.c[s], direct.c[0], rtol=0, atol=60 / QUANTUM)


@settings(max_examples=60, deadline=None)
@given(columns(), st.integers(0, 2**32 - 1))
def test_integer_weights_equal_repeated_rows(data: Columns, seed: int) -> None:
    score, outcome, codes = data
    times = np.random.default_rng(seed).integers(1, 4, len(score))
    weighted = WeightedTable.from_rows(score, outcome, times.astype(float), codes=codes, n_slices=3)
    repeated = table(tuple(np.repeat(column, times) for column in data))  # type: ignore[arg-type]
    a, b = weighted.bins(), repeated.bins()
    for name in ("w", "p", "y", "v", "c"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(weighted.nll_clipped(), repeated.nll_clipped(), rtol=0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(columns(), st.integers(0, 2**32 - 1))
def test_weighted_parts_agree_with_the_batch(data: Columns, seed: int) -> None:
    score, outcome, codes = data
    rng = np.random.default_rng(seed)
    weights, cut = rng.gamma(2, size=len(score)), rng.random(len(score)) < 0.5

    def made(rows: np.ndarray) -> WeightedTable:
        return WeightedTable.from_rows(
            score[rows], outcome[rows], weights[rows], codes=codes[rows], n_slices=3
        )

    whole, merged = made(np.ones(len(score), bool)), made(cut) + made(~cut)
    np.testing.assert_allclose(merged.wide, whole.wide, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(merged.fine, whole.fine, rtol=1e-12, atol=1e-14)


def test_weights_of_one_read_like_no_weights(rng: np.random.Generator) -> None:
    score, outcome = rng.random(500), rng.random(500) < 0.4
    for view in (10, 15, 20, "log_odds"):
        a = tabulate(score, outcome).bins(view)  # type: ignore[arg-type]
        b = tabulate(score, outcome, np.ones(500)).bins(view)  # type: ignore[arg-type]
        for name in ("n", "w", "p", "y", "v", "c", "w2", "w2v", "w2d2"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-6)


def test_the_mean_nll_is_clipped_at_its_name() -> None:
    made = BinTable.from_rows(np.array([0.0, 0.5]), np.array([True, True]))
    expected = (-np.log(1e-12) + np.log(2)) / 2
    np.testing.assert_allclose(made.nll_clipped(), [expected], rtol=0, atol=2**-24)


def test_slices_can_be_taken_totalled_and_put_together(rng: np.random.Generator) -> None:
    score, outcome = rng.random(300), rng.random(300) < 0.4
    made = BinTable.from_rows(score, outcome, codes=np.arange(300) % 3, n_slices=3)
    assert BinTable.concat([made.take(0), made.take([1, 2])]) == made
    assert made.total() == BinTable.from_rows(score, outcome)
    assert made.rows.tolist() == [100, 100, 100]


def test_an_empty_slice_stays_empty() -> None:
    made = BinTable.from_rows(np.array([0.4]), np.array([True]), codes=np.array([1]), n_slices=2)
    assert made.rows.tolist() == [0, 1]
    assert np.isnan(made.nll_clipped()[0])


def test_codes_beyond_the_slices_are_refused() -> None:
    with pytest.raises(ValueError, match="codes"):
        BinTable.from_rows(np.array([0.4]), np.array([True]), codes=np.array([2]), n_slices=2)


def test_a_table_is_not_equal_to_something_else() -> None:
    assert BinTable.zeros() != "a table"
    assert BinTable.zeros() == BinTable.zeros()


# ------------------------------------------------------------------------------- checked bins

NAMES = ("n", "w", "p", "y", "v", "c", "w2", "w2v", "w2d2")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("labels", [np.int64, np.uint8, np.bool_, np.float64])
@pytest.mark.parametrize("columns_of_scores", [None, 1, 2])
def test_checked_bins_are_those_of_derived_rows_bit_for_bit(
    dtype: type, labels: type, columns_of_scores: int | None, rng: np.random.Generator
) -> None:
    p = np.concatenate([rng.random(1_000), [0.0, -0.0, 1.0, 0.2, 1 / 3]]).astype(dtype)
    if columns_of_scores == 1:
        p = p[:, None]
    if columns_of_scores == 2:
        p = np.stack([1 - p, p], axis=1)
    y = rng.integers(0, 2, len(p)).astype(labels)
    rows = derive(p, y, task="binary", score_kind="probabilities")
    for edges, closed in ((None, "left"), (equal_edges(10), "right"), (FINE_EDGES, "left")):
        found = Bins.checked(p, y, edges=edges, closed=closed)  # type: ignore[arg-type]
        expected = Bins.from_rows(rows.score, rows.outcome, edges=edges, closed=closed)  # type: ignore[arg-type]
        for name in NAMES:
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("n", [1, 7, 255, 256, 257, 1_000])
@pytest.mark.parametrize("n_bins", [1, 2, 3, 15, 49, 100])
def test_sums_on_equal_widths_are_those_of_numpy_on_and_beside_the_edges(
    n: int, n_bins: int, rng: np.random.Generator
) -> None:
    edges = equal_edges(n_bins)
    p = rng.choice(edges, n)
    p = np.clip(np.nextafter(p, rng.choice([-1.0, 0.5, 2.0], n)), 0, 1)
    y = rng.random(n) < p
    found, j = Bins.from_rows(p, y, edges=edges), bin_index(p, edges)
    np.testing.assert_array_equal(found.n[0], np.bincount(j, minlength=n_bins))
    np.testing.assert_array_equal(found.y[0], np.bincount(j, y, n_bins))
    for name, values in (("p", p), ("v", p * (1 - p)), ("c", p * y)):
        np.testing.assert_allclose(
            getattr(found, name)[0], np.bincount(j, values, n_bins), rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-9, 1.0000001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_checked_bins_refuse_scores_as_derive_does(bad: float, dtype: type) -> None:
    p, y = np.full(700, 0.5, dtype=dtype), np.zeros(700, dtype=np.int64)
    p[[3, 699]] = bad
    refused_alike(p, y)


@pytest.mark.parametrize("bad", [-1, 2, 2**62])
def test_checked_bins_refuse_labels_as_derive_does(bad: int) -> None:
    y = np.zeros(700, dtype=np.int64)
    y[[0, 400]] = bad
    refused_alike(np.full(700, 0.5), y)
    refused_alike(np.full(2, 0.5), np.array([0, 2**64 - 1], dtype=np.uint64))


@pytest.mark.parametrize(("n", "m"), [(0, 0), (2, 3)])
def test_checked_bins_refuse_shapes_as_derive_does(n: int, m: int) -> None:
    refused_alike(np.full(n, 0.5), np.zeros(m, dtype=np.int64))


def refused_alike(p: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(BadBatch) as expected:
        derive(p, y, task="binary", score_kind="probabilities")
    with pytest.raises(BadBatch) as found:
        Bins.checked(p, y)
    assert found.value.errors == expected.value.errors

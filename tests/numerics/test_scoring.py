from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrant.numerics import calibration, scoring
from calibrant.numerics.rows import derive
from calibrant.numerics.table import Bins


def multiclass(rng: np.random.Generator, n: int = 300, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    p = rng.dirichlet(np.ones(k), n)
    return p, (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


def test_spiegelhalter_by_hand() -> None:
    found = scoring.spiegelhalter(np.array([0.2, 0.7]), np.array([1, 1]))
    top = 0.8 * 0.6 + 0.3 * -0.4
    bottom = np.sqrt(0.36 * 0.16 + 0.16 * 0.21)
    assert found.z == pytest.approx(top / bottom)


def test_spiegelhalter_of_even_chances_is_undefined() -> None:
    assert np.isnan(scoring.spiegelhalter(np.full(5, 0.5), np.ones(5)).z)
    assert np.isnan(scoring.spiegelhalter(np.zeros(0), np.zeros(0)).z)


def test_equal_weights_change_no_test(rng: np.random.Generator) -> None:
    p = rng.random(200)
    y = rng.random(200) < p
    a, b = scoring.spiegelhalter(p, y), scoring.spiegelhalter(p, y, np.full(200, 9.0))
    assert a.z == pytest.approx(b.z)


def test_the_classwise_error_is_named_mean_or_sum(rng: np.random.Generator) -> None:
    p, y = multiclass(rng)
    found = scoring.classwise_ece(p, y)
    expected = [calibration.ece(Bins.from_rows(p[:, k], y == k))[0] for k in range(4)]
    np.testing.assert_allclose(found.each, expected)
    assert found.sum == pytest.approx(4 * found.mean)


def test_a_class_that_never_occurs_counts() -> None:
    p = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert scoring.classwise_ece(p, np.zeros(2, int)).each.tolist() == [0.5, 0.5]


def test_the_full_error_by_hand() -> None:
    # Rows 0 and 1 share a cell: mean p (.75, .25), mean label (.5, .5); row 2 is alone.
    p = np.array([[0.74, 0.26], [0.76, 0.24], [0.2, 0.8]])
    y = np.array([0, 1, 1])
    expected = 2 / 3 * 0.25 + 1 / 3 * 0.2
    assert scoring.full_simplex_ece(p, y) == pytest.approx(expected)
    assert scoring.full_simplex_ece(p, y, norm="l1") == pytest.approx(2 * expected)


def test_the_full_error_of_many_classes_does_not_mix_cells(rng: np.random.Generator) -> None:
    # 10^300 possible cells: every row is alone, so the error is the mean distance.
    p, y = multiclass(rng, 40, 300)
    distance = 0.5 * np.abs(p - np.eye(300)[y]).sum(axis=1)
    spread = scoring.full_simplex_ece(p, y, bins_per_class=400)
    assert spread == pytest.approx(distance.mean())


def test_full_error_weights_equal_repeated_rows(rng: np.random.Generator) -> None:
    p, y = multiclass(rng)
    times = rng.integers(1, 4, 300)
    a = scoring.full_simplex_ece(p, y, times.astype(float))
    b = scoring.full_simplex_ece(np.repeat(p, times, 0), np.repeat(y, times))
    assert a == pytest.approx(b)
    a = scoring.classwise_ece(p, y, times.astype(float)).mean
    b = scoring.classwise_ece(np.repeat(p, times, 0), np.repeat(y, times)).mean
    assert a == pytest.approx(b)


def test_a_classification_report_by_hand() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1]])
    y = np.array([0, 1, 1])
    rows = derive(p, y, task="multiclass", score_kind="probabilities")
    found = scoring.classification_report(rows, p)
    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(found.precision, [0.5, 1.0, np.nan])
    np.testing.assert_allclose(found.recall, [1.0, 0.5, np.nan])
    np.testing.assert_allclose(found.f1, [2 / 3, 2 / 3, np.nan])
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.average_precision is not None
    np.testing.assert_allclose(found.average_precision, [1.0, 1.0, np.nan])


def test_a_binary_report_has_the_average_precision_of_both_classes() -> None:
    rows = derive(
        np.array([0.9, 0.4, 0.6]), np.array([1, 1, 0]), task="binary", score_kind="probabilities"
    )
    found = scoring.classification_report(rows)
    assert found.average_precision is not None
    np.testing.assert_allclose(found.average_precision, [0.5, 0.5 + 0.5 * 2 / 3])


def test_a_multiclass_report_without_probabilities_has_no_average_precision(
    rng: np.random.Generator,
) -> None:
    p, y = multiclass(rng)
    rows = derive(p, y, task="multiclass", score_kind="probabilities")
    assert scoring.classification_report(rows).average_precision is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_report_agrees_with_scikit_learn(seed: int) -> None:
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    rng = np.random.default_rng(seed)
    p, y = multiclass(rng, 60, 3)
    p = np.round(p, 1) + 1e-3
    p /= p.sum(axis=1, keepdims=True)
    w = rng.gamma(2, size=60) + 0.01
    rows = derive(p, y, task="multiclass", score_kind="probabilities", weights=w)
    found = scoring.classification_report(rows, p)
    precision, recall, f1, _ = precision_recall_fscore_support(
        y, rows.predicted, labels=[0, 1, 2], sample_weight=w, zero_division=np.nan
    )
    np.testing.assert_allclose(found.precision, precision, rtol=1e-9)
    np.testing.assert_allclose(found.recall, recall, rtol=1e-9)
    known = np.isfinite(found.f1)
    np.testing.assert_allclose(found.f1[known], f1[known], rtol=1e-9)
    assert found.average_precision is not None
    for k in np.unique(y):
        expected = average_precision_score(y == k, p[:, k], sample_weight=w)
        assert found.average_precision[k] == pytest.approx(expected, rel=1e-9)


def test_the_most_confident_mistakes_come_first_and_ties_in_row_order() -> None:
    p = np.array([0.9, 0.2, 0.8, 0.1, 0.8, 0.99])
    rows = derive(p, np.array([0, 1, 0, 0, 0, 1]), task="binary", score_kind="probabilities")
    found = scoring.most_confident_wrong(rows, 3)
    assert found.index.tolist() == [0, 1, 2]
    assert found.predicted.tolist() == [1, 0, 1]
    np.testing.assert_allclose(found.confidence, [0.9, 0.8, 0.8])
    assert scoring.most_confident_wrong(rows, 100).index.tolist() == [0, 1, 2, 4]


def test_without_mistakes_there_are_none() -> None:
    rows = derive(np.array([0.9]), np.array([1]), task="binary", score_kind="probabilities")
    assert len(scoring.most_confident_wrong(rows).index) == 0

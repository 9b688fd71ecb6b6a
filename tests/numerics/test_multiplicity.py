from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import false_discovery_control

from calibrant.numerics.multiplicity import benjamini_hochberg, holm


def p_values(smallest: int = 1) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, st.integers(smallest, 30), elements=st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(p_values())
def test_benjamini_hochberg_equals_scipy(p: np.ndarray) -> None:
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(p_values())
def test_corrections_only_raise_and_keep_the_order(p: np.ndarray) -> None:
    m = len(p)
    for adjusted in (benjamini_hochberg(p), holm(p)):
        assert (adjusted >= p - 1e-15).all()
        assert (adjusted <= np.minimum(1, m * p) + 1e-12).all()
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-15).all()
    assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()


def test_tests_without_a_p_value_are_not_counted() -> None:
    p = np.array([0.01, np.nan, 0.04])
    for adjust in (benjamini_hochberg, holm):
        found = adjust(p)
        assert np.isnan(found[1])
        np.testing.assert_allclose(found[[0, 2]], adjust(p[[0, 2]]))


def test_no_tests_need_no_correction() -> None:
    assert benjamini_hochberg(np.zeros(0)).tolist() == []

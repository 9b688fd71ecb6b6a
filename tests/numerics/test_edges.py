from __future__ import annotations

import numpy as np
import pytest

from calibrant.numerics.edges import (
    FINE_EDGES,
    LOG_ODDS_EDGES,
    bin_index,
    equal_edges,
    fine_groups,
)


def test_the_fine_grid_has_308_increasing_bins_from_0_to_1() -> None:
    assert len(FINE_EDGES) == 309
    assert FINE_EDGES[0] == 0
    assert FINE_EDGES[-1] == 1
    assert (np.diff(FINE_EDGES) > 0).all()


def test_the_fine_grid_follows_its_formula() -> None:
    t = 1 / (1 + np.exp(-(np.log(1e-4 / (1 - 1e-4)) + np.arange(63) / 10)))
    expected = np.concatenate([[0], t, np.arange(10, 191) / 200, (1 - t)[::-1], [1]])
    np.testing.assert_allclose(FINE_EDGES, expected, rtol=0, atol=2e-16)


@pytest.mark.parametrize("n_bins", [10, 20])
def test_equal_width_edges_lie_exactly_on_the_fine_grid(n_bins: int) -> None:
    assert np.isin(np.linspace(0, 1, n_bins + 1), FINE_EDGES).all()


def test_fifteen_equal_widths_do_not_lie_on_the_fine_grid() -> None:
    with pytest.raises(ValueError, match="fine grid"):
        fine_groups(equal_edges(15))


def test_the_log_odds_view_has_fifteen_bins_on_the_fine_grid() -> None:
    assert len(LOG_ODDS_EDGES) == 16
    assert fine_groups(LOG_ODDS_EDGES).tolist()[:3] == [0, 1, 6]
    assert LOG_ODDS_EDGES[-2] == 0.2


@pytest.mark.parametrize("n_bins", [1, 2, 10, 15, 20, 100])
@pytest.mark.parametrize("closed", ["left", "right"])
def test_every_multiple_of_a_twentieth_and_its_neighbours_fall_between_their_edges(
    n_bins: int, closed: str
) -> None:
    edges = equal_edges(n_bins)
    grid = np.arange(21) / 20
    p = np.clip(np.concatenate([grid, np.nextafter(grid, 0), np.nextafter(grid, 1)]), 0, 1)
    j = bin_index(p, edges, closed=closed)
    inside = (
        (edges[j] <= p) & ((p < edges[j + 1]) | (j == n_bins - 1))
        if closed == "left"
        else ((edges[j] < p) | (j == 0)) & (p <= edges[j + 1])
    )
    assert inside.all()


def test_a_float32_score_is_widened_exactly() -> None:
    # 0.3 as a double lies below the edge linspace gives; as a float it lies above.
    assert bin_index(np.array([0.3]), equal_edges(10)).tolist() == [2]
    assert bin_index(np.array([0.3], dtype=np.float32), equal_edges(10)).tolist() == [3]

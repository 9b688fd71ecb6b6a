"""Where bins begin and end: equal widths, and the fine grid that every table counts on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FINE_BINS = 308
TABLE_VIEWS = (10, 15, 20)
"""Numbers of equal-width bins that a table can be read at."""


def equal_edges(n_bins: int) -> NDArray[np.float64]:
    """Return the `n_bins + 1` float64 edges of equal-width bins on [0, 1]."""
    return np.linspace(0.0, 1.0, n_bins + 1)


def _fine_edges() -> NDArray[np.float64]:
    start = np.log(1e-4 / (1 - 1e-4))
    tail = 1.0 / (1.0 + np.exp(-(start + np.arange(63) / 10)))
    middle = np.arange(10, 191) / 200
    # Multiples of 1/20 come from the 20-bin grid itself, so that its bins are exact unions.
    middle[::10] = equal_edges(20)[1:20]
    edges = np.concatenate([[0.0], tail, middle, (1.0 - tail)[::-1], [1.0]])
    edges.flags.writeable = False
    return edges


FINE_EDGES = _fine_edges()
"""The 309 edges of the fine grid: even in log-odds near 0 and 1, 0.005 wide between."""

LOG_ODDS_EDGES = np.concatenate([[0.0], FINE_EDGES[1:62:5], [FINE_EDGES[94], 1.0]])
"""The 15 bins of the log-odds view for rare events; unions of fine bins."""
LOG_ODDS_EDGES.flags.writeable = False


def bin_index(
    p: NDArray[Any],
    edges: NDArray[np.float64],
    *,
    closed: Literal["left", "right"] = "left",
) -> NDArray[np.int64]:
    """Return the bin of every score.

    Parameters
    ----------
    p : float array of any shape, in [0, 1]
        Widened to float64 exactly: 0.3 in float32 lies above the edge 0.3.
    edges : float64 array of shape (n_bins + 1,)
        Strictly increasing.
    closed : {"left", "right"}
        "left": bins are `[lo, hi)`, the last one closed. "right": `(lo, hi]`, the first one
        closed, so a score of 0 is counted.

    Returns
    -------
    int64 array of the shape of `p`
        In 0..n_bins-1.

    Examples
    --------
    >>> bin_index(np.array([0.0, 0.3, 0.6, 1.0]), equal_edges(10))
    array([0, 2, 5, 9])
    >>> bin_index(np.array([0.0, 0.5, 1.0]), equal_edges(2), closed="right")
    array([0, 0, 1])
    """
    if closed == "left":
        index = np.searchsorted(edges, p, side="right") - 1
    else:
        index = np.searchsorted(edges, p, side="left") - 1
    return np.clip(index, 0, len(edges) - 2).astype(np.int64)


def fine_groups(edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the first fine bin of every bin of a view whose edges lie on the fine grid.

    Raises
    ------
    ValueError
        If an edge is not on the fine grid.
    """
    start = np.searchsorted(FINE_EDGES, edges[:-1])
    if not np.array_equal(FINE_EDGES[start], edges[:-1]):
        message = "these edges do not lie on the fine grid"
        raise ValueError(message)
    return start

"""Maps given by points, in place on probabilities that were checked before."""

from __future__ import annotations

from typing import Any

from numba import boolean, njit, types

from calibrant.numerics.kernels.signature import filled, float64, given

POINTS = given(float64, 1)


@njit(types.int64(POINTS, float64), cache=True, nogil=True, error_model="numpy")
def count_up_to(x: Any, p: float) -> int:
    """Return how many of the rising `x` are <= p."""
    low, high = 0, x.size
    while low < high:
        middle = (low + high) // 2
        if x[middle] <= p:
            low = middle + 1
        else:
            high = middle
    return low


@njit(types.int64(POINTS, float64), cache=True, nogil=True, error_model="numpy")
def count_below(x: Any, p: float) -> int:
    """Return how many of the rising `x` are < p."""
    low, high = 0, x.size
    while low < high:
        middle = (low + high) // 2
        if x[middle] < p:
            low = middle + 1
        else:
            high = middle
    return low


@njit(
    types.void(filled(1), POINTS, POINTS, boolean, float64),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def interpolate(p: Any, x: Any, y: Any, step: Any, mix: float) -> None:
    """Replace p by y over x: `step` takes the last x <= p, else linear; clipped outside."""
    last = x.size - 1
    for i in range(p.size):
        v = p[i]
        j = count_up_to(x, v) - 1
        if j < 0:
            found = y[0]
        elif step or j >= last:
            found = y[j]
        else:
            found = y[j] + (y[j + 1] - y[j]) * ((v - x[j]) / (x[j + 1] - x[j]))
        p[i] = found * (1.0 - mix) + 0.5 * mix


@njit(
    types.void(filled(1), POINTS, POINTS, boolean, float64),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def binned(p: Any, edges: Any, values: Any, right: Any, mix: float) -> None:
    """Replace p by its bin's value; bins are [lo, hi), or (lo, hi] with `right`."""
    last = values.size - 1
    for i in range(p.size):
        j = (count_below(edges, p[i]) if right else count_up_to(edges, p[i])) - 1
        p[i] = values[min(max(j, 0), last)] * (1.0 - mix) + 0.5 * mix


@njit(
    types.void(filled(1), POINTS, POINTS, POINTS, POINTS, filled(1), filled(1)),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def venn_abers_bounds(p: Any, x0: Any, p0: Any, x1: Any, p1: Any, low: Any, high: Any) -> None:
    """Write the lower and upper probability of each p."""
    for i in range(p.size):
        low[i] = p0[count_up_to(x0, p[i])]
        high[i] = p1[count_below(x1, p[i])]


@njit(
    types.void(filled(1), POINTS, POINTS, POINTS, POINTS, float64),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def venn_abers(p: Any, x0: Any, p0: Any, x1: Any, p1: Any, mix: float) -> None:
    """Replace p by p1 / (1 - p0 + p1)."""
    for i in range(p.size):
        low = p0[count_up_to(x0, p[i])]
        high = p1[count_below(x1, p[i])]
        p[i] = high / (1.0 - low + high) * (1.0 - mix) + 0.5 * mix

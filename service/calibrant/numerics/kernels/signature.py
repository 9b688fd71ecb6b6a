"""Array types for kernel signatures.

Kernels with a signature are compiled when their module is imported (from the cache after the
first time). An argument declared read-only accepts writable arrays too, so such a kernel exists
once per float type, and its first call costs nothing.
"""

from __future__ import annotations

from numba import float32, float64, int64, types

FLOATS = (float32, float64)


def given(dtype: types.Type, ndim: int) -> types.Array:
    """Return the type of a contiguous input, read-only or not."""
    return types.Array(dtype, ndim, "C", readonly=True)


def filled(ndim: int, dtype: types.Type = float64) -> types.Array:
    """Return the type of a contiguous array that the kernel writes."""
    return types.Array(dtype, ndim, "C")


__all__ = ["FLOATS", "filled", "float64", "given", "int64"]

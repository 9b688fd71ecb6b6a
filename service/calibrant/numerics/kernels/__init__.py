"""Compiled kernels, the one home of numba; imported inside functions, never at module level."""

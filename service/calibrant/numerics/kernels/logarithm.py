"""A logarithm that compilers vectorise: four to eight values an instruction, within one ulp."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibrant.numerics.kernels.exponential import LN2_HIGH, LN2_LOW

ROOT_HALF = 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)

# error_model="numpy": a test for division by zero would be a branch, which no lane can take alone.


@njit(cache=True, nogil=True, error_model="numpy")
def log_positive(x):  # type: ignore[no-untyped-def]
    """Return ln(x) of a normal x > 0: exponent and mantissa apart, then the series of atanh."""
    pattern = np.int64(np.float64(x).view(np.int64))
    n = (pattern - ROOT_HALF) >> 52
    f = np.int64(pattern - (n << 52)).view(np.float64) - 1.0  # in [sqrt(1/2), sqrt(2)) - 1
    # ln(1 + f) = 2 s + 2 s^3 / 3 + 2 s^5 / 5 + ..., and 2 s = f - f^2 / 2 + s f^2 / 2: only what
    # is small beside f is rounded before f itself is added.
    s = f / (2.0 + f)
    z = s * s
    q = 2.0 / 21.0
    q = q * z + 2.0 / 19.0
    q = q * z + 2.0 / 17.0
    q = q * z + 2.0 / 15.0
    q = q * z + 2.0 / 13.0
    q = q * z + 2.0 / 11.0
    q = q * z + 2.0 / 9.0
    q = q * z + 2.0 / 7.0
    q = q * z + 2.0 / 5.0
    q = q * z + 2.0 / 3.0
    half = 0.5 * f * f
    return n * LN2_HIGH - ((half - (s * (half + q * z) + n * LN2_LOW)) - f)


@njit(cache=True, nogil=True, error_model="numpy")
def log_rest(p):  # type: ignore[no-untyped-def]
    """Return ln(1 - p) of 0 <= p < 1 without losing small p: what 1 - p drops is added again."""
    u = 1.0 - p
    return log_positive(u) + ((1.0 - u) - p) / u

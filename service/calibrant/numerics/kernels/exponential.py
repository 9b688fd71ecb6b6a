"""An exponential that compilers vectorise: four to eight values an instruction, within one ulp."""

from __future__ import annotations

import numpy as np
from numba import njit

LOG2_E = 1.4426950408889634
LN2_HIGH = 6.93147180369123816490e-01  # ln 2 in two parts (Cody and Waite): n * LN2_HIGH is exact
LN2_LOW = 1.90821492927058770002e-10
ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer kept in the low bits
LOWEST = -708.0


@njit(cache=True, nogil=True, inline="always")
def exp_nonpositive(x):  # type: ignore[no-untyped-def]
    """Return exp(x) for x <= 0; anything below -708, -inf too, gives 3e-308."""
    x = max(x, LOWEST)
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    q = 1.0 / 479001600.0
    q = q * r + 1.0 / 39916800.0
    q = q * r + 1.0 / 3628800.0
    q = q * r + 1.0 / 362880.0
    q = q * r + 1.0 / 40320.0
    q = q * r + 1.0 / 5040.0
    q = q * r + 1.0 / 720.0
    q = q * r + 1.0 / 120.0
    q = q * r + 1.0 / 24.0
    q = q * r + 1.0 / 6.0
    q = q * r + 0.5
    q = q * r + 1.0
    q = q * r + 1.0
    power = (np.float64(shifted).view(np.int64) + 1023) << 52
    return q * np.int64(power).view(np.float64)

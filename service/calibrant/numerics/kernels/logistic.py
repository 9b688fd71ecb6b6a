"""Newton passes of two-parameter logistic fits, all slices in one pass over the rows."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibrant.numerics.kernels.exponential import exp_nonpositive


@njit(cache=True, nogil=True)
def ranges(z, outcome, codes, by_slice, out):  # type: ignore[no-untyped-def]
    """Fill the smallest and largest z of negatives and of positives per slice."""
    for i in range(z.shape[0]):
        s = codes[i] if by_slice else 0
        if s < 0:
            continue
        y = np.int64(outcome[i])
        out[s, y, 0] = min(out[s, y, 0], z[i])
        out[s, y, 1] = max(out[s, y, 1], z[i])


@njit(cache=True, nogil=True)
def newton(z, outcome, weights, weighted, codes, by_slice, active, a, b, sums):  # type: ignore[no-untyped-def]
    """Fill per slice: loss, gradient (2), Hessian (3) and the w^2 Hessian (3) at a + b z."""
    sums[:] = 0.0
    # log(1+e) summed as logarithms of products: one logarithm in hundreds of rows.
    product = np.ones(sums.shape[0])
    for i in range(z.shape[0]):
        s = codes[i] if by_slice else 0
        if s < 0 or not active[s]:
            continue
        x = z[i]
        t = a[s] + b[s] * x
        e = exp_nonpositive(-abs(t))
        p = 1.0 / (1.0 + e) if t >= 0 else e / (1.0 + e)
        w = weights[i] if weighted else 1.0
        y = float(outcome[i])
        r = w * (p - y)
        h = w * e / ((1.0 + e) * (1.0 + e))
        sums[s, 0] += w * (max(t, 0.0) - y * t)
        if weighted:
            sums[s, 0] += w * np.log1p(e)
        else:
            product[s] *= 1.0 + e
            if product[s] > 1e300:
                sums[s, 0] += np.log(product[s])
                product[s] = 1.0
        sums[s, 1] += r
        sums[s, 2] += r * x
        sums[s, 3] += h
        sums[s, 4] += h * x
        sums[s, 5] += h * x * x
        if weighted:
            sums[s, 6] += w * h
            sums[s, 7] += w * h * x
            sums[s, 8] += w * h * x * x
    for s in range(sums.shape[0]):
        sums[s, 0] += np.log(product[s])


@njit(cache=True, nogil=True)
def pool(z, outcome, weights, weighted, codes, by_slice, reach, cells):  # type: ignore[no-untyped-def]
    """Add up w, w z and w y per slice and cell of z; cells cut [-reach, reach] evenly."""
    n_cells = cells.shape[1]
    scale = n_cells / (2.0 * reach)
    for i in range(z.shape[0]):
        s = codes[i] if by_slice else 0
        if s < 0:
            continue
        cell = min(max(int((z[i] + reach) * scale), 0), n_cells - 1)
        w = weights[i] if weighted else 1.0
        cells[s, cell, 0] += w
        cells[s, cell, 1] += w * z[i]
        cells[s, cell, 2] += w * outcome[i]

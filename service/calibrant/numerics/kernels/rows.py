"""Scores and labels to per-row figures in one pass; impossible rows are counted, not repaired."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibrant.numerics.kernels.exponential import LOWEST, exp_nonpositive
from calibrant.numerics.kernels.logarithm import log_positive, log_rest
from calibrant.numerics.kernels.signature import FLOATS, given, int64

# Rows of `found` (counts) and `first` (row numbers) in every kernel here.
NOT_FINITE, OUTSIDE, ROW_SUM, LABEL, IMPOSSIBLE, MASKED = 0, 1, 2, 3, 4, 5
PROBLEMS = 6
KEPT = 5
BLOCK = 64
CACHED = 1024  # rows whose figures stay in the cache from one inner loop to the next
EPS = 2.220446049250313e-16


@njit(cache=True, nogil=True)
def _note(found, first, problem, row):  # type: ignore[no-untyped-def]
    if found[problem] < KEPT:
        first[problem, found[problem]] = row
    found[problem] += 1


@njit(cache=True, nogil=True)
def binary_logits(z, labels, score, nll, brier, found, first, pair):  # type: ignore[no-untyped-def]
    """Fill score, exact NLL and Brier of log-odds; -inf is a masked class 1.

    +inf, a masked class 0, exists only where the log-odds came from a pair of columns.
    """
    for i in range(z.shape[0]):
        v = float(z[i])
        y = labels[i]
        if v != v or (v == np.inf and not pair):
            _note(found, first, NOT_FINITE, i)
            continue
        if y != 0 and y != 1:
            _note(found, first, LABEL, i)
            continue
        if abs(v) == np.inf and (v > 0) != (y == 1):
            _note(found, first, IMPOSSIBLE, i)
            continue
        e = np.exp(-abs(v))
        small, large = e / (1.0 + e), 1.0 / (1.0 + e)
        score[i] = large if v >= 0 else small
        wrong = (v >= 0) != (y == 1)
        miss = large if wrong else small
        brier[i] = miss * miss
        nll[i] = np.log1p(e) + (abs(v) if wrong else 0.0)


@njit([(given(kind, 1), given(int64, 1)) for kind in FLOATS], cache=True, nogil=True)
def are_binary(p, labels):  # type: ignore[no-untyped-def]
    """Say whether every score is in [0, 1] and every label 0 or 1."""
    wrong = False
    for i in range(p.shape[0]):
        wrong |= not (p[i] >= 0.0 and p[i] <= 1.0)  # NaN, too
        wrong |= (labels[i] & -2) != 0
    return not wrong


@njit(cache=True, nogil=True)
def _refuse_binary(p, labels, found, first):  # type: ignore[no-untyped-def]
    for i in range(p.shape[0]):
        if not np.isfinite(p[i]):
            _note(found, first, NOT_FINITE, i)
        elif p[i] < 0.0 or p[i] > 1.0:
            _note(found, first, OUTSIDE, i)
        elif labels[i] != 0 and labels[i] != 1:
            _note(found, first, LABEL, i)


@njit(cache=True, nogil=True)
def _miss(p, labels, score, brier):  # type: ignore[no-untyped-def]
    for i in range(p.shape[0]):
        v = abs(np.float64(p[i]))  # -0.0 is 0
        score[i] = v
        miss = 1.0 - v if labels[i] == 1 else v
        brier[i] = miss * miss


@njit(cache=True, nogil=True)
def _clipped_nll(score, labels, nll):  # type: ignore[no-untyped-def]
    clipped = 0
    for i in range(score.shape[0]):
        inside = min(max(score[i], EPS), 1.0 - EPS)
        clipped += inside != score[i]
        hit, rest = log_positive(inside), log_rest(inside)
        nll[i] = -hit if labels[i] == 1 else -rest
    return clipped


@njit(cache=True, nogil=True)
def binary_probabilities(p, labels, score, nll, brier, found, first):  # type: ignore[no-untyped-def]
    """Fill score, clipped NLL and Brier of P(y=1); return how many NLL values were clipped."""
    if not are_binary(p, labels):
        _refuse_binary(p, labels, found, first)
        return 0
    clipped = 0
    for start in range(0, p.shape[0], CACHED):
        part = slice(start, start + CACHED)
        _miss(p[part], labels[part], score[part], brier[part])
        clipped += _clipped_nll(score[part], labels[part], nll[part])
    return clipped


@njit(cache=True, nogil=True)
def _label_problem(y, k, top):  # type: ignore[no-untyped-def]
    """Return what forbids a row whose scores are numbers, or -1."""
    if top == -np.inf:
        return MASKED
    return LABEL if y < 0 or y >= k else -1


@njit(cache=True, nogil=True)
def _logit_figures(own, s0, s2):  # type: ignore[no-untyped-def]
    """Return NLL and Brier from the label's shifted logit and the sums of e and e^2."""
    chance = np.exp(own) / s0
    return np.log(s0) - own, max(s2 / (s0 * s0) - 2.0 * chance + 1.0, 0.0)


# Inner loops live in functions of few arrays: only those does the compiler prove independent and
# vectorise. Short rows are transposed in blocks, so that rows fill the lanes; in long rows the
# classes do, with sums that may be reordered and maxima taken over the bits.


@njit(cache=True, nogil=True)
def _transpose(values, start, size, block):  # type: ignore[no-untyped-def]
    for i in range(size):
        for j in range(values.shape[1]):
            block[j, i] = values[start + i, j]


@njit(cache=True, nogil=True)
def _raise_top(column, top):  # type: ignore[no-untyped-def]
    for i in range(BLOCK):
        top[i] = column[i] if column[i] > top[i] else top[i]


@njit(cache=True, nogil=True)
def _note_top(column, j, top, at):  # type: ignore[no-untyped-def]
    for i in range(BLOCK):
        at[i] = j if column[i] == top[i] else at[i]


@njit(cache=True, nogil=True)
def _find_top(block, top, at):  # type: ignore[no-untyped-def]
    """Raise `top` to the largest of each row, then find the first column that reaches it.

    Two passes of one comparison each take a third of the time of one that moves both.
    """
    for j in range(block.shape[0]):
        _raise_top(block[j], top)
    for j in range(block.shape[0] - 1, -1, -1):
        _note_top(block[j], np.int32(j), top, at)


@njit(cache=True, nogil=True)
def _mark_unusual(column, mark):  # type: ignore[no-untyped-def]
    for i in range(BLOCK):
        mark[i] += column[i] - column[i]  # NaN unless finite


@njit(cache=True, nogil=True)
def _add_exponentials(column, top, s0, s2):  # type: ignore[no-untyped-def]
    for i in range(BLOCK):
        e = exp_nonpositive(np.float64(column[i]) - np.float64(top[i]))
        s0[i] += e
        s2[i] += e * e


@njit(cache=True, nogil=True)
def _add_moments(column, low, s1, s2):  # type: ignore[no-untyped-def]
    for i in range(BLOCK):
        v = column[i]
        low[i] = v if v < low[i] else low[i]
        s1[i] += v
        s2[i] += v * v


@njit(cache=True, nogil=True)
def _unusable_logits(row):  # type: ignore[no-untyped-def]
    unusable = False
    for j in range(row.shape[0]):
        unusable |= row[j] != row[j] or row[j] == np.inf
    return unusable


@njit(cache=True, nogil=True)
def _own_logits(z, labels, start, size, top, mark, own):  # type: ignore[no-untyped-def]
    """Fill the labels' logits below the largest; say whether every row of the block can be used.

    A masked class makes its row unusual, too: the caller looks closer.
    """
    k = z.shape[1]
    usable = True
    for i in range(size):
        y = labels[start + i]
        known = 0 <= y < k
        own[i] = np.float64(z[start + i, y if known else 0]) - np.float64(top[i])
        usable &= known and mark[i] == 0.0
    return usable


@njit(cache=True, nogil=True)
def _refuse_logits(z, labels, start, size, top, own, found, first):  # type: ignore[no-untyped-def]
    for i in range(size):
        problem = _label_problem(labels[start + i], z.shape[1], top[i])
        if _unusable_logits(z[start + i]):
            problem = NOT_FINITE
        elif problem < 0 and own[i] == -np.inf:
            problem = IMPOSSIBLE
        if problem >= 0:
            _note(found, first, problem, start + i)


@njit(cache=True, nogil=True, error_model="numpy")
def _block_figures(own, s0, s2, score):  # type: ignore[no-untyped-def]
    """Fill the score, and turn s0 into NLL and s2 into Brier; `_logit_figures` for many rows."""
    for i in range(BLOCK):
        share = 1.0 / s0[i]
        chance = exp_nonpositive(own[i]) * share
        score[i] = share
        s2[i] = max(s2[i] * share * share - 2.0 * chance + 1.0, 0.0)
        s0[i] = log_positive(s0[i]) - own[i]


@njit(cache=True, nogil=True)
def logits_small(z, labels, score, predicted, nll, brier, found, first):  # type: ignore[no-untyped-def]
    """Reduce rows of few logits; figures of rows that are noted mean nothing."""
    n, k = z.shape
    block = np.zeros((k, BLOCK), z.dtype)
    top, mark = np.empty(BLOCK, z.dtype), np.empty(BLOCK, z.dtype)
    at = np.empty(BLOCK, np.int32)
    s0, s2, own, share = np.empty(BLOCK), np.empty(BLOCK), np.zeros(BLOCK), np.empty(BLOCK)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        _transpose(z, start, size, block)
        top[:], at[:], s0[:], s2[:], mark[:] = -np.inf, 0, 0.0, 0.0, 0.0
        _find_top(block, top, at)
        for j in range(k):
            _mark_unusual(block[j], mark)
            _add_exponentials(block[j], top, s0, s2)
        if not _own_logits(z, labels, start, size, top, mark, own):
            _refuse_logits(z, labels, start, size, top, own, found, first)
        # The last block is computed in full, too, so that a row's bits depend on that row alone.
        _block_figures(own, s0, s2, share)
        end = start + size
        score[start:end], predicted[start:end] = share[:size], at[:size]
        nll[start:end], brier[start:end] = s0[:size], s2[:size]


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "contract"})
def _moments(row):  # type: ignore[no-untyped-def]
    s1, s2 = 0.0, 0.0
    for j in range(row.shape[0]):
        v = np.float64(row[j])
        s1 += v
        s2 += v * v
    return s1, s2


@njit(cache=True, nogil=True)
def _exponentials(row, top, out):  # type: ignore[no-untyped-def]
    for j in range(row.shape[0]):
        out[j] = exp_nonpositive(np.float64(row[j]) - top)


@njit(cache=True, nogil=True)
def _ordered_range(bits, shift, mask):  # type: ignore[no-untyped-def]
    """Return the extremes of signed bits, mapped so that they order as the numbers do."""
    low, high = mask, ~mask
    for j in range(bits.shape[0]):
        b = bits[j]
        b ^= (b >> shift) & mask
        low, high = min(low, b), max(high, b)
    return low, high


@njit(cache=True, nogil=True)
def _highest(bits):  # type: ignore[no-untyped-def]
    high = bits[0]
    for j in range(bits.shape[0]):
        high = max(high, bits[j])
    return high


@njit(cache=True, nogil=True)
def _position(bits, value):  # type: ignore[no-untyped-def]
    size = np.int32(bits.shape[0])
    behind = np.int32(0)
    for j in range(size):
        behind = max(behind, np.int32(size - j) if bits[j] == value else np.int32(0))
    return size - behind


@njit(cache=True, nogil=True)
def _first_highest(bits):  # type: ignore[no-untyped-def]
    """Return the largest and where it comes first: only its block is read again."""
    k = bits.shape[0]
    high, home = bits[0], 0
    for start in range(0, k, BLOCK):
        here = _highest(bits[start : start + BLOCK])
        if here > high:
            high, home = here, start
    return high, home + _position(bits[home : home + BLOCK], high)


@njit(cache=True, nogil=True)
def _first_equal(row, value):  # type: ignore[no-untyped-def]
    k = row.shape[0]
    start = 0
    while start + BLOCK <= k:
        hit = False
        for j in range(start, start + BLOCK):
            hit |= row[j] == value
        if hit:
            break
        start += BLOCK
    while row[start] != value:
        start += 1
    return start


@njit(cache=True, nogil=True)
def logits_large(  # type: ignore[no-untyped-def]
    z, bits, shift, mask, infinite, labels, score, predicted, nll, brier, found, first
):
    """Reduce rows of many logits; `infinite` is the pattern of +inf."""
    n, k = z.shape
    exponentials = np.empty(k)
    for i in range(n):
        low, high = _ordered_range(bits[i], shift, mask)
        if high >= infinite or low < ~infinite:
            _note(found, first, NOT_FINITE, i)
            continue
        # The pattern of the largest belongs to one class at least; its value is read there.
        pattern = high ^ ((high >> shift) & mask)
        largest = z[i, _first_equal(bits[i], pattern)]
        top = np.float64(largest)
        y = labels[i]
        problem = _label_problem(y, k, top)
        own = float(z[i, y]) - top if problem < 0 else 0.0
        if own == -np.inf:
            problem = IMPOSSIBLE
        if problem >= 0:
            _note(found, first, problem, i)
            continue
        _exponentials(z[i], top, exponentials)
        s0, s2 = _moments(exponentials)
        score[i] = 1.0 / s0
        predicted[i] = _first_equal(z[i], largest)
        nll[i], brier[i] = _logit_figures(own, s0, s2)


@njit(cache=True, nogil=True)
def _scale(total, exact):  # type: ignore[no-untyped-def]
    """Return what makes a row sum to 1; rows that do so up to rounding stay as they are."""
    return 1.0 / total if abs(total - 1.0) > exact else 1.0


@njit(cache=True, nogil=True)
def _probability_figures(chance, squares):  # type: ignore[no-untyped-def]
    """Return NLL, Brier and whether the NLL was clipped."""
    inside = min(max(chance, EPS), 1.0 - EPS)
    return -np.log(inside), max(squares - 2.0 * chance + 1.0, 0.0), inside != chance


@njit(cache=True, nogil=True)
def _refuse_probabilities(p, i, found, first):  # type: ignore[no-untyped-def]
    for j in range(p.shape[1]):
        if not np.isfinite(p[i, j]):
            _note(found, first, NOT_FINITE, i)
            return
    _note(found, first, OUTSIDE, i)


@njit(cache=True, nogil=True)
def probabilities_small(  # type: ignore[no-untyped-def]
    p, labels, tolerance, noted, score, predicted, nll, brier, found, first, counts
):
    """Reduce rows of few probabilities."""
    n, k = p.shape
    exact = 4.0 * k * EPS
    block = np.zeros((k, BLOCK))
    top, low, s1, s2 = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    at = np.empty(BLOCK, np.int32)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        _transpose(p, start, size, block)
        top[:], at[:], low[:], s1[:], s2[:] = -1.0, 0, 2.0, 0.0, 0.0
        _find_top(block, top, at)
        for j in range(k):
            _add_moments(block[j], low, s1, s2)
        for i in range(size):
            row = start + i
            # A NaN shows in the sum only: comparisons with it are false.
            if not (low[i] >= 0.0 and top[i] <= 1.0 and s1[i] == s1[i]):
                _refuse_probabilities(p, row, found, first)
                continue
            y = labels[row]
            off = abs(s1[i] - 1.0)
            if off > tolerance or y < 0 or y >= k:
                _note(found, first, ROW_SUM if off > tolerance else LABEL, row)
                continue
            scale = _scale(s1[i], exact)
            score[row] = min(top[i] * scale, 1.0)
            predicted[row] = at[i]
            nll[row], brier[row], clipped = _probability_figures(
                float(p[row, y]) * scale, s2[i] * scale * scale
            )
            counts[0] += clipped
            counts[1] += off > noted


@njit(cache=True, nogil=True)
def _outside(row):  # type: ignore[no-untyped-def]
    outside = False
    for j in range(row.shape[0]):
        outside |= not (row[j] >= 0.0 and row[j] <= 1.0)
    return outside


@njit(cache=True, nogil=True)
def probabilities_large(  # type: ignore[no-untyped-def]
    p, bits, one, labels, tolerance, noted, score, predicted, nll, brier, found, first, counts
):
    """Reduce rows of many probabilities; unsigned bits above those of `one` are no probability.

    That holds for everything above 1, infinities, NaN and negative numbers at once; -0.0 alone
    is harmless and takes the long way.
    """
    n, k = p.shape
    exact = 4.0 * k * EPS
    for i in range(n):
        high, at = _first_highest(bits[i])
        if high > one:
            if _outside(p[i]):
                _refuse_probabilities(p, i, found, first)
                continue
            at = _first_equal(p[i], _highest(p[i]))
        largest = p[i, at]
        s1, s2 = _moments(p[i])
        y = labels[i]
        off = abs(s1 - 1.0)
        if off > tolerance or y < 0 or y >= k:
            _note(found, first, ROW_SUM if off > tolerance else LABEL, i)
            continue
        scale = _scale(s1, exact)
        score[i] = min(np.float64(largest) * scale, 1.0)
        predicted[i] = at
        nll[i], brier[i], clipped = _probability_figures(float(p[i, y]) * scale, s2 * scale * scale)
        counts[0] += clipped
        counts[1] += off > noted


@njit(cache=True, nogil=True)
def softmax(z, out, found, first):  # type: ignore[no-untyped-def]
    """Fill probabilities of rows of logits; masked classes get exactly 0."""
    n, k = z.shape
    for i in range(n):
        bad, top = False, -np.inf
        for j in range(k):
            v = float(z[i, j])
            bad |= v != v or v == np.inf
            top = v if v > top else top
        if bad:
            _note(found, first, NOT_FINITE, i)
            continue
        if top == -np.inf:
            _note(found, first, MASKED, i)
            continue
        total = 0.0
        for j in range(k):
            out[i, j] = exp_nonpositive(float(z[i, j]) - top)
        for j in range(k):
            x = float(z[i, j]) - top
            if x < LOWEST:
                out[i, j] = np.exp(x)  # subnormal or 0, which the fast one does not reach
            total += out[i, j]
        for j in range(k):
            out[i, j] /= total


@njit(cache=True, nogil=True)
def normalise(p, tolerance, out, found, first):  # type: ignore[no-untyped-def]
    """Fill checked probability rows that sum to 1."""
    n, k = p.shape
    exact = 4.0 * k * EPS
    for i in range(n):
        bad, total = False, 0.0
        for j in range(k):
            v = float(p[i, j])
            bad |= not (v >= 0.0 and v <= 1.0)
            total += v
        if bad:
            _refuse_probabilities(p, i, found, first)
            continue
        if abs(total - 1.0) > tolerance:
            _note(found, first, ROW_SUM, i)
            continue
        scale = 1.0 / total if abs(total - 1.0) > exact else 1.0
        for j in range(k):
            out[i, j] = abs(float(p[i, j])) * scale

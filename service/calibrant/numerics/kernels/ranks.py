"""Passes over sorted scores: pooling of ties, areas under curves, cumulative differences."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def count_distinct(keys):  # type: ignore[no-untyped-def]
    """Count the distinct scores in sorted packed keys."""
    distinct = 0
    for i in range(keys.shape[0]):
        if i == 0 or keys[i] >> np.uint64(1) != keys[i - 1] >> np.uint64(1):
            distinct += 1
    return distinct


@njit(cache=True, nogil=True)
def pool_keys(keys, bits, w, y):  # type: ignore[no-untyped-def]
    """Fill score bits, rows and positives of every distinct score."""
    at = -1
    for i in range(keys.shape[0]):
        score = keys[i] >> np.uint64(1)
        if at < 0 or score != bits[at]:
            at += 1
            bits[at] = score
            w[at] = 0
            y[at] = 0
        w[at] += 1
        y[at] += np.int32(keys[i] & np.uint64(1))


@njit(cache=True, nogil=True)
def pool_weighted(order, score, outcome, weights, out):  # type: ignore[no-untyped-def]
    """Fill score and sums of w, wy, w^2, w^2 y of every distinct score; return how many."""
    at = -1
    for position in range(order.shape[0]):
        i = order[position]
        if at < 0 or score[i] != out[0, at]:
            at += 1
            out[0, at] = score[i]
            out[1:, at] = 0.0
        w, y = weights[i], float(outcome[i])
        out[1, at] += w
        out[2, at] += w * y
        out[3, at] += w * w
        out[4, at] += w * w * y
    return at + 1


@njit(cache=True, nogil=True)
def auroc(w, y):  # type: ignore[no-untyped-def]
    """Return the area under the ROC curve of ascending pooled scores; NaN with one class."""
    below, area, positive = 0.0, 0.0, 0.0
    for i in range(w.shape[0]):
        hits = float(y[i])
        misses = float(w[i]) - hits
        area += hits * (below + 0.5 * misses)
        below += misses
        positive += hits
    if positive <= 0.0 or below <= 0.0:
        return np.nan
    return area / (positive * below)


@njit(cache=True, nogil=True)
def average_precision(w, y):  # type: ignore[no-untyped-def]
    """Return the step-wise area under precision and recall; NaN without positives."""
    total, hits, area = 0.0, 0.0, 0.0
    for i in range(w.shape[0] - 1, -1, -1):
        total += float(w[i])
        hits += float(y[i])
        if y[i] > 0:
            area += float(y[i]) * hits / total
    return area / hits if hits > 0.0 else np.nan


@njit(cache=True, nogil=True)
def auroc_by_slice(order, score, outcome, codes, weights, weighted, area, positive, negative):  # type: ignore[no-untyped-def]
    """Fill areas (not normalised) and class weights of every slice in one ascending pass."""
    n_slices = area.shape[0]
    last = np.full(n_slices, -1.0)
    tie_hits, tie_misses = np.zeros(n_slices), np.zeros(n_slices)
    for position in range(order.shape[0]):
        i = order[position]
        s = codes[i]
        if s < 0:
            continue
        if score[i] != last[s]:
            area[s] += tie_hits[s] * (negative[s] + 0.5 * tie_misses[s])
            negative[s] += tie_misses[s]
            positive[s] += tie_hits[s]
            tie_hits[s] = tie_misses[s] = 0.0
            last[s] = score[i]
        w = weights[i] if weighted else 1.0
        if outcome[i]:
            tie_hits[s] += w
        else:
            tie_misses[s] += w
    for s in range(n_slices):
        area[s] += tie_hits[s] * (negative[s] + 0.5 * tie_misses[s])
        negative[s] += tie_misses[s]
        positive[s] += tie_hits[s]


@njit(cache=True, nogil=True)
def cumulative_gap(score, w, y, w2):  # type: ignore[no-untyped-def]
    """Return max |C|, max C - min C and sigma of cumulative y - p over pooled scores."""
    total, variance, c, low, high = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(score.shape[0]):
        p = score[i]
        total += float(w[i])
        c += float(y[i]) - float(w[i]) * p
        variance += float(w2[i]) * p * (1.0 - p)
        low, high = min(low, c), max(high, c)
    if total <= 0.0:
        return np.nan, np.nan, np.nan
    return max(high, -low) / total, (high - low) / total, np.sqrt(variance) / total

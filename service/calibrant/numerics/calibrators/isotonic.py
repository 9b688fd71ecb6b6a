"""Calibrators without a formula: isotonic, centred isotonic, histogram binning, Venn-Abers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibrators.inputs import Data
from calibrant.numerics.calibrators.model import EPS
from calibrant.numerics.calibrators.outcome import Solution

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Isotonic regression as blocks of constant value, each shape (m,).

    Attributes
    ----------
    first, last : float64 arrays
        Lowest and highest score of each block.
    weight, total : float64 arrays
        Weight, and weighted sum of outcomes.
    """

    first: Float64
    last: Float64
    weight: Float64
    total: Float64

    @property
    def value(self) -> Float64:
        """Isotonic value of each block, strictly rising."""
        return self.total / self.weight


def isotonic_blocks(p: NDArray[np.floating], labels: NDArray[np.int64], weights: Float64) -> Blocks:
    """Pool ties exactly, then pool adjacent violators.

    Parameters
    ----------
    p : float32 or float64 array of shape (n,), in [0, 1]
    labels : int64 array of shape (n,), 0 or 1
    weights : float64 array of shape (n,), empty for unit weights

    Returns
    -------
    Blocks

    Notes
    -----
    Scores are compared exactly; scikit-learn pools those closer than 1e-6 in float32. Unweighted
    scores are sorted as integers, score bits and label in one key. O(n log n).
    """
    from calibrant.numerics.kernels import pava

    if weights.size:
        x, weight, total = tie_sums(p, labels, weights)
        return Blocks(*pava.pooled_sorted(x, weight, total))
    narrow = p.dtype == np.float32
    keys = np.empty(len(p), dtype=np.uint32 if narrow else np.uint64)
    pava.pack(np.ascontiguousarray(p).view(np.int32 if narrow else np.int64), labels, keys)
    keys.sort()
    first, last, count, positive = pava.pooled_keys(keys)
    return Blocks(
        first.view(p.dtype).astype(np.float64),
        last.view(p.dtype).astype(np.float64),
        count.astype(np.float64),
        positive.astype(np.float64),
    )


def tie_sums(
    p: NDArray[np.floating], labels: NDArray[np.int64], weights: Float64
) -> tuple[Float64, Float64, Float64]:
    """Return the distinct scores, and weight and weighted sum of outcomes at each."""
    x, at = np.unique(np.asarray(p, dtype=np.float64), return_inverse=True)
    share = weights if weights.size else None
    weight = np.bincount(at, share, len(x)).astype(np.float64)
    total = np.bincount(at, labels if share is None else share * labels, len(x))
    return x, weight, total.astype(np.float64)


def _scores(data: Data) -> NDArray[np.floating]:
    """Return P(y=1), in float32 where that is what was given: integers of half the size sort."""
    checked = data.probabilities
    narrow = data.score_kind == "probabilities" and data.scores.dtype == np.float32
    return data.scores if narrow else checked


def _floored(value: Float64, data: Data, floor: str) -> Float64:
    """Keep values off 0 and 1 by what one more row of the other class would do."""
    if floor == "none":
        return value
    lowest = 1 / (data.size + 2)
    return np.clip(value, lowest, 1 - lowest)


def _block_loss(value: Float64, weight: Float64, total: Float64) -> float:
    """Return the mean negative log likelihood of groups that share a value."""
    yes = total * np.log(np.maximum(value, EPS))
    no = (weight - total) * np.log(np.maximum(1 - value, EPS))
    return -float((yes + no).sum() / weight.sum())


def fit_isotonic(data: Data, *, floor: str = "default", interpolation: str = "linear") -> Solution:
    r"""Fit a non-decreasing map of P(y=1) by isotonic regression.

    Parameters
    ----------
    data : Data
        Binary.
    floor : {"default", "none"}
        `default` holds values to [1/(n+2), (n+1)/(n+2)], so that the log loss stays finite.
    interpolation : {"linear", "step"}
        Between block ends; values are constant outside the range of the fitting scores.

    Returns
    -------
    Solution

    References
    ----------
    .. [1] Zadrozny, Elkan (2002), Transforming classifier scores, KDD.
    """
    blocks = isotonic_blocks(_scores(data), data.labels, data.weights)
    value = _floored(blocks.value, data, floor)
    if interpolation == "step":
        x, y = blocks.first, value
    else:
        wide = blocks.last > blocks.first
        x = np.stack([blocks.first, blocks.last], axis=1).reshape(-1)
        kept = np.stack([np.ones(len(wide), dtype=bool), wide], axis=1).reshape(-1)
        x, y = x[kept], np.repeat(value, 2)[kept]
    return Solution(
        {"x": x, "y": y, "interpolation": interpolation},
        passes=1,
        loss=_block_loss(value, blocks.weight, blocks.total),
        rank_kept=bool((blocks.first == blocks.last).all() and (np.diff(value) > 0).all()),
        notes={"blocks": len(value), "floor": floor},
    )


def fit_isotonic_centered(data: Data, *, floor: str = "default") -> Solution:
    r"""Fit centred isotonic regression: each block shrinks to one point, joined by lines.

    A block becomes (weighted mean score, value), so the map rises strictly inside the range.
    Blocks of value exactly 0 or 1 keep both ends. Constant outside.

    Parameters
    ----------
    data : Data
        Binary.
    floor : {"default", "none"}
        As for `fit_isotonic`, applied last.

    Returns
    -------
    Solution

    References
    ----------
    .. [1] Oron, Flournoy (2017), Centered isotonic regression, Stat. Biopharm. Res. 9(3).
    """
    scores = _scores(data)
    blocks = isotonic_blocks(scores, data.labels, data.weights)
    p = np.asarray(scores, dtype=np.float64)
    at = np.searchsorted(blocks.first, p, side="right") - 1
    share = data.weights if data.weighted else None
    mass = np.bincount(at, p if share is None else share * p, len(blocks.first))
    centre = np.clip(mass / blocks.weight, blocks.first, blocks.last)
    value = blocks.value
    ends = (value == 0) | (value == 1)
    low = np.where(ends, blocks.first, centre)
    high = np.where(ends, blocks.last, centre)
    kept = np.stack([np.ones(len(low), dtype=bool), high > low], axis=1).reshape(-1)
    x = np.stack([low, high], axis=1).reshape(-1)[kept]
    y = np.repeat(_floored(value, data, floor), 2)[kept]
    return Solution({"x": x, "y": y}, passes=1, notes={"blocks": len(value), "floor": floor})


def fit_histogram(
    data: Data, *, binning: str, n_bins: int = 15, smoothing: str = "none"
) -> Solution:
    r"""Replace each score by the share of positives in its bin.

    Parameters
    ----------
    data : Data
        Binary.
    binning : {"width", "mass"}
        Equal width ([lo, hi), last closed) or equal mass (edges midway between groups of equal
        weight, (lo, hi]); never guessed.
    n_bins : int
    smoothing : {"none", "laplace"}
        `laplace` takes (Y + 1)/(N + 2). An empty bin takes the overall share.

    Returns
    -------
    Solution

    References
    ----------
    .. [1] Zadrozny, Elkan (2001), Obtaining calibrated probability estimates, ICML.
    """
    p = np.asarray(data.probabilities)
    if binning == "width":
        edges = np.linspace(0, 1, n_bins + 1)
        at = np.searchsorted(edges, p, side="right") - 1
    else:
        edges = _mass_edges(p, data, n_bins)
        at = np.searchsorted(edges, p, side="left") - 1
    at = np.clip(at, 0, len(edges) - 2)
    share = data.weights if data.weighted else None
    weight = np.bincount(at, share, len(edges) - 1).astype(np.float64)
    yes = data.labels if share is None else share * data.labels
    total = np.bincount(at, yes, len(edges) - 1).astype(np.float64)
    if smoothing == "laplace":
        values = (total + 1) / (weight + 2)
    else:
        overall = total.sum() / weight.sum()
        values = np.where(weight > 0, total / np.where(weight > 0, weight, 1), overall)
    return Solution(
        {"edges": edges, "values": np.clip(values, 0, 1), "binning": binning},
        passes=1,
        loss=_block_loss(values, weight, total),
        rank_kept=len(values) == 1 and bool(p.min() == p.max()),
        notes={"bins": len(values), "empty": int((weight == 0).sum())},
    )


def _mass_edges(p: Float64, data: Data, n_bins: int) -> Float64:
    """Return edges midway between groups of equal weight; edges that coincide are merged."""
    order = np.argsort(p, kind="stable")
    ordered = p[order]
    share = data.weights[order] if data.weighted else np.ones(len(p))
    cumulative = np.cumsum(share)
    cuts = np.searchsorted(cumulative, cumulative[-1] * np.arange(1, n_bins) / n_bins)
    cuts = cuts[cuts < len(p) - 1]
    middle = (ordered[cuts] + ordered[cuts + 1]) / 2
    return np.unique(np.concatenate([[0.0], middle, [1.0]]))


def fit_venn_abers(data: Data) -> Solution:
    r"""Fit the two step functions of inductive Venn-Abers prediction.

    p0 and p1 are the isotonic values at a score after adding that score with label 0 or 1; the
    prediction is p1 / (1 - p0 + p1). Scores between two fitted ones give the same p0 as the lower
    and the same p1 as the upper of them, so two step functions say everything. O(n log n).

    Parameters
    ----------
    data : Data
        Binary; an added point has weight 1.

    Returns
    -------
    Solution

    References
    ----------
    .. [1] Vovk, Petej, Fedorova (2015), Large-scale probabilistic predictors with and without
       guarantees of validity, NeurIPS.
    """
    from calibrant.numerics.kernels import pava

    x, weight, total = tie_sums(_scores(data), data.labels, data.weights)
    p1 = np.append(pava.upper_probabilities(weight, total), 1.0)
    mirrored = pava.upper_probabilities(weight[::-1].copy(), (weight - total)[::-1].copy())
    p0 = np.append(0.0, 1 - mirrored[::-1])
    # rounding must not break the order that the two functions have by construction
    p0, p1 = (np.clip(np.maximum.accumulate(p), 0, 1) for p in (p0, p1))
    steps0, steps1 = np.flatnonzero(np.diff(p0)), np.flatnonzero(np.diff(p1))
    return Solution(
        {
            "x0": x[steps0],
            "p0": np.append(p0[steps0], p0[-1]),
            "x1": x[steps1],
            "p1": np.append(p1[steps1], p1[-1]),
        },
        passes=1,
        notes={"mean_width": float(np.average(p1[:-1] - p0[1:], weights=weight))},
    )

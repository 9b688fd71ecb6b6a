"""Cross-validation: folds that keep class shares and never part a group, and held-out losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibrators.apply import Compiled
from calibrant.numerics.calibrators.fit import fit_data, row_losses
from calibrant.numerics.calibrators.inputs import Data
from calibrant.numerics.calibrators.outcome import Status

Loss: TypeAlias = Literal["log", "brier"]
Progress: TypeAlias = Callable[[int, int, str], None]
"""(steps done, steps in all, what was done last)."""


def assign(
    labels: NDArray[np.int64], *, n_folds: int, seed: int, groups: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Return each row's fold.

    Parameters
    ----------
    labels : int64 array of shape (n,)
    n_folds : int
    seed : int
    groups : integer array of shape (n,), optional
        Rows of one group share a fold; a negative number is a group of its own.

    Returns
    -------
    int64 array of shape (n,)
        Without groups the share of each class differs by at most one row between folds. With
        groups each goes, largest first, to the fold where the counts by class stay most even.
    """
    rng = np.random.default_rng(seed)
    n = len(labels)
    if groups is None:
        order = rng.permutation(n)
        order = order[np.argsort(labels[order], kind="stable")]
        fold = np.empty(n, dtype=np.int64)
        fold[order] = np.arange(n) % n_folds
        return fold
    keys = np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(n), groups)
    _, at = np.unique(keys, return_inverse=True)
    n_groups, k = int(at.max()) + 1, int(labels.max()) + 1
    counts = np.zeros((n_groups, k))
    np.add.at(counts, (at, labels), 1.0)
    share = 1.0 / np.maximum(counts.sum(axis=0), 1.0)
    load = np.zeros((n_folds, k))
    of_group = np.empty(n_groups, dtype=np.int64)
    shuffled = rng.permutation(n_groups)
    for group in shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]:
        # the sum of squared loads grows by 2 load . new + new . new: only the first depends
        best = int(np.argmin((load * share) @ counts[group]))
        load[best] += counts[group] * share
        of_group[group] = best
    found: NDArray[np.int64] = of_group[at]
    return found


def held_out(
    kind: str, data: Data, fold: NDArray[np.int64], options: Mapping[str, Any], *, mixed: bool
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64], Status]]:
    """Fit a kind on all folds but one, in turn; yield the fold's mask, probabilities and status.

    With `mixed` the uniform distribution gets weight 1/(n + 1), n being the fitting rows.
    """
    for part in range(int(fold.max()) + 1):
        left_out = fold == part
        if not left_out.any():
            continue
        rest = data.take(~left_out)
        mix = 1 / (rest.size + 1) if mixed else 0.0
        found = fit_data(kind, rest, options, uniform_mix=mix)
        yield (
            left_out,
            Compiled(found.calibrator)(data.scores[left_out], data.score_kind),
            found.status,
        )


def losses(p: NDArray[np.float64], data: Data, loss: Loss) -> NDArray[np.float64]:
    """Return each row's log loss, or its Brier score (one column for binary, else summed)."""
    if loss == "log":
        return row_losses(p, data)
    if data.task == "binary":
        squared: NDArray[np.float64] = (p - data.labels) ** 2
        return squared
    own = p[np.arange(len(data)), data.labels]
    found: NDArray[np.float64] = np.einsum("nk,nk->n", p, p) - 2 * own + 1
    return found


def mean_and_error(
    values: NDArray[np.float64], data: Data, groups: NDArray[Any] | None
) -> tuple[float, float]:
    """Return the weighted mean of rows and its standard error, robust to groups.

    Weights are reliabilities: the error is the root of sum w^2 (v - mean)^2 / W^2, with residuals
    summed inside each group first.
    """
    w = data.weights if data.weighted else np.ones(len(values))
    mean = float((w * values).sum() / data.weight_sum)
    away: NDArray[np.float64] = w * (values - mean)
    if groups is not None:
        keys = np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
        _, at = np.unique(keys, return_inverse=True)
        away = np.bincount(at, away).astype(np.float64)
    m = len(away)
    correction = m / (m - 1) if m > 1 else 1.0
    return mean, float(np.sqrt(correction * (away @ away))) / data.weight_sum

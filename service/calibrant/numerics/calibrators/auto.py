"""The `auto` rule: cross-validate candidates that include doing nothing, and be hard to persuade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadBatch, Detail, Unusable
from calibrant.numerics.calibrators.fit import fit_data, options_of
from calibrant.numerics.calibrators.folds import (
    Loss,
    Progress,
    assign,
    held_out,
    losses,
    mean_and_error,
)
from calibrant.numerics.calibrators.inputs import Data, read
from calibrant.numerics.calibrators.model import ScoreKind, Task, identity
from calibrant.numerics.calibrators.outcome import Diagnostics, Fit, Status

__all__ = ["AutoFit", "Candidate", "Progress", "candidates", "fit_auto"]

ORDER = (
    ("identity",),
    ("temperature",),
    ("platt",),
    ("beta", "svs", "ets"),
    ("sms",),
    ("isotonic_centered", "venn_abers", "isotonic", "histogram"),
    ("vector", "dirichlet"),
)
"""From simple to complex; kinds on one level are equally simple."""

LEVEL = {kind: level for level, kinds in enumerate(ORDER) for kind in kinds}
N_FOLDS = 5
Z_95 = 1.959963984540054
OWN_FLOOR = ("identity", "isotonic", "isotonic_centered", "venn_abers", "histogram")
"""Kinds that are not mixed with the uniform: they cannot say 0 or 1, or are left alone."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line of the table.

    Attributes
    ----------
    kind : str
    loss, loss_se : float or None
        Mean held-out loss over all rows and its standard error; None if no fold could be fitted.
    gain, gain_low, gain_high : float or None
        Mean paired gain against identity (positive is better) with its 95 % interval.
    status : Status
        `ok`, or the first other status among its folds. Folds without a usable fit count as
        identity in the loss.
    """

    kind: str
    loss: float | None
    loss_se: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    status: Status


@dataclass(frozen=True, slots=True)
class AutoFit:
    """What `auto` decided and why.

    Attributes
    ----------
    fit : Fit
        The chosen kind fitted on all rows; identity with status `no_gain` where nothing beat it.
    chosen : str
    table : tuple of Candidate
        From simple to complex; identity first.
    loss : {"log", "brier"}
    n_folds : int
    seed : int
    """

    fit: Fit
    chosen: str
    table: tuple[Candidate, ...]
    loss: Loss
    n_folds: int
    seed: int

    @property
    def status(self) -> Status:
        """Status of the fit."""
        return self.fit.status


def candidates(task: Task, n: int, n_classes: int) -> tuple[str, ...]:
    """Return the kinds that race, from simple to complex.

    Parameters
    ----------
    task : {"binary", "multiclass"}
    n : int
        Rows.
    n_classes : int

    Returns
    -------
    tuple of str
        identity and temperature always. Binary: platt and beta; ets below 1,500 rows; centred
        isotonic and Venn-Abers from 12,000. Multiclass: svs, and sms up to 100 classes with at
        least 50 rows a class.
    """
    found = ["identity", "temperature"]
    if task == "binary":
        found += ["platt", "beta"]
        found += ["ets"] if n < 1_500 else []
        found += ["isotonic_centered", "venn_abers"] if n >= 12_000 else []
    else:
        found += ["svs"]
        found += ["sms"] if n_classes <= 100 and n / n_classes >= 50 else []
    return tuple(found)


def fit_auto(
    scores: NDArray[Any],
    labels: NDArray[Any],
    *,
    task: Task,
    score_kind: ScoreKind,
    weights: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    loss: Loss = "log",
    kinds: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    n_folds: int = N_FOLDS,
    seed: int = 0,
    progress: Progress | None = None,
) -> AutoFit:
    r"""Choose a calibrator by cross-validation, or none.

    1. Five folds, stratified by class; with `groups` no group is parted. Every candidate is fitted
       on four and judged on the fifth.
    2. The simplest candidate within one standard error of the best is chosen, the error being
       that of the paired row differences.
    3. Unless the lower end of the 95 % interval of its paired gain over identity is above 0, the
       answer is identity, `no_gain`. A kind that ran into a parameter bound in a fold cannot win;
       where only such kinds beat identity, the simplest of them is fitted and the status says
       `at_bound`: the scores rank the labels no better than chance, or separate them.
    4. The chosen kind is fitted on all rows and mixed with the uniform distribution, weight
       1/(n + 1), so that its log loss is finite; isotonic kinds have their floor instead.

    Parameters
    ----------
    scores, labels, task, score_kind, weights
        As for `fit`.
    groups : integer array of shape (n,), optional
        Clusters of dependent rows; a negative number is a cluster of its own. Errors are robust
        to them.
    loss : {"log", "brier"}
        What candidates are judged by.
    kinds : sequence of str, optional
        Candidates instead of the default ones; identity always takes part.
    options : mapping of kind to options, optional
    n_folds : int, at least 2
    seed : int
        Same seed and rows, same answer.
    progress : callable, optional
        Called with (done, of, text) after each candidate.

    Returns
    -------
    AutoFit

    Raises
    ------
    BadBatch
        If scores, labels, weights or groups cannot be used.
    Unusable
        If a candidate is unknown or does not go with the task.

    Notes
    -----
    Never chooses by ECE, which rewards binning. Held-out figures of this table are of candidates,
    not of the final fit: report on rows that took no part.

    References
    ----------
    .. [1] Breiman, Friedman, Olshen, Stone (1984), Classification and regression trees, section
       3.4.3: the one-standard-error rule.
    """
    data = read(scores, labels, task=task, score_kind=score_kind, weights=weights)
    clusters = _clusters(groups, weights, len(labels))
    chosen_options = {kind: options_of(kind, given) for kind, given in (options or {}).items()}
    kinds_in_race = _candidates(kinds, data)
    steps = len(kinds_in_race) + 1
    early = fit_data("temperature", data, {}) if _degenerate(data, n_folds) else None
    if early is not None:
        blank = Diagnostics(
            len(data), data.weight_sum, 0, None, data.loss, data.loss, rank_changed=False
        )
        status: Status = early.status if early.status in EARLY else "too_few_rows"
        stored = Fit("identity", identity(task, data.n_classes), status, blank)
        return AutoFit(stored, "identity", (), loss, n_folds, seed)
    fold = assign(data.labels, n_folds=n_folds, seed=seed, groups=clusters)
    per_row: dict[str, NDArray[np.float64]] = {}
    statuses: dict[str, Status] = {}
    for done, kind in enumerate(kinds_in_race, start=1):
        found, statuses[kind] = _cross_validate(
            kind, data, fold, chosen_options.get(kind, {}), loss
        )
        if found is not None:
            per_row[kind] = found
        if progress is not None:
            progress(done, steps, f"cross-validated {kind}")
    race = _Race(data, clusters, per_row, statuses)
    table = tuple(race.line(kind) for kind in kinds_in_race)
    chosen = race.choose()
    result = _final(chosen, data, chosen_options.get(chosen, {}))
    if progress is not None:
        progress(steps, steps, f"fitted {chosen} on all rows")
    return AutoFit(result, result.calibrator.kind, table, loss, n_folds, seed)


SOUND = ("ok", "no_gain")
"""Statuses of a candidate that can win; `no_gain` in a fold is identity there."""

FITTED = (*SOUND, "at_bound")
"""Statuses of a fold that was fitted."""

EARLY = ("single_class", "unidentifiable", "too_few_rows")


def _clusters(
    groups: NDArray[Any] | None, weights: NDArray[Any] | None, n: int
) -> NDArray[np.int64] | None:
    """Return checked groups of the rows that have weight."""
    if groups is None:
        return None
    found = np.asarray(groups)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise BadBatch("`groups` must be numbers, one a row.", [Detail("/groups", f"expected {n}")])
    found = found.astype(np.int64)
    return found if weights is None else found[np.asarray(weights) > 0]


def _candidates(kinds: Sequence[str] | None, data: Data) -> tuple[str, ...]:
    """Return the candidates in order, identity first."""
    if kinds is None:
        return candidates(data.task, len(data), data.n_classes)
    if unknown := [kind for kind in kinds if kind not in LEVEL]:
        raise Unusable(
            "A candidate is unknown.", [Detail("/candidates", f"{len(unknown)} unknown")]
        )
    multiclass_only = {"svs", "sms", "vector", "dirichlet"}
    if data.task == "binary" and multiclass_only & set(kinds):
        raise Unusable(
            "A candidate needs more than two classes.", [Detail("/candidates", "multiclass only")]
        )
    return tuple(sorted({"identity", *kinds}, key=lambda kind: (LEVEL[kind], kind)))


def _degenerate(data: Data, n_folds: int) -> bool:
    """Whether there is nothing to cross-validate."""
    _ = data.loss  # refuses rows that cannot be used
    counts = np.bincount(data.labels, minlength=data.n_classes)
    return bool(len(data) < 5 * n_folds or (counts > 0).sum() < 2 or data.constant)


def _cross_validate(
    kind: str, data: Data, fold: NDArray[np.int64], options: Mapping[str, Any], loss: Loss
) -> tuple[NDArray[np.float64] | None, Status]:
    """Return held-out losses by row, None if no fold was fitted, and the first bad status."""
    found = np.empty(len(data))
    status: Status = "ok"
    fitted = False
    for left_out, p, how in held_out(kind, data, fold, options, mixed=kind not in OWN_FLOOR):
        found[left_out] = losses(p, data.take(left_out), loss)
        status = how if status == "ok" else status
        fitted |= how in FITTED
    return found if fitted else None, status


@dataclass(frozen=True, slots=True, eq=False)
class _Race:
    """Held-out losses of the candidates that could be fitted."""

    data: Data
    clusters: NDArray[np.int64] | None
    per_row: Mapping[str, NDArray[np.float64]]
    statuses: Mapping[str, Status]

    def gain(self, kind: str, over: str) -> tuple[float, float]:
        """Return the mean paired gain of one kind over another and its standard error."""
        return mean_and_error(self.per_row[over] - self.per_row[kind], self.data, self.clusters)

    def line(self, kind: str) -> Candidate:
        """Return one line of the table."""
        status = self.statuses[kind]
        if kind not in self.per_row:
            return Candidate(kind, None, None, None, None, None, status)
        mean, error = mean_and_error(self.per_row[kind], self.data, self.clusters)
        gain, gain_error = self.gain(kind, "identity")
        reach = Z_95 * gain_error
        return Candidate(kind, mean, error, gain, gain - reach, gain + reach, status)

    def proven(self, kind: str) -> bool:
        """Whether the 95 % interval of the gain over identity lies above 0."""
        gain, error = self.gain(kind, "identity")
        return gain - Z_95 * error > 0

    def choose(self) -> str:
        """Return the simplest kind within one standard error of the best, or identity."""
        means = {
            kind: mean_and_error(values, self.data, self.clusters)[0]
            for kind, values in self.per_row.items()
        }
        sound = [kind for kind in means if self.statuses[kind] in SOUND]
        best = min(sound, key=lambda kind: (means[kind], LEVEL[kind]))
        near = []
        for kind in sound:
            ahead, error = self.gain(best, kind)
            if ahead <= error:
                near.append(kind)
        chosen = min(near, key=lambda kind: (LEVEL[kind], means[kind]))
        if self.proven(chosen):
            return chosen
        bound = [kind for kind in means if self.statuses[kind] == "at_bound" and self.proven(kind)]
        return bound[0] if bound else "identity"


def _final(chosen: str, data: Data, options: Mapping[str, Any]) -> Fit:
    """Fit the chosen kind on all rows."""
    if chosen == "identity":
        return replace(fit_data("identity", data, {}), status="no_gain")
    mix = 0.0 if chosen in OWN_FLOOR else 1 / (data.size + 1)
    return fit_data(chosen, data, options, uniform_mix=mix)

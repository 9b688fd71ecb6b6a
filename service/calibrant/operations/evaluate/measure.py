"""Headline metrics of all slices of a dimension at once, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics import calibration
from calibrant.numerics.floor import noise_floor
from calibrant.numerics.intervals import clopper_pearson, slice_means
from calibrant.numerics.logistic import Slopes, slope_by_slice
from calibrant.numerics.rows import Rows
from calibrant.numerics.special import ndtri, stdtrit
from calibrant.numerics.table import Bins, tabulate
from calibrant.operations.evaluate.clustered import ClusteredError, clustered_error
from calibrant.operations.evaluate.gap import Gap
from calibrant.operations.evaluate.report import Interval, Metrics, NoiseFloor

Floats = NDArray[np.float64]

_BLOCK = 1 << 18  # rows whose copies are held at a time
_DRAWS = 2_000
MIN_COUNT = 30
"""Fewest rows of a bin that counts for `mce`."""


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Means per slice with their intervals; NaN where there is none."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(slots=True, eq=False)
class Measured:
    """What the figures of the slices of one dimension are read from.

    `slopes` and `auroc` come later, when columns that they do not need have been let go.
    """

    task: str
    bins: Bins
    gap: Gap
    means: dict[str, Means]
    clustered: tuple[ClusteredError | None, ...] | None
    slopes: Slopes | None = None
    auroc: Floats | None = None

    def __len__(self) -> int:
        return len(self.bins)


def measure(
    rows: Rows,
    codes: NDArray[np.int32] | None,
    n_slices: int,
    *,
    clusters: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Measured:
    """Count the rows of every slice.

    Parameters
    ----------
    rows : Rows
    codes : int32 array of shape (n,), or None
        Slice of each row, -1: in none; None: all rows in slice 0.
    n_slices : int
    clusters : int64 array of shape (n,), optional
        Rows of one cluster may depend on each other.
    seed : int
        Of the draws behind noise floors.
    """
    bins = tabulate(rows.score, rows.outcome, rows.weights, codes=codes, n_slices=n_slices).bins()
    columns = {"nll": rows.nll, "brier": rows.brier, "accuracy": rows.correct}
    if clusters is None:
        means = moments(columns, codes, n_slices, rows.weights)
        means["accuracy"] = _exact(means["accuracy"].value, bins.n_eff)
        return Measured(rows.task, bins, Gap.of(bins), means, None)
    own = np.zeros(len(rows), np.int32) if codes is None else codes
    means = {}
    for name, column in columns.items():
        found = slice_means(column.astype(np.float64), own, n_slices, rows.weights, clusters)
        means[name] = Means(found.value, found.low, found.high)
    errors = tuple(_clustered(rows, own, n_slices, clusters, seed))
    sd, units = (
        np.array([np.nan if e is None else getattr(e, name) for e in errors], dtype=np.float64)
        for name in ("bias_sd", "n_clusters")
    )
    return Measured(rows.task, bins, Gap.of(bins, sd, units), means, errors)


def add_slopes(
    measured: Measured,
    rows: Rows,
    codes: NDArray[np.int32] | None,
    *,
    clusters: NDArray[np.int64] | None = None,
) -> None:
    """Fit calibration slope and intercept of every slice."""
    measured.slopes = slope_by_slice(
        rows.score, rows.outcome, codes, len(measured), rows.weights, clusters=clusters
    )


def without_losses(rows: Rows) -> Rows:
    """Return the rows without NLL and Brier, which take half of their memory; 0 stands there."""
    nothing = np.broadcast_to(0.0, len(rows))
    return replace(rows, nll=nothing, brier=nothing)


def figures(
    measured: Measured, unlabelled: Sequence[int] | NDArray[Any], *, seed: int = 0
) -> tuple[Metrics, ...]:
    """Return the headline metrics of every slice.

    Parameters
    ----------
    measured : Measured
        With slopes and AUROC.
    unlabelled : sequence of int
        Rows without a label in every slice.
    seed : int
        Of the draws behind noise floors.
    """
    table = _Figures.of(measured, seed)
    return tuple(table.row(s, int(unlabelled[s])) for s in range(len(measured)))


def smallest_detectable(measured: Measured, index: int = 0) -> float | None:
    """Return the RMS calibration error that a slice would have shown with a chance of 80 %.

    That is an even error e whose debiased interval lies above 0 in four of five sets of rows:
    e^2 = (1.96 + .84) sd(e), where sd^2 = (sd if calibrated)^2 + 4 e^2 (sd of the mean gap)^2.
    """
    reach = float(ndtri(0.975) + ndtri(0.8))
    sd = float(null_sd(measured.bins.take([index]))[0])
    error = None if measured.clustered is None else measured.clustered[index]
    if error is not None:
        sd = max(sd, error.l2_null_sd)
    if not sd > 0:
        return None
    linear = 2 * (reach * float(measured.gap.sd[index])) ** 2
    return min(1.0, float(np.sqrt(linear + np.hypot(linear, reach * sd))))


def null_sd(bins: Bins) -> Floats:
    r"""Return the standard deviation of `l2_debiased` of calibrated models with these scores.

    .. math:: \sum_b (W_b/W)^2 \, 2 v^2 / (N_b (N_b - 1)), \quad v = \overline{p (1 - p)}

    with effective numbers of rows; 0 where no bin has two rows.
    """
    weight = bins.w.sum(axis=1, keepdims=True)
    share = bins.w / np.where(weight > 0, weight, 1.0)
    w2 = np.where(bins.w2 > 0, bins.w2, 1.0)
    size = np.where(bins.n >= 2, np.maximum(bins.w**2 / w2, 1.0 + 1e-9), np.inf)
    spread = bins.w2v / w2
    return np.asarray(np.sqrt((share**2 * 2 * spread**2 / (size * (size - 1))).sum(axis=1)))


def number(value: Any) -> float | None:
    """Return a finite number as a float, anything else as None."""
    return float(value) if value is not None and np.isfinite(value) else None


def moments(
    columns: dict[str, NDArray[Any]],
    codes: NDArray[np.int32] | None,
    n_slices: int,
    weights: Floats | None,
) -> dict[str, Means]:
    """Return means with Student intervals in one pass that copies a block of rows at a time.

    Parameters
    ----------
    columns : mapping of name to array of shape (n,)
    codes : int32 array of shape (n,), or None
        Slice of each row, -1: in none; None: all rows in slice 0.
    n_slices : int
    weights : float64 array of shape (n,), or None
    """
    n = len(next(iter(columns.values())))
    size = n_slices + 1  # slot 0 takes rows that are in no slice
    centre = {name: float(column.mean()) if n else 0.0 for name, column in columns.items()}
    total, squares = np.zeros(size), np.zeros(size)
    sums = {name: np.zeros((3, size)) for name in columns}
    for start in range(0, n, _BLOCK):
        block = slice(start, start + _BLOCK)
        own = (
            np.ones(len(range(*block.indices(n))), np.int64)
            if codes is None
            else codes[block].astype(np.int64) + 1
        )
        w = None if weights is None else weights[block]
        total += np.bincount(own, w, size)
        squares += np.bincount(own, None if w is None else w * w, size)
        for name, column in columns.items():
            x = column[block] - centre[name]
            wx = x if w is None else w * x
            sums[name][0] += np.bincount(own, wx, size)
            if w is not None:
                sums[name][1] += np.bincount(own, w * wx, size)
            sums[name][2] += np.bincount(own, wx * wx, size)
    result = {}
    for name, (first, second, square) in sums.items():
        cross = first if weights is None else second
        result[name] = _student(
            total[1:], squares[1:], first[1:], cross[1:], square[1:], centre[name]
        )
    return result


def _student(w: Floats, w2: Floats, wx: Floats, w2x: Floats, w2x2: Floats, centre: float) -> Means:
    """Return means and intervals from sums of centred values."""
    known = w > 0
    mean = np.divide(wx, w, out=np.full(len(w), np.nan), where=known)
    units = np.divide(w * w, w2, out=np.zeros(len(w)), where=known)
    enough = units > 1.0 + 1e-12
    size = np.where(enough, units, 2.0)
    variance = np.maximum(w2x2 - 2 * mean * w2x + mean**2 * w2, 0.0) * size / (size - 1.0)
    half = np.full(len(w), np.nan)
    np.divide(stdtrit(size - 1.0, 0.975) * np.sqrt(variance), w, out=half, where=enough)
    return Means(mean + centre, mean + centre - half, mean + centre + half)


def _exact(rate: Floats, n_eff: Floats) -> Means:
    low, high = clopper_pearson(np.nan_to_num(rate) * n_eff, n_eff)
    return Means(rate, low, high)


def _clustered(
    rows: Rows, codes: NDArray[np.int32], n_slices: int, clusters: NDArray[np.int64], seed: int
) -> Iterable[ClusteredError | None]:
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(n_slices + 1))
    for s in range(n_slices):
        index = order[ends[s] : ends[s + 1]]
        weights = None if rows.weights is None else rows.weights[index]
        yield clustered_error(
            rows.score[index], rows.outcome[index], weights, clusters[index], seed=seed
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Figures:
    """Every metric of every slice as arrays, read out a slice at a time."""

    measured: Measured
    values: dict[str, Floats]
    lows: dict[str, Floats]
    highs: dict[str, Floats]
    floor_p95: Floats
    mce_count: NDArray[np.int64]

    @classmethod
    def of(cls, measured: Measured, seed: int) -> _Figures:
        bins, gap = measured.bins, measured.gap
        floor = noise_floor(bins, seed=seed)
        worst = calibration.mce(bins, min_count=MIN_COUNT)
        values: dict[str, Floats] = {
            "base_rate": calibration.base_rate(bins),
            "mean_score": calibration.mean_score(bins),
            "oe_ratio": calibration.oe_ratio(bins),
            "ece": calibration.ece(bins),
            "floor": floor.mean,
            "rmsce_debiased": calibration.rmsce_debiased(bins),
            "mce": worst.value,
            "bias": gap.value,
        }
        ends = {"rmsce_debiased": _error_interval(bins), "bias": gap.interval()}
        noise = _ece_noise(bins, seed)
        p95 = floor.p95
        if measured.clustered is not None:
            p95, noise = _with_clusters(measured.clustered, bins, values, ends)
        else:
            ends["mce"] = _mce_interval(bins)
        ends["base_rate"] = _rate_interval(measured, values)
        ends["oe_ratio"] = _ratio_interval(values, ends["bias"])
        ends["ece"] = _ece_interval(values["ece"], noise, ends["rmsce_debiased"][1])
        for name, means in measured.means.items():
            values[name], ends[name] = means.value, (means.low, means.high)
        if (slopes := measured.slopes) is not None:
            values["calibration_slope"] = slopes.slope
            values["calibration_intercept"] = slopes.intercept
            ends["calibration_slope"] = (slopes.slope_low, slopes.slope_high)
            ends["calibration_intercept"] = (slopes.intercept_low, slopes.intercept_high)
        if measured.auroc is not None:
            values["auroc"] = measured.auroc
            if measured.task == "binary" and measured.clustered is None:
                ends["auroc"] = _auroc_interval(measured.auroc, bins)
        return cls(
            measured,
            values,
            {name: low for name, (low, _) in ends.items()},
            {name: high for name, (_, high) in ends.items()},
            p95,
            worst.count,
        )

    def row(self, s: int, n_unlabelled: int) -> Metrics:
        """Return the metrics of one slice."""

        def value(name: str) -> float | None:
            return number(self.values[name][s]) if name in self.values else None

        intervals = {name: ends for name in self.lows if (ends := self._ends(name, s)) is not None}
        error = intervals.pop("rmsce_debiased", None)
        floor, p95 = value("floor"), number(self.floor_p95[s])
        return Metrics(
            n=int(self.measured.bins.n[s].sum()),
            n_unlabelled=n_unlabelled,
            n_effective=float(self.measured.bins.n_eff[s]),
            base_rate=value("base_rate"),
            mean_score=value("mean_score"),
            oe_ratio=value("oe_ratio"),
            accuracy=value("accuracy"),
            nll=value("nll"),
            brier=value("brier"),
            ece=value("ece"),
            ece_noise_floor=(
                None if floor is None or p95 is None else NoiseFloor(mean=floor, p95=p95)
            ),
            rmsce_debiased=value("rmsce_debiased"),
            rmsce_interval=error,
            mce=value("mce"),
            mce_count=int(self.mce_count[s]) or None,
            bias=value("bias"),
            calibration_slope=value("calibration_slope"),
            calibration_intercept=value("calibration_intercept"),
            auroc=value("auroc"),
            intervals=intervals,
        )

    def _ends(self, name: str, s: int) -> Interval | None:
        low, high = number(self.lows[name][s]), number(self.highs[name][s])
        if low is None or high is None or number(self.values[name][s]) is None:
            return None
        return low, high


def _with_clusters(
    errors: Sequence[ClusteredError | None],
    bins: Bins,
    values: dict[str, Floats],
    ends: dict[str, tuple[Floats, Floats]],
) -> tuple[Floats, Floats]:
    """Replace what assumes independent rows; return the floor's p95 and the noise of the ECE."""
    nan = float("nan")
    table = np.array(
        [
            (nan,) * 6
            if e is None
            else (e.l2, e.l2_sd, e.quantile, e.floor_mean, e.floor_p95, e.noise)
            for e in errors
        ]
    ).T
    l2, sd, quantile, values["floor"], p95, noise = table
    values["rmsce_debiased"] = np.sqrt(np.maximum(l2, 0.0))
    ends["rmsce_debiased"] = _root_interval(l2, quantile * np.maximum(sd, null_sd(bins)))
    return p95, noise


def _error_interval(bins: Bins) -> tuple[Floats, Floats]:
    """Return the interval of the debiased RMS error.

    Where all outcomes are equal the residuals hardly vary, and their variance alone would take a
    handful of rows for proof: it is at least that of a calibrated model.
    """
    l2 = calibration.l2_debiased(bins)
    sd = np.maximum(np.sqrt(calibration.l2_variance(bins)), null_sd(bins))
    return _root_interval(l2, ndtri(0.975) * sd)


def _root_interval(l2: Floats, half: Floats) -> tuple[Floats, Floats]:
    return np.sqrt(np.maximum(l2 - half, 0.0)), np.sqrt(np.maximum(l2 + half, 0.0))


def _rate_interval(measured: Measured, values: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Return the interval of the base rate: exact, or as wide as the gap's with clusters."""
    if measured.clustered is None:
        n_eff = measured.bins.n_eff
        return clopper_pearson(np.nan_to_num(values["base_rate"]) * n_eff, n_eff)
    low, high = measured.gap.interval()
    score = values["mean_score"]
    return np.clip(score - high, 0.0, 1.0), np.clip(score - low, 0.0, 1.0)


def _ratio_interval(values: dict[str, Floats], gap: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Return the interval of expected over observed, given the scores; none if it has no end."""
    score = values["mean_score"]
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = score / (score - gap[0]), score / (score - gap[1])
    return low, np.where(score - gap[1] > 0, high, np.nan)


def _ece_noise(bins: Bins, seed: int) -> Floats:
    """Return the 97.5 % quantile of the ECE's own noise: the sum over bins of abs(S_b - E S_b)."""
    weight = bins.w.sum(axis=1)
    safe = np.where(bins.w > 0, bins.w, 1.0)
    own = bins.w2d2 - ((bins.p - bins.y) / safe) ** 2 * bins.w2
    sd = np.sqrt(np.maximum(own, bins.w2v))
    draws = np.abs(np.random.default_rng(seed).standard_normal((_DRAWS, sd.shape[1])))
    parts = [
        np.quantile(draws @ sd[start : start + 256].T, 0.975, axis=0)
        for start in range(0, len(sd), 256)
    ]
    return np.asarray(np.concatenate(parts) / np.where(weight > 0, weight, np.nan))


def _ece_interval(ece: Floats, noise: Floats, error_high: Floats) -> tuple[Floats, Floats]:
    r"""Return a valid interval of the binned L1 error.

    Below, by the triangle inequality: the plug-in exceeds the truth by at most its noise. Above,
    by Jensen: the L1 error is at most the root mean square error.
    """
    low = np.maximum(ece - noise, 0.0)
    return np.minimum(low, error_high), error_high


def _mce_interval(bins: Bins) -> tuple[Floats, Floats]:
    """Return the interval of the largest gap from simultaneous intervals of all gaps."""
    used = bins.n >= MIN_COUNT
    safe = np.where(bins.w > 0, bins.w, 1.0)
    gap = np.where(used, np.abs(bins.p - bins.y) / safe, 0.0)
    own = np.maximum(bins.w2d2 - gap**2 * bins.w2, bins.w2v)
    reach = ndtri(1.0 - 0.025 / np.maximum(used.sum(axis=1), 1))[:, None]
    half = np.where(used, reach * np.sqrt(own) / safe, 0.0)
    any_used = used.any(axis=1)
    low, high = np.maximum((gap - half).max(axis=1), 0.0), (gap + half).max(axis=1)
    return np.where(any_used, low, np.nan), np.where(any_used, np.minimum(high, 1.0), np.nan)


def _auroc_interval(area: Floats, bins: Bins) -> tuple[Floats, Floats]:
    """Return the Hanley-McNeil interval, on the log-odds so that it stays inside [0, 1].

    Hanley, McNeil (1982), Radiology 143; effective numbers of rows for weights.
    """
    weight = np.where(bins.w.sum(axis=1) > 0, bins.w.sum(axis=1), np.nan)
    positives = bins.y.sum(axis=1) / weight * bins.n_eff
    negatives = bins.n_eff - positives
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (
            area * (1 - area)
            + (positives - 1) * (one - area**2)
            + (negatives - 1) * (two - area**2)
        ) / (positives * negatives)
        odds = np.log(area / (1 - area))
        half = ndtri(0.975) * np.sqrt(np.maximum(variance, 0.0)) / (area * (1 - area))
        return 1 / (1 + np.exp(half - odds)), 1 / (1 + np.exp(-half - odds))

"""What an evaluation is asked for and what it answers: plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import msgspec

from calibrant.errors import Unusable

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""

ALL = "__all__"
"""Name of the slice that holds every row."""
OTHER = "__other__"
"""Value under which the rarest slices of a dimension are folded beyond the slice limit."""
MISSING = "__missing__"
"""Value of rows whose dimension is empty."""
SCORE_BAND = "score_band"
"""Dimension of the prediction confidence regions, which every report has."""

IDENTITY = "identity"
"""Name of the candidate that leaves the scores as they came."""

Period = Literal["auto", "hour", "day", "week", "month", "quarter", "year"]
Status = Literal["calibrated", "miscalibrated", "inconclusive"]
GateStatus = Literal["pass", "fail", "inconclusive"]


# What is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """How to evaluate.

    Attributes
    ----------
    metrics : tuple of str
        Optional metrics by name, or `("all",)`; the headline metrics are always there.
    crosses : tuple of tuple of str
        Dimensions to cross, for example `(("origin", "carrier"),)`.
    max_slices : int
        Slices in one report, crosses and score bands included; the rarest are folded.
    period : str
        Length of a period where rows have a time; `auto` chooses by the span.
    tolerance : float or None
        Calibration error that does not matter, as a difference of probabilities. None: the smaller
        of .02 and a quarter of the rate of the rarer outcome.
    """

    metrics: tuple[str, ...] = ()
    crosses: tuple[tuple[str, ...], ...] = ()
    max_slices: int = 1_000
    period: Period = "auto"
    tolerance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A bar for one metric, to be cleared by its whole interval.

    Attributes
    ----------
    metric : str
        A metric that has an interval.
    max, min : float or None
        Bars; at least one.
    slices : tuple of str
        Slices it is asked of: `dim=value`, a dimension for all of its slices, `*` for every slice;
        empty: all rows.
    baseline : str or None
        Ask the difference to this candidate on the same rows instead of the value.
    """

    metric: str
    max: float | None = None
    min: float | None = None
    slices: tuple[str, ...] = ()
    baseline: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSpec:
    """One evaluation.

    Attributes
    ----------
    task, score_kind : str
    calibrator : str or None
        Candidate whose probabilities the report is about; None: the scores as they came.
    candidates : tuple of str
        Names to compare on the same rows; `identity` is the scores as they came.
    baseline : str or None
        Candidate the others are compared with; None: `identity`.
    allow_overlap : bool
        Report on rows a calibrator was fitted on, stamped `optimistic`, instead of refusing.
    """

    task: Literal["binary", "multiclass"]
    score_kind: Literal["probabilities", "logits"]
    options: EvaluateOptions = EvaluateOptions()
    gates: tuple[Gate, ...] = ()
    calibrator: str | None = None
    candidates: tuple[str, ...] = ()
    baseline: str | None = None
    allow_overlap: bool = False


# What is answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to know about a value, or why there is none.

    Attributes
    ----------
    code : str
        `empty`, `single_class`, `too_few_rows`, `at_bound`, `unlabelled`, `folded`, ...
    pointer : str
        JSON pointer into the report, `/metrics/auroc`; one note may stand for all slices.
    reason : str
        One sentence.
    """

    code: str
    pointer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """ECE that a perfectly calibrated model with these scores would show by chance."""

    mean: float
    p95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BrierDecomposition:
    """Brier = reliability - resolution + uncertainty + within_bin (Murphy; top label on classes).

    `miscalibration`, `discrimination` and `corp_uncertainty` are the CORP parts, by isotonic
    recalibration on the same rows: score = miscalibration - discrimination + corp_uncertainty.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bin: float
    miscalibration: float
    discrimination: float
    corp_uncertainty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """Classification figures of one class; `auprc` is average precision."""

    label: int
    support: float
    precision: float | None
    recall: float | None
    f1: float | None
    auprc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationReport:
    """Per class, averaged over classes, and (up to 50 classes) the confusion matrix.

    `confusion[i][j]` is the weight of rows of class i predicted as class j.
    """

    classes: tuple[ClassScores, ...]
    macro_precision: float | None
    macro_recall: float | None
    macro_f1: float | None
    macro_auprc: float | None
    confusion: tuple[tuple[float, ...], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongRow:
    """A row whose prediction was wrong although confident; `row` counts from 0 over all rows."""

    row: int
    id: str | None
    label: int
    predicted: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures of one set of rows.

    A headline figure that cannot be computed is None with a note; an optional one is None unless
    asked for. `intervals` holds 95 % intervals by metric name; that of `ece` is valid but wide
    (below: less the 97.5 % quantile of its noise; above: the root mean square error bounds it).

    Attributes
    ----------
    n, n_unlabelled : int
        Rows with and without a label.
    n_effective : float
        `n`, or W^2 / sum w^2 for weighted rows.
    oe_ratio : float or None
        Expected over observed outcomes, mean score over base rate: above 1 is too high.
    ece : float or None
        15 equal-width bins of the positive class (binary) or of the top label.
    mce, mce_count : float, int or None
        Largest gap among bins of at least 30 rows, and the rows of that bin.
    rmsce_debiased, rmsce_interval
        Root mean square calibration error without the upward bias of noise; it is never an ECE.
    bias : float or None
        Mean score minus base rate: positive is too high.
    """

    n: int
    n_unlabelled: int
    n_effective: float
    base_rate: float | None
    mean_score: float | None
    oe_ratio: float | None
    accuracy: float | None
    nll: float | None
    brier: float | None
    ece: float | None
    ece_noise_floor: NoiseFloor | None
    rmsce_debiased: float | None
    rmsce_interval: Interval | None
    mce: float | None
    mce_count: int | None
    bias: float | None
    calibration_slope: float | None
    calibration_intercept: float | None
    auroc: float | None
    intervals: dict[str, Interval] = field(default_factory=dict)
    ece_top_label: float | None = None
    ece_equal_mass: float | None = None
    ece_classwise: float | None = None
    smooth_ece: float | None = None
    ecce_mad: float | None = None
    ecce_mad_p: float | None = None
    spiegelhalter_z: float | None = None
    spiegelhalter_p: float | None = None
    brier_decomposition: BrierDecomposition | None = None
    classification_report: ClassificationReport | None = None
    most_confident_wrong: tuple[WrongRow, ...] | None = None


OPTIONAL_FIELDS: Mapping[str, tuple[str, ...]] = {
    "ece_top_label": ("ece_top_label",),
    "ece_equal_mass": ("ece_equal_mass",),
    "ece_classwise": ("ece_classwise",),
    "smooth_ece": ("smooth_ece",),
    "ecce_mad": ("ecce_mad", "ecce_mad_p"),
    "spiegelhalter_z": ("spiegelhalter_z", "spiegelhalter_p"),
    "brier_decomposition": ("brier_decomposition",),
    "classification_report": ("classification_report",),
    "most_confident_wrong": ("most_confident_wrong",),
}
"""Names that `options.metrics` takes, and the fields of `Metrics` each of them fills."""
ROWS_ONLY = ("classification_report", "most_confident_wrong")
"""Optional metrics of all rows, not of slices, periods and candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceReport:
    """Figures of one slice, `dim=value`; a cross is `dim=value,dim=value`."""

    name: str
    dimension: str
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstSlice:
    """A slice shown to be wrong, after correction for having looked at all slices.

    Attributes
    ----------
    effect : float
        Signed gap, mean score minus base rate of the slice: positive is too high.
    interval : (float, float)
        Simultaneous over all slices looked at: each at level 1 - .05 / slices.
    p_value, p_adjusted : float
        Two-sided, of no gap; adjusted by Holm over all slices.
    beyond_tolerance : bool
        Whether the whole interval lies beyond the tolerance.
    """

    name: str
    n: int
    effect: float
    interval: Interval
    p_value: float
    p_adjusted: float
    beyond_tolerance: bool
    direction: str
    ece: float | None
    ece_noise_floor: NoiseFloor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer in words.

    Attributes
    ----------
    status : str
    direction : str or None
        `too high`, `too low`, `over-confident`, `under-confident`, joined by "and", or `uneven`;
        None where nothing is shown.
    sentence : str
        One sentence.
    finding : str or None
        What the aggregate hides: slices shown to err beyond the tolerance.
    tolerance : float
        Error that does not matter, as applied.
    smallest_detectable : float or None
        Root mean square error that these rows would have shown with a chance of 80 %.
    """

    status: Status
    direction: str | None
    sentence: str
    finding: str | None
    tolerance: float
    smallest_detectable: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate on one set of rows: decided by `interval`, never by `value`."""

    metric: str
    slice: str
    candidate: str | None
    baseline: str | None
    max: float | None
    min: float | None
    status: GateStatus
    value: float | None
    interval: Interval | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Candidate minus baseline on the same rows.

    `better` is None while the interval holds 0; a lower `nll` and `brier` and a higher `accuracy`
    are better.
    """

    value: float
    interval: Interval
    better: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceDifference:
    """Differences inside one slice; intervals are per slice, without correction."""

    name: str
    n: int
    differences: dict[str, Difference]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateReport:
    """One candidate: its own figures, and its differences to the baseline (none for itself)."""

    name: str
    metrics: Metrics
    differences: dict[str, Difference]
    slices: tuple[SliceDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Candidates on the same rows; `best` is by log loss, the baseline unless another is shown."""

    baseline: str
    best: str
    candidates: tuple[CandidateReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodReport:
    """Figures of the rows of one period, `[start, end)` in RFC 3339."""

    start: str
    end: str
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """Reliability data of one slice: B bins, each column one entry a bin, None where it is empty.

    Attributes
    ----------
    slice : str
        `__all__` or the name of a slice.
    stage : str
        `reported`: the probabilities of this report; `raw`: before its calibrator.
    binning : str
        `equal_width`, or `equal_mass` (all rows only).
    view : str
        `positive` (binary) or `top_label`.
    edges : tuple of B + 1 floats
    n : tuple of B ints
        Rows.
    score, rate : tuples of B floats or None
        Mean score, and rate of the outcome.
    low, high : tuples of B floats or None
        95 % interval of the rate (Clopper-Pearson).
    band_low, band_high : tuples of B floats or None
        Where the rate of a calibrated model lies with 95 %.
    """

    slice: str
    stage: Literal["reported", "raw"]
    binning: Literal["equal_width", "equal_mass"]
    view: Literal["positive", "top_label"]
    edges: tuple[float, ...]
    n: tuple[int, ...]
    score: tuple[float | None, ...]
    rate: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    band_low: tuple[float | None, ...]
    band_high: tuple[float | None, ...]
    ece: float | None
    ece_noise_floor: NoiseFloor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report.

    `n_classes` is 0 where no multiclass row has a label. `optimistic`: a calibrator was fitted on
    some of these rows, `n_overlap` of them.
    """

    verdict: Verdict
    task: Literal["binary", "multiclass"]
    n_classes: int
    calibrator: str | None
    metrics: Metrics
    slices: tuple[SliceReport, ...]
    worst_slices: tuple[WorstSlice, ...]
    gates: tuple[GateResult, ...]
    comparison: Comparison | None
    period: str | None
    periods: tuple[PeriodReport, ...]
    notes: tuple[Note, ...]
    optional_metrics: tuple[str, ...]
    diagrams: tuple[Diagram, ...]
    optimistic: bool = False
    n_overlap: int = 0

    def diagram(
        self, slice_name: str = ALL, *, stage: str = "reported", binning: str = "equal_width"
    ) -> Diagram | None:
        """Return the reliability data of one slice, or None where the report has none."""
        wanted = (slice_name, stage, binning)
        found = (d for d in self.diagrams if (d.slice, d.stage, d.binning) == wanted)
        return next(found, None)


def no_metrics(n_unlabelled: int) -> Metrics:
    """Return the metrics of rows without a label."""
    headline = [f for f in fields(Metrics) if f.default is NO_DEFAULT and f.name != "intervals"]
    empty: dict[str, Any] = {f.name: None for f in headline}
    return Metrics(**{**empty, "n": 0, "n_unlabelled": n_unlabelled, "n_effective": 0.0})


def requested(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """Return the optional metrics asked for, in the order of the table; `all` is every one.

    Raises
    ------
    Unusable
        If a name is not known.
    """
    if unknown := set(metrics) - set(OPTIONAL_FIELDS) - {"all"}:
        known = ", ".join(OPTIONAL_FIELDS)
        raise Unusable(f"{len(unknown)} of `options.metrics` are not known; known are all, {known}")
    return tuple(name for name in OPTIONAL_FIELDS if name in metrics or "all" in metrics)


def to_document(report: Report, *, diagrams: bool = False) -> dict[str, Any]:
    """Return the report as JSON-able values, without the optional metrics nobody asked for.

    Parameters
    ----------
    diagrams : bool
        Whether the reliability data goes along; it is large for many slices.
    """
    document: dict[str, Any] = msgspec.to_builtins(report)
    if not diagrams:
        del document["diagrams"]
    drop = [
        name
        for metric, names in OPTIONAL_FIELDS.items()
        if metric not in report.optional_metrics
        for name in names
    ]
    parts = [*document["slices"], *document["periods"]]
    if document["comparison"]:
        parts += document["comparison"]["candidates"]
    for part in parts:
        for name in {*drop, *ROWS_ONLY}:
            del part["metrics"][name]
    for name in drop:
        del document["metrics"][name]
    return document


def encode(report: Report) -> bytes:
    """Return the whole report, diagrams included, as JSON for keeping."""
    return msgspec.json.encode(report)


def decode(data: bytes) -> Report:
    """Return the report that `encode` wrote."""
    return msgspec.json.decode(data, type=Report)

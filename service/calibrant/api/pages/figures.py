"""What a report says, row by row: names, values, intervals, and their meaning in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from calibrant.operations.draw.words import against_noise, count, decimal, rows, signed
from calibrant.operations.evaluate.names import BY_JSON
from calibrant.operations.evaluate.report import Metrics, Report, SliceReport

HEADLINE = (
    "base_rate", "mean_score", "bias", "oe_ratio", "ece", "rmsce_debiased", "mce",
    "calibration_slope", "calibration_intercept", "nll", "brier", "accuracy", "auroc",
)  # fmt: skip
OPTIONAL = (
    "ece_top_label", "ece_equal_mass", "ece_classwise", "smooth_ece", "ecce_mad",
    "spiegelhalter_z",
)  # fmt: skip
SIGNED = frozenset({"bias", "calibration_intercept", "spiegelhalter_z"})


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a table: `value`, `interval` and `words` are ready to be shown."""

    name: str
    value: str
    interval: str
    words: str


def lines(report: Report) -> list[Line]:
    """Return the headline figures, and the optional ones that were asked for."""
    asked = [name for name in OPTIONAL if name in report.optional_metrics]
    reasons = {note.pointer: note.reason for note in report.notes}
    return [_line(name, report.metrics, reasons) for name in (*HEADLINE, *asked)]


def slice_lines(report: Report, name: str) -> list[Line]:
    """Return the headline figures of one slice, or of all rows."""
    found = [part.metrics for part in report.slices if part.name == name]
    metrics = found[0] if found else report.metrics
    return [_line(headline, metrics, {}) for headline in HEADLINE]


def by_dimension(report: Report) -> Iterator[tuple[str, list[SliceReport]]]:
    """Yield each dimension with its slices, the largest first."""
    ordered = sorted(report.slices, key=lambda part: part.dimension)
    for dimension, parts in groupby(ordered, key=lambda part: part.dimension):
        if dimension == "score_band":
            yield dimension, list(parts)
        else:
            yield dimension, sorted(parts, key=lambda part: -part.metrics.n)


def compared(report: Report) -> Sequence[str]:
    """Return the metrics in which candidates are compared."""
    if report.comparison is None:
        return ()
    names: dict[str, None] = {}
    for candidate in report.comparison.candidates:
        names.update(dict.fromkeys(candidate.differences))
    return tuple(names)


def text(name: str) -> str:
    """Return what a page calls a metric."""
    known = BY_JSON.get(name)
    return known.text if known else name


def _line(name: str, metrics: Metrics, reasons: dict[str, str]) -> Line:
    value = getattr(metrics, name)
    if value is None:
        reason = reasons.get(f"/metrics/{name}", "It cannot be computed from these rows.")
        return Line(text(name), "-", "", reason)
    ends = metrics.rmsce_interval if name == "rmsce_debiased" else metrics.intervals.get(name)
    write = signed if name in SIGNED else decimal
    between = "" if ends is None else f"{write(ends[0])} to {write(ends[1])}"
    return Line(text(name), write(value), between, _WORDS[name](metrics))


def _ece(metrics: Metrics) -> str:
    if metrics.ece is None or metrics.ece_noise_floor is None:
        return "Mean gap between score and rate, over 15 bins."
    said = against_noise(metrics.ece, metrics.ece_noise_floor)
    return said[0].upper() + said[1:] + "."


def _bias(metrics: Metrics) -> str:
    if not metrics.bias:
        return "Scores are right on average."
    way = "too high" if metrics.bias > 0 else "too low"
    ends = metrics.intervals.get("bias")
    unsure = ends is not None and ends[0] <= 0 <= ends[1]
    return f"Scores are {decimal(abs(metrics.bias))} {way} on average" + (
        "; the interval allows for none." if unsure else "."
    )


def _slope(metrics: Metrics) -> str:
    ends = metrics.intervals.get("calibration_slope")
    if ends is None or ends[0] <= 1 <= ends[1]:
        return "1 is right; below it scores are too extreme, above it too timid."
    return (
        "Scores are too extreme (1 is right)."
        if ends[1] < 1
        else ("Scores are too timid (1 is right).")
    )


def _mce(metrics: Metrics) -> str:
    where = "" if metrics.mce_count is None else f"; that bin holds {rows(metrics.mce_count)}"
    return f"Among bins of at least 30 rows{where}."


def _p_value(p: float | None) -> str:
    return "" if p is None else f" p = {decimal(p)}." if p >= 0.001 else " p < 0.001."


_WORDS: dict[str, Callable[[Metrics], str]] = {
    "base_rate": lambda m: (
        f"How often the outcome happened, in {rows(m.n)}."
        + (f" Effective rows: {count(m.n_effective)}." if m.n_effective != m.n else "")
    ),
    "mean_score": lambda _: "What the scores said on average.",
    "bias": _bias,
    "oe_ratio": lambda _: "1 is right.",
    "ece": _ece,
    "rmsce_debiased": lambda _: "Root mean square error, without the upward bias of noise.",
    "mce": _mce,
    "calibration_slope": _slope,
    "calibration_intercept": lambda _: "0 is right; it is in log-odds, with the slope held at 1.",
    "nll": lambda _: "Lower is better; it pays for honesty and for sharpness.",
    "brier": lambda _: "Lower is better; squared error of the probabilities.",
    "accuracy": lambda _: "Share of right predictions; calibration alone cannot raise it much.",
    "auroc": lambda _: "How well scores rank; calibration does not change a ranking.",
    "ece_top_label": lambda _: "The same error, of the predicted class.",
    "ece_equal_mass": lambda _: "The same error, in bins that hold equally many rows.",
    "ece_classwise": lambda _: "The same error per class, averaged over the classes.",
    "smooth_ece": lambda _: "The same error without bins.",
    "ecce_mad": lambda m: "Largest gap summed up along the scores." + _p_value(m.ecce_mad_p),
    "spiegelhalter_z": lambda m: (
        "Beyond 2 either way is unlikely by chance." + _p_value(m.spiegelhalter_p)
    ),
}

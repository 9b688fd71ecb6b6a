"""The answer in words: is it calibrated, which way is it off, what does the aggregate hide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from calibrant.operations.evaluate.report import (
    SCORE_BAND,
    Interval,
    Metrics,
    SliceReport,
    Status,
    Verdict,
    WorstSlice,
)

TOLERANCE = 0.02
"""Calibration error that does not matter unless said otherwise."""
RARE_SHARE = 0.25
"""Where outcomes are rare the tolerance is at most this share of their rate."""

Task = Literal["binary", "multiclass"]


def tolerance(metrics: Metrics, asked: float | None) -> float:
    """Return the tolerance to apply: as asked, or .02, or less where one outcome is rare."""
    if asked is not None:
        return asked
    if metrics.base_rate is None or metrics.mean_score is None:
        return TOLERANCE
    # a model that is wrong about which outcome is rare must not get a tiny tolerance by it
    rare = max(min(rate, 1 - rate) for rate in (metrics.base_rate, metrics.mean_score))
    return min(TOLERANCE, RARE_SHARE * rare)


def beyond(interval: Interval | None, limit: float) -> bool:
    """Return whether the whole interval lies above `limit` or below `-limit`."""
    return interval is not None and (interval[0] > limit or interval[1] < -limit)


def status(metrics: Metrics, limit: float) -> Status:
    """Judge by intervals: of the RMS calibration error, and of the bias, which sees further."""
    error = metrics.rmsce_interval
    if error is None:
        return "inconclusive"
    if error[0] > limit or beyond(metrics.intervals.get("bias"), limit):
        return "miscalibrated"
    return "calibrated" if error[1] <= limit else "inconclusive"


def direction(metrics: Metrics, task: Task) -> str | None:
    """Name what the intervals of bias and slope show; None where they show nothing."""
    shown = []
    slope = metrics.intervals.get("calibration_slope")
    if slope is not None and not slope[0] <= 1 <= slope[1]:
        shown.append("over-confident" if slope[1] < 1 else "under-confident")
    bias = metrics.intervals.get("bias")
    if beyond(bias, 0.0):
        if task == "multiclass":  # the score is the confidence: its level is what counts
            shown = ["over-confident" if _positive(bias) else "under-confident"]
        else:
            shown.append(level(metrics.bias or 0.0))
    return " and ".join(shown) or None


def level(gap: float) -> str:
    """Return the direction of a signed gap in words."""
    return "too high" if gap > 0 else "too low"


def judge(
    metrics: Metrics,
    worst: Sequence[WorstSlice],
    slices: Sequence[SliceReport],
    *,
    task: Task,
    limit: float,
    smallest: float | None,
) -> Verdict:
    """Put the figures into words.

    Parameters
    ----------
    metrics : Metrics
        Of all rows.
    worst : sequence of WorstSlice
        Slices shown to be wrong, all of them.
    slices : sequence of SliceReport
    task : {"binary", "multiclass"}
    limit : float
        Tolerance.
    smallest : float or None
        RMS error that these rows would have shown with a chance of 80 %.
    """
    overall = status(metrics, limit)
    way = direction(metrics, task)
    hidden = _hidden(worst, slices)
    found = _finding(hidden, slices, metrics) if _hides(hidden, overall) else None
    if overall != "miscalibrated" and found is not None:
        return Verdict(
            status="miscalibrated",
            direction=_directions(hidden),
            sentence=_hidden_sentence(hidden, metrics, overall),
            finding=found,
            tolerance=limit,
            smallest_detectable=smallest,
        )
    if overall == "miscalibrated" and way is None:
        way = "uneven"
    return Verdict(
        status=overall,
        direction=way if overall == "miscalibrated" else None,
        sentence=_sentence(metrics, overall, way, limit, smallest),
        finding=found,
        tolerance=limit,
        smallest_detectable=smallest,
    )


def shown(value: float | None) -> str:
    """Return a probability or error for a sentence: three decimals, or one digit below .001."""
    if value is None:
        return "unknown"
    return f"{value:.3f}" if value == 0 or abs(value) >= 5e-4 else f"{value:.1g}"


def _positive(interval: Interval | None) -> bool:
    return interval is not None and interval[0] > 0


def _hidden(worst: Sequence[WorstSlice], slices: Sequence[SliceReport]) -> tuple[WorstSlice, ...]:
    """Return the worst slice either way of the dimension that explains the most error."""
    dimension = {s.name: s.dimension for s in slices}
    error: dict[str, float] = {}
    shown = [w for w in worst if w.beyond_tolerance and dimension[w.name] != SCORE_BAND]
    for slice_ in shown:
        name = dimension[slice_.name]
        error[name] = error.get(name, 0.0) + slice_.n * abs(slice_.effect)
    if not error:
        return ()
    # a cross explains at least as much as its parts: prefer the fewest columns within a tenth
    most = max(error.values())
    chosen = min(
        (name for name in error if error[name] >= 0.9 * most),
        key=lambda name: (name.count(","), -error[name]),
    )
    here = [w for w in shown if dimension[w.name] == chosen]
    high = max((w for w in here if w.effect > 0), key=lambda w: w.effect, default=None)
    low = min((w for w in here if w.effect < 0), key=lambda w: w.effect, default=None)
    return tuple(w for w in (high, low) if w is not None)


def _hides(hidden: Sequence[WorstSlice], overall: Status) -> bool:
    """Return whether the slices say something that the aggregate does not."""
    return len(hidden) == 2 or (len(hidden) == 1 and overall != "miscalibrated")


def _finding(hidden: Sequence[WorstSlice], slices: Sequence[SliceReport], metrics: Metrics) -> str:
    by_name = {s.name: s.metrics for s in slices}
    parts = [_slice_words(w, by_name[w.name]) for w in hidden]
    all_rows = f"all rows together show a gap of {metrics.bias:+.3f} (ECE {shown(metrics.ece)})"
    if len(parts) == 1:
        return f"The aggregate hides a slice: {parts[0]}, while {all_rows}."
    return f"The errors cancel: {parts[0]}, and {parts[1]}, while {all_rows}."


def _slice_words(worst: WorstSlice, metrics: Metrics) -> str:
    return (
        f"{worst.name} is {shown(abs(worst.effect))} {level(worst.effect)} "
        f"(mean score {shown(metrics.mean_score)}, rate {shown(metrics.base_rate)}, {worst.n:,} rows)"
    )


def _directions(hidden: Sequence[WorstSlice]) -> str:
    return ", ".join(f"{level(w.effect)} in {w.name}" for w in hidden)


def _hidden_sentence(hidden: Sequence[WorstSlice], metrics: Metrics, overall: Status) -> str:
    words = " and ".join(f"{w.name} is {shown(abs(w.effect))} {level(w.effect)}" for w in hidden)
    aggregate = "looks fine" if overall == "calibrated" else "shows no clear error"
    but = "errors cancel" if len(hidden) == 2 else "a slice is wrong"
    return f"The aggregate {aggregate} (ECE {shown(metrics.ece)}), but {but}: {words}."


def _sentence(
    metrics: Metrics, overall: Status, way: str | None, limit: float, smallest: float | None
) -> str:
    if metrics.n == 0:
        return "No row has a label, so nothing can be said."
    rows = f"{metrics.n:,} row{'s' if metrics.n != 1 else ''}"
    if metrics.rmsce_interval is None or metrics.ece is None:
        return f"{rows} are too few to say anything."
    floor = metrics.ece_noise_floor
    figures = f"ECE {shown(metrics.ece)}"
    if floor is not None:
        figures += f", of which about {shown(floor.mean)} would be noise"
    if overall == "miscalibrated":
        words = "unevenly wrong" if way == "uneven" else way
        gap = f"mean score {shown(metrics.mean_score)}, rate {shown(metrics.base_rate)}"
        return f"The probabilities are {words}: {figures}, {gap}, over {rows}."
    low, high = metrics.rmsce_interval
    if overall == "calibrated":
        return (
            f"The probabilities are calibrated: the error is at most {shown(high)}, "
            f"within the tolerance of {limit:.3g} ({figures}, over {rows})."
        )
    if low > 0:
        return (
            f"There is an error between {shown(low)} and {shown(high)}; {rows} cannot tell whether it "
            f"exceeds the tolerance of {limit:.3g} ({figures})."
        )
    unseen = (
        "" if smallest is None else f"an error below {shown(smallest)} could have gone unseen; "
    )
    return f"{rows} cannot tell: {unseen}{figures}."

"""Gates: a bar for a metric, cleared or missed by the whole interval, never by the point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from calibrant.errors import Detail, Unusable
from calibrant.operations.evaluate.names import BY_JSON
from calibrant.operations.evaluate.report import (
    ALL,
    Comparison,
    Difference,
    EvaluateSpec,
    Gate,
    GateResult,
    GateStatus,
    Interval,
    Metrics,
    SliceReport,
)

GATED = (
    "base_rate",
    "oe_ratio",
    "accuracy",
    "nll",
    "brier",
    "ece",
    "rmsce_debiased",
    "mce",
    "bias",
    "calibration_slope",
    "calibration_intercept",
    "auroc",
)
"""Metrics that have an interval, so that a gate can be put on them."""
PAIRED = ("nll", "brier", "accuracy")
"""Metrics whose differences between candidates have an interval."""


def check(spec: EvaluateSpec) -> None:
    """Raise `Unusable` with all findings if a gate cannot be decided by an interval."""
    names = {"identity", *spec.candidates, *([spec.calibrator] if spec.calibrator else [])}
    errors = [
        Detail(f"/gates/{i}{pointer}", message)
        for i, gate in enumerate(spec.gates)
        for pointer, message in _problems(gate, names, spec.calibrator)
    ]
    if errors:
        raise Unusable(f"{len(errors)} findings in `gates`.", errors)


def _problems(gate: Gate, candidates: set[str], subject: str | None) -> Iterator[tuple[str, str]]:
    allowed = GATED if gate.baseline is None else PAIRED
    if gate.metric not in allowed:
        kind = "metrics" if gate.baseline is None else "metrics compared with a `baseline`"
        yield "/metric", f"has no interval to decide by; {kind} that have one: {', '.join(allowed)}"
    if gate.max is None and gate.min is None:
        yield "", "needs `max` or `min`"
    if gate.max is not None and gate.min is not None and gate.min > gate.max:
        yield "/min", "must not be above `max`"
    if gate.baseline is not None and gate.baseline not in candidates:
        yield "/baseline", "must be `identity` or one of `candidates`"
    if gate.baseline is not None and gate.baseline == subject:
        yield "/baseline", "must differ from the calibrator the report is about"


def decide(
    gates: Sequence[Gate],
    *,
    metrics: Metrics,
    slices: Sequence[SliceReport],
    comparison: Comparison | None,
    subject: str | None,
) -> tuple[GateResult, ...]:
    """Decide every gate on every set of rows it is asked of.

    Parameters
    ----------
    gates : sequence of Gate
    metrics : Metrics
        Of all rows.
    slices : sequence of SliceReport
    comparison : Comparison or None
        With the baseline that gates name, if any does.
    subject : str or None
        Candidate the report is about.

    Raises
    ------
    Unusable
        If a gate names a slice that these rows do not have.
    """
    results: list[GateResult] = []
    for position, gate in enumerate(gates):
        rows = _rows(gate, position, slices)
        if gate.baseline is None:
            for name in rows:
                held = metrics if name == ALL else _of(slices, name)
                value = getattr(held, gate.metric)
                interval = interval_of(held, gate.metric)
                results.append(_result(gate, name, subject, value, interval))
        elif comparison is not None:
            results.extend(_compared(gate, rows, comparison, subject))
    return tuple(results)


def undecided(gates: Sequence[Gate], subject: str | None) -> tuple[GateResult, ...]:
    """Return the results of gates on rows without a label: none is decided."""
    return tuple(
        _result(gate, name, subject, None, None) for gate in gates for name in gate.slices or (ALL,)
    )


def interval_of(metrics: Metrics, metric: str) -> Interval | None:
    """Return the 95 % interval of a metric."""
    return metrics.rmsce_interval if metric == "rmsce_debiased" else metrics.intervals.get(metric)


def _rows(gate: Gate, position: int, slices: Sequence[SliceReport]) -> tuple[str, ...]:
    if not gate.slices:
        return (ALL,)
    names: dict[str, None] = {}
    for index, asked in enumerate(gate.slices):
        found = [s.name for s in slices if asked in {"*", s.name, s.dimension}]
        if asked == ALL:
            found = [ALL]
        if not found:
            pointer = f"/gates/{position}/slices/{index}"
            raise Unusable(
                "A gate names a slice that no row belongs to.",
                [Detail(pointer, "must be a slice `dim=value`, a dimension, or `*`")],
            )
        names.update(dict.fromkeys(found))
    return tuple(names)


def _of(slices: Sequence[SliceReport], name: str) -> Metrics:
    return next(s.metrics for s in slices if s.name == name)


def _compared(
    gate: Gate, rows: Sequence[str], comparison: Comparison, subject: str | None
) -> Iterator[GateResult]:
    """Decide a gate on differences: of the report's calibrator, or of every candidate."""
    for candidate in comparison.candidates:
        if candidate.name == comparison.baseline or subject not in {None, candidate.name}:
            continue
        by_slice = {s.name: s.differences for s in candidate.slices}
        for name in rows:
            found = candidate.differences if name == ALL else by_slice[name]
            difference: Difference | None = found.get(gate.metric)
            value = None if difference is None else difference.value
            interval = None if difference is None else difference.interval
            yield _result(gate, name, candidate.name, value, interval)


def _result(
    gate: Gate, name: str, candidate: str | None, value: float | None, interval: Interval | None
) -> GateResult:
    status = _status(gate, interval)
    return GateResult(
        metric=gate.metric,
        slice=name,
        candidate=candidate,
        baseline=gate.baseline,
        max=gate.max,
        min=gate.min,
        status=status,
        value=value,
        interval=interval,
        sentence=_sentence(gate, name, candidate, status, interval),
    )


def _status(gate: Gate, interval: Interval | None) -> GateStatus:
    if interval is None:
        return "inconclusive"
    low, high = interval
    top = float("inf") if gate.max is None else gate.max
    bottom = float("-inf") if gate.min is None else gate.min
    if low > top or high < bottom:
        return "fail"
    return "pass" if high <= top and low >= bottom else "inconclusive"


def _sentence(
    gate: Gate, name: str, candidate: str | None, status: GateStatus, interval: Interval | None
) -> str:
    what = BY_JSON[gate.metric].text
    if gate.baseline is not None:
        what = f"{what} of {candidate} minus {gate.baseline}"
    where = "all rows" if name == ALL else name
    bars = [f"at least {gate.min:g}"] if gate.min is not None else []
    bars += [f"at most {gate.max:g}"] if gate.max is not None else []
    asked = f"{what} on {where} must be {' and '.join(bars)}"
    if interval is None:
        return f"{asked}: it cannot be computed on these rows."
    words = {
        "pass": "it is",
        "fail": "it is not",
        "inconclusive": "these rows cannot tell",
    }[status]
    return f"{asked}: {words} (95 % interval {interval[0]:.4g} to {interval[1]:.4g})."

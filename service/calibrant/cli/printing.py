"""Reports as text for a terminal: the verdict first, then the figures behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calibrant.operations.evaluate.report import (
    SCORE_BAND,
    CandidateReport,
    Difference,
    Metrics,
    Report,
    WorstSlice,
)

COLOURS = {
    "calibrated": "green",
    "miscalibrated": "red",
    "inconclusive": "yellow",
    "pass": "green",
    "fail": "red",
}
MAX_SLICES = 20


def console(*, err: bool = False) -> Console:
    """Return a console that writes plain text where nobody looks."""
    return Console(stderr=err, highlight=False)


def print_report(out: Console, report: Report) -> None:
    """Print verdict, finding, figures, slices, gates, comparison and notes."""
    verdict = report.verdict
    out.print(f"[bold {COLOURS[verdict.status]}]{escape(verdict.sentence)}[/]")
    if verdict.finding:
        out.print(f"[bold]{escape(verdict.finding)}[/]")
    if report.optimistic:
        out.print(
            f"[yellow]Optimistic: {report.n_overlap} of these rows were used to fit the "
            "calibrator.[/]"
        )
    out.print()
    out.print(_metrics_table(report))
    for title, slices in _grouped(report):
        out.print(_slices_table(title, slices))
    if report.worst_slices:
        out.print(_worst_table(report.worst_slices))
    if report.comparison:
        out.print(_comparison_table(report.comparison.candidates, report.comparison.baseline))
        out.print(f"best by log loss: [bold]{escape(report.comparison.best)}[/]")
    if report.gates:
        out.print(_gates_table(report))
    for note in report.notes:
        out.print(f"[dim]note: {escape(note.pointer)}: {escape(note.reason)}[/]")


def figure(value: float | None, digits: int = 4) -> str:
    """Return a figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}g}"


def interval(ends: tuple[float, float] | None) -> str:
    """Return an interval in brackets."""
    return "" if ends is None else f"[{ends[0]:.3g}, {ends[1]:.3g}]"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position else "left", overflow="fold")
    return table


def _metrics_table(report: Report) -> Table:
    table = _table(f"{report.metrics.n:,} labelled rows", "", "value", "95 % interval", "read as")
    m = report.metrics
    floor = m.ece_noise_floor
    chance = "" if floor is None else f"chance alone gives {floor.mean:.4f}, up to {floor.p95:.4f}"
    for name, value, hint in (
        ("ece", m.ece, chance),
        ("rmsce_debiased", m.rmsce_debiased, "root mean square error without noise"),
        ("bias", m.bias, "mean score minus base rate"),
        ("mce", m.mce, "" if m.mce_count is None else f"largest gap, in a bin of {m.mce_count:,}"),
        ("calibration_slope", m.calibration_slope, "below 1: over-confident"),
        ("calibration_intercept", m.calibration_intercept, "above 0: scores too low"),
        ("nll", m.nll, ""),
        ("brier", m.brier, ""),
        ("accuracy", m.accuracy, ""),
        ("auroc", m.auroc, ""),
        ("base_rate", m.base_rate, ""),
        ("mean_score", m.mean_score, ""),
    ):
        ends = m.rmsce_interval if name == "rmsce_debiased" else m.intervals.get(name)
        table.add_row(name, figure(value), interval(ends), hint)
    return table


def _grouped(report: Report) -> Iterable[tuple[str, list[tuple[str, Metrics]]]]:
    groups: dict[str, list[tuple[str, Metrics]]] = {}
    for part in report.slices:
        if part.dimension != SCORE_BAND:
            groups.setdefault(part.dimension, []).append((part.name, part.metrics))
    for dimension, parts in groups.items():
        parts.sort(key=lambda part: -part[1].n)
        hidden = len(parts) - MAX_SLICES
        more = f" (the {MAX_SLICES} largest of {len(parts)})" if hidden > 0 else ""
        yield f"by {dimension}{more}", parts[:MAX_SLICES]


def _slices_table(title: str, parts: Sequence[tuple[str, Metrics]]) -> Table:
    table = _table(title, "slice", "n", "score", "rate", "bias", "", "ece", "chance", "nll")
    for name, m in parts:
        floor = m.ece_noise_floor
        table.add_row(
            escape(name),
            f"{m.n:,}",
            figure(m.mean_score, 3),
            figure(m.base_rate, 3),
            "-" if m.bias is None else f"{m.bias:+.3f}",
            interval(m.intervals.get("bias")),
            figure(m.ece, 3),
            "-" if floor is None else figure(floor.mean, 2),
            figure(m.nll),
        )
    return table


def _worst_table(worst: Sequence[WorstSlice]) -> Table:
    table = _table(
        "worst slices, corrected for having looked at all", "slice", "n", "gap", "interval", "p"
    )
    for part in worst[:MAX_SLICES]:
        table.add_row(
            escape(part.name),
            f"{part.n:,}",
            f"{part.effect:+.3f} ({part.direction})",
            interval(part.interval),
            f"{part.p_adjusted:.1g}",
        )
    return table


def _comparison_table(candidates: Sequence[CandidateReport], baseline: str) -> Table:
    table = _table(
        f"on the same rows, differences to {baseline}", "calibrator", "nll", "Δ nll", "Δ brier", "ece"
    )
    for part in candidates:
        table.add_row(
            escape(part.name),
            figure(part.metrics.nll),
            _difference(part.differences.get("nll")),
            _difference(part.differences.get("brier")),
            figure(part.metrics.ece, 3),
        )
    return table


def _difference(found: Difference | None) -> str:
    if found is None:
        return "-"
    colour = {True: "green", False: "red", None: "default"}[found.better]
    low, high = found.interval
    return f"[{colour}]{found.value:+.4f}[/] [{low:+.4f}, {high:+.4f}]".replace(
        " [", " \\[", 1
    )


def _gates_table(report: Report) -> Table:
    table = _table("gates", "gate", "slice", "result", "why")
    for gate in report.gates:
        table.add_row(
            gate.metric,
            escape(gate.slice),
            f"[{COLOURS.get(gate.status, 'yellow')}]{gate.status}[/]",
            escape(gate.sentence),
        )
    return table

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
WORDS = frozenset({"read as", "why"})
"""Columns of sentences: they wrap."""


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
    _print_notes(out, report)


def _print_notes(out: Console, report: Report) -> None:
    """Print notes on all rows; those on slices and periods are many and in the JSON report."""
    overall = [
        note for note in report.notes if not note.pointer.startswith(("/slices", "/periods"))
    ]
    for note in overall:
        out.print(f"[dim]note: {escape(note.reason)}[/]")
    if more := len(report.notes) - len(overall):
        out.print(f"[dim]{more} notes on slices and periods: see --json[/]")


def figure(value: float | None, digits: int = 4) -> str:
    """Return a figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}g}"


def interval(ends: tuple[float, float] | None) -> str:
    """Return an interval in brackets."""
    return "" if ends is None else f"[{ends[0]:.3g}, {ends[1]:.3g}]"


def _fixed(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _gap(value: float | None, ends: tuple[float, float] | None) -> str:
    """Return a signed figure with half the width of its interval."""
    if value is None:
        return "-"
    return f"{value:+.3f}" + ("" if ends is None else f" ± {(ends[1] - ends[0]) / 2:.3f}")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        # words at the ends may be cut short on a narrow screen, figures never
        words = position == 0 or column in WORDS
        table.add_column(
            column,
            justify="left" if words else "right",
            overflow="ellipsis",
            no_wrap=column not in WORDS,
            min_width=None if words else len(column),
        )
    return table


def _metrics_table(report: Report) -> Table:
    table = _table(f"{report.metrics.n:,} labelled rows", "", "value", "95 %", "read as")
    m = report.metrics
    floor = m.ece_noise_floor
    chance = "" if floor is None else f"by chance {floor.mean:.3f} to {floor.p95:.3f}"
    for name, value, hint in (
        ("ece", m.ece, chance),
        ("rmsce_debiased", m.rmsce_debiased, "RMS error, noise removed"),
        ("bias", m.bias, "score minus rate"),
        ("mce", m.mce, "" if m.mce_count is None else f"of a bin with {m.mce_count:,} rows"),
        ("calibration_slope", m.calibration_slope, "< 1: over-confident"),
        ("calibration_intercept", m.calibration_intercept, "> 0: scores too low"),
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
    table = _table(title, "slice", "n", "score", "rate", "score - rate", "ece", "by chance")
    for name, m in parts:
        floor = m.ece_noise_floor
        table.add_row(
            escape(name.partition("=")[2] if name.count("=") == 1 else name),
            f"{m.n:,}",
            _fixed(m.mean_score),
            _fixed(m.base_rate),
            _gap(m.bias, m.intervals.get("bias")),
            _fixed(m.ece),
            "-" if floor is None else _fixed(floor.mean),
        )
    return table


def _worst_table(worst: Sequence[WorstSlice]) -> Table:
    table = _table(
        "worst slices, corrected for having looked at all", "slice", "n", "score - rate", "", "p"
    )
    for part in worst[:MAX_SLICES]:
        table.add_row(
            escape(part.name),
            f"{part.n:,}",
            _gap(part.effect, part.interval),
            part.direction,
            f"{part.p_adjusted:.0e}",
        )
    return table


def _comparison_table(candidates: Sequence[CandidateReport], baseline: str) -> Table:
    table = _table(
        f"on the same rows, differences to {baseline}",
        "calibrator",
        "log loss",
        "Δ log loss",
        "Δ brier",
        "ece",
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
    half = (found.interval[1] - found.interval[0]) / 2
    return f"[{colour}]{found.value:+.4f}[/] ± {half:.4f}"


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

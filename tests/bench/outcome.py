"""What was measured, for eyes and for files."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from tests.bench.footprint import Bar
from tests.bench.measured import Effort, Result
from tests.bench.rounds import Timing, ratio

RESULTS = Path(__file__).parent / "results"


def table(result: Result) -> Table:
    """Draw one case: medians, ratios to the first contender, and whether results agree."""
    load = os.getloadavg()[0]
    drawn = Table(
        title=f"{result.key}: {result.title}",
        caption=f"{_verdict(result)}load {load:.1f}",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    drawn.add_column("contender")
    drawn.add_column(f"CPU a {result.unit}", justify="right")
    drawn.add_column("ratio (rounds)", justify="right")
    drawn.add_column("figures, versions")
    for timing in result.timings:
        drawn.add_row(timing.name, *_cells(result, timing))
    return drawn


def _cells(result: Result, timing: Timing) -> tuple[str, str, str]:
    versions = ", ".join(f"{name} {version}" for name, version in timing.versions.items())
    if not timing.cpu:
        return "-", "-", f"[yellow]not measured: {timing.missing}[/]"
    ours = result.timings[0]
    against = ""
    if ours.cpu and timing is not ours:
        found = ratio(ours, timing)
        against = f"{found.median:.2f}x ({found.low:.2f}-{found.high:.2f})"
    if timing.wrong:
        return duration(timing.median), against, f"[red]wrong: {timing.wrong}[/]"
    shown = ", ".join(f"{name} {value:.6g}" for name, value in timing.figures.items())
    return duration(timing.median), against, f"{shown}\n[dim]{versions}[/]"


def _verdict(result: Result) -> str:
    if result.target is None:
        return ""
    sign = "at most" if result.at_most else "at least"
    if result.reached is None:
        return f"target {sign} {result.target:g}x: not measured; "
    met = result.reached <= result.target if result.at_most else result.reached >= result.target
    word = "met" if met else "MISSED"
    return f"target {sign} {result.target:g}x: {result.reached:.2f}x, {word}; "


def duration(seconds: float) -> str:
    """Return seconds with a unit that suits them."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def bars_table(bars: Sequence[Bar]) -> Table:
    """Draw figures with the bars they are meant to stay under."""
    drawn = Table(title="footprint", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("what", "value", "bar", ""):
        drawn.add_column(column)
    for bar in bars:
        word = "under it" if bar.value <= bar.bar else "[red]OVER[/]"
        note = f"{word}; {bar.note}" if bar.note else word
        drawn.add_row(bar.name, f"{bar.value:.3g} {bar.unit}", f"{bar.bar:g} {bar.unit}", note)
    return drawn


def write(
    results: Sequence[Result], bars: Sequence[Bar], effort: Effort, folder: Path = RESULTS
) -> Path:
    """Write everything that was measured as JSON; return the file."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    content = {
        "machine": {
            "cpu": _processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "python": platform.python_version(),
        },
        "effort": asdict(effort),
        "cases": [_case(result) for result in results],
        "bars": [asdict(bar) for bar in bars],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _case(result: Result) -> dict[str, Any]:
    ours = result.timings[0]
    return {
        "key": result.key,
        "title": result.title,
        "target": result.target,
        "at_most": result.at_most,
        "reached": result.reached,
        "judged": result.judged,
        "unit": result.unit,
        "contenders": [
            {
                **asdict(timing),
                "median": timing.median if timing.cpu else None,
                "ratio": asdict(ratio(ours, timing)) if ours.cpu and timing.cpu else None,
            }
            for timing in result.timings
        ],
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()

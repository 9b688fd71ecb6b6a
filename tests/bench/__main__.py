"""`python -m tests.bench`: measure, print a table, write JSON; nothing absolute is asserted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from rich.console import Console
from tests.bench import cases, footprint, measured, outcome, serving
from tests.bench.footprint import Bar
from tests.bench.measured import Effort, Result

FOOTPRINT = "footprint"
WIDTH = 150
"""Columns of the tables where there is no terminal to ask."""
TITLES = {
    **{case.key: f"{case.title}, {case.rows:,} rows" for case in cases.CASES},
    FOOTPRINT: "the API process: import, resident memory",
    **{case.key: case.title for case in serving.CASES},
}


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; return the exit code."""
    options = _options(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    if options.list:
        for key, title in TITLES.items():
            console.print(f"{key:15} {title}", highlight=False)
        return 0
    keys = options.only.split(",") if options.only else list(TITLES)
    if unknown := [key for key in keys if key not in TITLES]:
        console.print(f"There is no case {', '.join(unknown)}; --list shows them.")
        return 2
    effort = Effort(rounds=options.rounds or 5)
    if options.quick:
        effort = Effort(rounds=options.rounds or 3, seconds=0.1, share=0.1)
    results, bars = _measure(keys, effort, console)
    if bars:
        console.print(outcome.bars_table(bars))
    path = outcome.write(results, bars, effort)
    console.print(f"written to {path.relative_to(path.parents[3])}", highlight=False)
    return 0


def _measure(
    keys: Sequence[str], effort: Effort, console: Console
) -> tuple[list[Result], list[Bar]]:
    say = partial(console.print, markup=False, highlight=False)
    results: list[Result] = []
    bars: list[Bar] = []
    for case in cases.CASES:
        if case.key in keys:
            results.append(measured.run(case, effort, say))
            console.print(outcome.table(results[-1]))
    if FOOTPRINT in keys:
        bars.append(footprint.importing(effort.rounds))
    for served in serving.CASES:
        if served.key in keys and sys.platform != "linux":
            say(f"skipped {served.key}: cores are pinned and processes counted on Linux only")
        elif served.key in keys:
            result, more = serving.run(served, effort, say)
            results.append(result)
            bars += more
            console.print(outcome.table(result))
    return results, bars


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("--list", action="store_true", help="show the cases and stop")
    parser.add_argument("--only", help="comma-separated cases")
    parser.add_argument("--rounds", type=int, help="alternating rounds (5)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, 3 rounds")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

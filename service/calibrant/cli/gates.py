"""Gates from a TOML file, and their results as exit code, JUnit XML and Markdown."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec

from calibrant.errors import BadRequest, Unusable
from calibrant.operations.evaluate.report import Gate, GateResult, Report

PASS, FAIL, INCONCLUSIVE = 0, 1, 2
"""Exit codes of `calibrant evaluate --gate`; anything that goes wrong before is 3."""


class GateFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`[[gate]]` tables."""

    gate: list[dict[str, Any]]


def read_gates(path: Path) -> tuple[Gate, ...]:
    """Read the gates of a TOML file.

    Raises
    ------
    BadRequest
        If it is not TOML.
    Unusable
        If a field is unknown, of the wrong type, or a gate has no bar.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadRequest(f"`{path}` cannot be read as TOML: {error}") from error
    try:
        raw = msgspec.convert(found, GateFile, strict=True).gate
        gates = tuple(msgspec.convert(one, Gate, strict=True) for one in raw)
    except msgspec.ValidationError as error:
        raise Unusable(f"`{path}`: {error}. A gate looks like {EXAMPLE!r}.") from error
    known = {field.name for field in fields(Gate)}
    if any(set(one) - known for one in raw):  # a slip of the pen must not move a bar
        raise Unusable(f"`{path}`: a [[gate]] has {', '.join(sorted(known))}, and nothing else.")
    bars = [[bar for bar in (gate.min, gate.max) if bar is not None] for gate in gates]
    if not all(bars) or not gates or not all(math.isfinite(bar) for both in bars for bar in both):
        raise Unusable(f"`{path}`: every [[gate]] needs a `max` or a `min`, a finite number.")
    return gates


EXAMPLE = '[[gate]] metric = "rmsce_debiased" max = 0.05 slices = ["origin"]'


def exit_code(results: Sequence[GateResult]) -> int:
    """Return 1 if any gate fails, else 2 if any is inconclusive, else 0."""
    states = {result.status for result in results}
    if "fail" in states:
        return FAIL
    return INCONCLUSIVE if "inconclusive" in states else PASS


def junit(report: Report, *, name: str) -> str:
    """Return the gates as a JUnit document: an inconclusive gate is an error, not a failure."""
    counts = [result.status for result in report.gates]
    suite = ElementTree.Element(
        "testsuite",
        name=name,
        tests=str(len(counts)),
        failures=str(counts.count("fail")),
        errors=str(counts.count("inconclusive")),
    )
    for result in report.gates:
        case = ElementTree.SubElement(
            suite, "testcase", classname="calibrant", name=f"{result.metric} on {result.slice}"
        )
        if result.status == "fail":
            ElementTree.SubElement(case, "failure", message=result.sentence)
        elif result.status == "inconclusive":
            ElementTree.SubElement(case, "error", message=result.sentence)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def markdown(report: Report, *, name: str) -> str:
    """Return verdict and gates for a merge request or a job summary."""
    marks = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "❔ inconclusive"}
    lines = [f"## Calibration of {name}", "", f"**{report.verdict.sentence}**", ""]
    if report.verdict.finding:
        lines += [report.verdict.finding, ""]
    if report.gates:
        lines += ["| gate | slice | result | value | why |", "|---|---|---|---|---|"]
        lines += [
            f"| `{g.metric}` {_bar(g)} | {_cell(g.slice)} | {marks[g.status]} | {_figure(g.value)} "
            f"| {_cell(g.sentence)} |"
            for g in report.gates
        ]
        lines.append("")
    return "\n".join(lines)


def _bar(result: GateResult) -> str:
    bars = [f"≤ {result.max:g}"] if result.max is not None else []
    return ", ".join(bars + ([f"≥ {result.min:g}"] if result.min is not None else []))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

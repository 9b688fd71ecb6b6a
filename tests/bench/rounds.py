"""Alternating rounds and what is read from them: medians of CPU time, medians of ratios."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

MOST_REPEATS = 40

Measure = Callable[[int], tuple[list[float], dict[str, float]]]
"""Runs something so often; answers CPU seconds of each, and its figures."""


@dataclass(slots=True)
class Timing:
    """What one contender did in one case.

    Attributes
    ----------
    cpu : list of float
        Seconds a call, one per round: the median of the round's repeats.
    figures : dict
        What the last call computed.
    wrong : str
        How its figures differ from the reference; empty where they agree.
    missing : str
        Why it was not measured; empty where it was.
    """

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    cpu: list[float] = field(default_factory=list)
    repeats: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    wrong: str = ""
    missing: str = ""

    @property
    def median(self) -> float:
        """Median CPU seconds a call."""
        return statistics.median(self.cpu)


def alternate(contenders: Sequence[tuple[Timing, Measure]], *, rounds: int, seconds: float) -> None:
    """Measure contenders in turn, A, B, A, B, and fill their timings.

    Parameters
    ----------
    contenders : sequence of (Timing, Measure)
    rounds : int
    seconds : float
        CPU time that a contender's repeats of one round should take together.
    """
    for timing, measure in contenders:
        measure(1)  # compiles, fills caches
        spent, timing.figures = measure(1)
        timing.repeats = min(max(math.ceil(seconds / max(spent[0], 1e-9)), 1), MOST_REPEATS)
    for _ in range(rounds):
        for timing, measure in contenders:
            spent, timing.figures = measure(timing.repeats)
            timing.cpu.append(statistics.median(spent))


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the CPU of the first the second takes, over rounds of one run."""

    median: float
    low: float
    high: float


def ratio(ours: Timing, other: Timing) -> Ratio:
    """Return other / ours, round by round: what disturbs a round disturbs both."""
    each = [b / a for a, b in zip(ours.cpu, other.cpu, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


def disagreement(figures: Mapping[str, float], expected: Mapping[str, tuple[float, float]]) -> str:
    """Say which figures are off by more than their relative tolerance.

    Parameters
    ----------
    expected : mapping of figure to (value, relative tolerance)
        Figures that a contender does not compute are not held against it.
    """
    off = []
    for name, (value, tolerance) in expected.items():
        found = figures.get(name)
        if found is not None and not abs(found - value) <= tolerance * abs(value):
            off.append(f"{name} {found:.6g}, right is {value:.6g}")
    return "; ".join(off)

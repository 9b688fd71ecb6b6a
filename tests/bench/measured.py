"""Run cases: make the rows, start the contenders, alternate, compare with what is right."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.bench import environments
from tests.bench.cases import Case, Contender
from tests.bench.process import RUNNERS, Broken, Runner
from tests.bench.rounds import Measure, Timing, alternate, disagreement, ratio
from tests.bench.samples import Arrays

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
    seconds : float
        CPU time of one contender's repeats in one round.
    share : float
        Part of the rows to take.
    """

    rounds: int = 5
    seconds: float = 0.3
    share: float = 1.0


@dataclass(slots=True)
class Result:
    """The timings of one case; `unit` says what a call is."""

    key: str
    title: str
    timings: list[Timing]
    target: float | None = None
    at_most: bool = False
    judged: tuple[str, ...] = ()
    unit: str = "call"

    @property
    def reached(self) -> float | None:
        """The ratio that the target is about: to the fastest correct rival; None without one."""
        ours = self.timings[0]
        rivals = [t for t in self.timings if t.name in self.judged and t.cpu and not t.wrong]
        if not ours.cpu or not rivals:
            return None
        ratios = [ratio(ours, rival).median for rival in rivals]
        return 1 / min(ratios) if self.at_most else min(ratios)


def run(case: Case, effort: Effort, say: Say, *, runners: Path = RUNNERS) -> Result:
    """Measure one case; contenders that cannot take part are said and left out."""
    rows = int(case.rows * effort.share)
    arrays = case.arrays(rows)
    timings = [Timing(contender.name) for contender in case.contenders]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="calibrant-bench-"))
        paths = _saved(arrays, Path(folder))
        taking_part: list[tuple[Timing, Measure]] = []
        for contender, timing in zip(case.contenders, timings, strict=True):
            runner = _started(contender, paths, timing, runners, say)
            if runner is not None:
                stack.enter_context(runner)
                taking_part.append((timing, runner.run))
        alternate(taking_part, rounds=effort.rounds, seconds=effort.seconds)
    expected = {} if case.expected is None else case.expected(arrays)
    for timing in timings:
        timing.wrong = disagreement(timing.figures, expected)
    return Result(
        case.key,
        f"{case.title}, {rows:,} rows",
        timings,
        target=case.target,
        judged=tuple(t.name for t in timings if case.judged(t.name)),
    )


def _saved(arrays: Arrays, folder: Path) -> Mapping[str, Path]:
    paths = {name: folder / f"{name}.npy" for name in arrays}
    for name, path in paths.items():
        np.save(path, arrays[name])
    return paths


def _started(
    contender: Contender, paths: Mapping[str, Path], timing: Timing, runners: Path, say: Say
) -> Runner | None:
    """Start a contender and call it once; say why where that fails."""
    try:
        python = environments.python(contender.environment, say)
        runner = Runner(python, runners / contender.runner, contender.case, paths)
        timing.versions = runner.versions
        try:
            runner.run(1)
        except Broken:
            runner.close()
            raise
    except (environments.Unavailable, Broken) as error:
        timing.missing = str(error)
        say(f"skipped {contender.name}: {error}")
        return None
    return runner

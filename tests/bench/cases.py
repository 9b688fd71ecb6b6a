"""What is measured against whom, and the ratio each case is meant to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench import samples
from tests.bench.samples import Arrays, Expected


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a case: a case name of a runner file, run in an environment."""

    name: str
    environment: str
    runner: str
    case: str


@dataclass(frozen=True, slots=True)
class Case:
    """Work given to several contenders, the first of which is ours.

    Attributes
    ----------
    rows : int
        Rows in full; a quick run takes a tenth.
    expected : callable or None
        Arrays to the figures that are right.
    target : float or None
        Times the CPU of the first contender that the fastest correct rival should take.
    rivals : tuple of str
        Names that the target is about; empty: every contender but the first.
    """

    key: str
    title: str
    rows: int
    arrays: Callable[[int], Arrays]
    contenders: tuple[Contender, ...]
    expected: Callable[[Arrays], Expected] | None = None
    target: float | None = None
    rivals: tuple[str, ...] = ()

    def judged(self, name: str) -> bool:
        """Whether the target is about this contender."""
        return name in self.rivals if self.rivals else name != self.contenders[0].name


def _ours(case: str, name: str = "calibrant") -> Contender:
    return Contender(name, "calibrant", "ours.py", case)


def _torchmetrics(name: str, case: str) -> Contender:
    return Contender(name, "torchmetrics", "peer_torchmetrics.py", case)


TEMPERATURE = (
    _ours("temperature"),
    Contender("scikit-learn float32", "scikit-learn", "peer_sklearn.py", "temperature32"),
    Contender("scikit-learn float64", "scikit-learn", "peer_sklearn.py", "temperature64"),
    Contender("netcal float32", "netcal", "peer_netcal.py", "temperature32"),
    Contender("netcal float64", "netcal", "peer_netcal.py", "temperature64"),
    Contender("probmetrics", "probmetrics", "peer_probmetrics.py", "temperature"),
)

CASES = (
    Case(
        "ece",
        "ECE, MCE, counts: binary probabilities",
        1_000_000,
        samples.binary,
        (
            _ours("binary"),
            _ours("binary_rows", "calibrant, NLL and Brier as well"),
            _torchmetrics("torchmetrics ECE", "binary"),
            _torchmetrics("torchmetrics ECE, unchecked", "binary_unchecked"),
            _torchmetrics("torchmetrics ECE and MCE", "binary_both"),
        ),
        expected=samples.right_binary,
        target=9.0,
        rivals=("torchmetrics ECE",),
    ),
    Case(
        "logits",
        "ECE, MCE, NLL, Brier: 10 logits a row",
        1_000_000,
        samples.logits,
        (
            _ours("logits"),
            _torchmetrics("torchmetrics ECE", "multiclass"),
            _torchmetrics("torchmetrics ECE + torch", "logits_all"),
        ),
        expected=samples.right_logits,
        target=7.0,
        rivals=("torchmetrics ECE",),
    ),
    Case(
        "wide",
        "ECE, row sums checked: 1,000 probabilities a row",
        50_000,
        samples.probabilities,
        (
            _ours("probabilities"),
            Contender("netcal", "netcal", "peer_netcal.py", "ece"),
            _torchmetrics("torchmetrics", "multiclass"),
        ),
        expected=samples.right_probabilities,
        target=6.0,
        rivals=("netcal",),
    ),
    Case(
        "temperature",
        "temperature: 10 logits a row",
        50_000,
        samples.logits,
        TEMPERATURE,
        expected=samples.right_temperature,
        target=10.0,
    ),
    Case(
        "temperature-1m",
        "temperature: 10 logits a row",
        1_000_000,
        samples.logits,
        TEMPERATURE,
        expected=samples.right_temperature,
        target=20.0,
    ),
    Case(
        "isotonic",
        "isotonic regression",
        1_000_000,
        samples.binary,
        (
            _ours("isotonic"),
            Contender("scikit-learn float32", "scikit-learn", "peer_sklearn.py", "isotonic32"),
            Contender("scikit-learn float64", "scikit-learn", "peer_sklearn.py", "isotonic64"),
        ),
        target=5.0,
    ),
    Case(
        "interval",
        "interval, noise floor, bootstrap from the state of the bins",
        1_000_000,
        samples.binary,
        (
            _ours("interval", "calibrant, state of these rows"),
            _ours("interval_few", "calibrant, of their first hundredth"),
            _ours("interval_many", "calibrant, of a hundred times as many"),
        ),
    ),
    Case(
        "report",
        "report, 50 slices (Evidently: one, of all rows)",
        1_000_000,
        samples.sliced,
        (
            _ours("report"),
            Contender("Evidently preset", "evidently", "peer_evidently.py", "report"),
        ),
        expected=samples.right_binary,
        target=10.0,
    ),
)

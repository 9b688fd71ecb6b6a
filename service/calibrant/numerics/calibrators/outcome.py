"""What a fit answers: a calibrator, how it went, and what was measured on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from calibrant.numerics.calibrators.model import Calibrator

Status: TypeAlias = Literal[
    "ok",
    "at_bound",
    "unidentifiable",
    "no_gain",
    "single_class",
    "too_few_rows",
    "not_converged",
]

STATUS_TEXT: Mapping[Status, str] = {
    "ok": "The fit converged at an interior optimum.",
    "at_bound": (
        "The best parameter lies at its bound: the scores separate the labels perfectly, or rank "
        "them no better than chance. The stored value is clamped; it is not served unless forced. "
        "More rows, or a look at how scores and labels were joined, would help."
    ),
    "unidentifiable": (
        "All rows have the same scores, so no map can be learned from them; identity is stored. "
        "Check that the scores are the model's output."
    ),
    "no_gain": (
        "No calibrator beats leaving the scores as they are; identity is stored. That is a "
        "result: these rows give no reason to change anything."
    ),
    "single_class": "The labels are all of one class; identity is stored. Bring rows of others.",
    "too_few_rows": "There are fewer rows than this kind needs; identity is stored.",
    "not_converged": (
        "The pass limit was reached before an optimum; identity is stored. Try a kind with fewer "
        "parameters, or more rows."
    ),
}
"""One text a status: what it means, likely causes, what to try."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What was measured while fitting.

    Attributes
    ----------
    n : int
        Rows used; rows of weight zero are not counted.
    weight_sum : float
    passes : int
        Evaluations of loss and derivatives over all rows.
    gradient : float or None
        Largest mean derivative of the loss at the last point where it was measured; None for
        kinds with a closed form.
    loss_before, loss_after : float
        Mean negative log likelihood of the fitting rows, in nats, uncalibrated and calibrated by
        what was fitted (also when identity is stored instead). Never a figure to report: the rows
        were used for fitting.
    rank_changed : bool
        Binary: the map does not keep the order of two scores strictly. Multiclass: some row's
        largest class changed.
    notes : mapping of str to plain values
        What only this kind has to say.
    """

    n: int
    weight_sum: float
    passes: int
    gradient: float | None
    loss_before: float
    loss_after: float
    rank_changed: bool
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer of one fit.

    Attributes
    ----------
    kind : str
        What was asked for; `calibrator.kind` is `identity` where the status says so.
    calibrator : Calibrator
    status : Status
    diagnostics : Diagnostics
    """

    kind: str
    calibrator: Calibrator
    status: Status
    diagnostics: Diagnostics

    @property
    def text(self) -> str:
        """What the status means, likely causes and what to try."""
        return STATUS_TEXT[self.status]


@dataclass(frozen=True, slots=True)
class Solution:
    """Parameters of one kind as a solver found them, before they are judged.

    Attributes
    ----------
    params : mapping
        As in `model`; empty with `classes`.
    status : Status
    passes : int
    gradient : float or None
    loss : float or None
        Mean loss at `params` where the solver knows it.
    rank_kept : bool or None
        Whether the map is known to keep every order; None: to be found out on the rows.
    classes : tuple of Calibrator
    notes : mapping
    """

    params: Mapping[str, Any]
    status: Status = "ok"
    passes: int = 0
    gradient: float | None = None
    loss: float | None = None
    rank_kept: bool | None = None
    classes: tuple[Calibrator, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

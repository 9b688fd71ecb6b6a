"""Why a figure is missing, and what else a reader must know: said once, not per slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibrant.numerics.logistic import Slopes
from calibrant.numerics.undefined import reason
from calibrant.operations.evaluate.collect import Collected
from calibrant.operations.evaluate.names import BY_JSON
from calibrant.operations.evaluate.report import OPTIONAL_FIELDS, Metrics, Note

HEADLINE = (
    "base_rate",
    "mean_score",
    "oe_ratio",
    "accuracy",
    "nll",
    "brier",
    "ece",
    "ece_noise_floor",
    "rmsce_debiased",
    "rmsce_interval",
    "mce",
    "bias",
    "calibration_slope",
    "calibration_intercept",
    "auroc",
)

_WORDS = {
    "empty": "there is no labelled row",
    "single_class": "the outcomes are all of one class",
    "too_few_rows": "there are too few rows",
    "separable": "a threshold on the score parts the outcomes, so that there is no finite value",
    "no_variation": "all scores are equal",
    "not_converged": "the fit did not converge",
    "too_large": "there are too many rows times classes to rank",
    "no_interval": "it has no interval here",
}


def about_rows(held: Collected) -> tuple[Note, ...]:
    """Say which rows count for nothing, or count otherwise than they came."""
    clipped = renormalised = 0
    if held.rows is not None:
        clipped, renormalised = held.rows.n_clipped, held.rows.n_renormalised
    said = (
        (
            "unlabelled",
            "/metrics/n_unlabelled",
            len(held.unlabelled),
            "without a label: counted and excluded",
        ),
        ("weightless", "/metrics/n", held.n_weightless, "with weight zero: excluded"),
        (
            "clipped",
            "/metrics/nll",
            clipped,
            "with a probability of 0 or 1: clipped to 2.2e-16 for the log loss",
        ),
        (
            "renormalised",
            "/metrics",
            renormalised,
            "whose probabilities do not sum to 1: divided by their sum",
        ),
        (
            "fallback",
            "/calibrator",
            held.n_fallback,
            "of a slice that the calibrator never saw: they got its pooled fit",
        ),
    )
    found = [
        Note(
            code=code,
            pointer=pointer,
            reason=f"{count:,} row{'s' if count != 1 else ''} {words}.",
        )
        for code, pointer, count, words in said
        if count
    ]
    if held.clusters is not None:
        reason = (
            "Intervals, noise floor and debiased error allow for dependence inside "
            f"{len(np.unique(held.clusters)):,} groups; mce and auroc have no interval then."
        )
        found.append(Note(code="clustered", pointer="/metrics/intervals", reason=reason))
    return tuple(found)


def missing(
    metrics: Sequence[Metrics],
    names: Sequence[str],
    slopes: Slopes | None,
    *,
    pointer: str,
    optional: Sequence[str] = (),
    too_large: bool = False,
) -> tuple[Note, ...]:
    """Say why headline and asked-for figures are missing.

    Parameters
    ----------
    metrics : sequence of Metrics
    names : sequence of str
        Of the slices; one note stands for all slices that lack a figure for the same reason.
    slopes : Slopes, or None
        Of the same slices.
    pointer : str
        `/metrics`, or `/slices` or `/periods` for several.
    optional : sequence of str
        Optional metrics that every one of them should hold.
    too_large : bool
        Whether the classes were too many to rank.
    """
    fields = [*HEADLINE, *(name for metric in optional for name in OPTIONAL_FIELDS[metric])]
    found: dict[tuple[str, str], list[str]] = {}
    for s, held in enumerate(metrics):
        for name in fields:
            if getattr(held, name) is None:
                status = None if slopes is None else slopes.status[s]
                code = _reason(name, held, status, too_large=too_large)
                found.setdefault((name, code), []).append(names[s])
    alone = pointer == "/metrics"
    return tuple(
        Note(
            code=code,
            pointer=f"/metrics/{name}" if alone else pointer,
            reason=_sentence(name, code, () if alone else listed),
        )
        for (name, code), listed in found.items()
    )


def _reason(name: str, metrics: Metrics, status: str | None, *, too_large: bool) -> str:
    if metrics.n == 0:
        return "empty"
    if name in {"calibration_slope", "calibration_intercept"} and status not in {None, "ok"}:
        return str(status)
    if name == "auroc" and too_large:
        return "too_large"
    rate = metrics.base_rate or 0.0
    return reason(name, metrics.n, rate * metrics.n)


def _sentence(name: str, code: str, slices: Sequence[str]) -> str:
    what = BY_JSON[name].text
    if not slices:
        return f"No {what}: {_WORDS[code]}."
    shown = ", ".join(slices[:3]) + (", ..." if len(slices) > 3 else "")
    return f"No {what} in {len(slices):,} of these ({shown}): {_WORDS[code]}."

"""From the body of a fit to what operations are asked for."""

from __future__ import annotations

import msgspec

from calibrant.api.rows import data_of
from calibrant.errors import Detail, Unusable
from calibrant.operations.context import Context
from calibrant.operations.fit import Recipe
from calibrant.operations.fits import FitSpec
from calibrant.operations.holdout import Holdout
from calibrant.wire.requests import FitRequest


def fit_spec(context: Context, name: str, asked: FitRequest) -> FitSpec:
    """Return the specification of a fit; inline rows are stored for the job.

    Raises
    ------
    Unusable
        If rows are both held out and given to be judged on.
    """
    if asked.holdout is not None and asked.evaluate_on is not None:
        raise Unusable(
            "The fit is judged on held-out rows or on `evaluate_on`, not on both.",
            [Detail("/holdout", "Not together with `evaluate_on`.")],
        )
    judged = asked.evaluate_on
    recipe = Recipe(
        task=asked.task,
        score_kind=asked.score_kind,
        method=asked.method,
        per_slice=tuple(asked.per_slice),
        options=asked.options,
        force=asked.force,
    )
    return FitSpec(
        name=name,
        data=data_of(asked, asked.task, asked.score_kind, context),
        recipe=recipe,
        holdout=msgspec.convert(msgspec.structs.asdict(asked.holdout), Holdout)
        if asked.holdout is not None
        else Holdout(),
        evaluate_on=None
        if judged is None
        else data_of(judged, asked.task, asked.score_kind, context),
        alias=asked.alias,
        allow_overlap=asked.allow_overlap,
    )

"""From the rows of a request to what operations take: predictions, or a reference to rows."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import msgspec

from calibrant.errors import TooLarge, Unusable
from calibrant.operations.batch import predictions_from
from calibrant.operations.context import Context
from calibrant.operations.data import Data, keep_inline
from calibrant.settings import Settings
from calibrant.wire.columns import Columns
from calibrant.wire.requests import Rows, ScoreKind, Task

if TYPE_CHECKING:
    from calibrant.numerics.predictions import Predictions


def predictions_of(rows: Rows, settings: Settings) -> Predictions:
    """Return inline rows as predictions.

    Raises
    ------
    Unusable
        If there are none.
    """
    columns = rows.inline()
    if columns is None:
        raise Unusable("The rows of a data set are read by a worker.")
    given: dict[str, Any] = {field.name: getattr(columns, field.name) for field in fields(Columns)}
    return predictions_from(**given, limits=settings)


def data_of(rows: Rows, task: Task, score_kind: ScoreKind, context: Context) -> Data:
    """Return a reference to rows that a job can carry; inline rows are stored for it."""
    if rows.inline() is not None:
        predictions = predictions_of(rows, context.settings)
        return keep_inline(context, predictions, task=task, score_kind=score_kind)
    columns = msgspec.structs.asdict(rows.columns) if rows.columns is not None else None
    return msgspec.convert(
        {"task": task, "score_kind": score_kind, "dataset": rows.dataset, "columns": columns}, Data
    )


def limit_slices(asked: int | None, settings: Settings) -> int:
    """Return how many slices a report may have.

    Raises
    ------
    TooLarge
        If more are asked for than the service allows.
    """
    if asked is not None and asked > settings.max_slices:
        raise TooLarge(f"A report has at most {settings.max_slices:,} slices.")
    return asked or settings.max_slices

"""Split rows into those a calibrator is fitted on and those it is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Unusable
from calibrant.numerics.predictions import Predictions
from calibrant.operations.identity import text_identities


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """How rows are held out.

    Attributes
    ----------
    fraction : float in (0, 1)
        Share of the rows (of the groups with `by="group"`) that is held out.
    by : {"hash", "time", "group"}
        `hash`: by row identity, the same rows every time. `time`: the latest rows. `group`: whole
        groups, by the hash of their name.
    """

    fraction: float = 0.3
    by: Literal["hash", "time", "group"] = "hash"


def held_out(rows: Predictions, identities: NDArray[np.uint64], rule: Holdout) -> NDArray[np.bool_]:
    """Return which rows are held out.

    Raises
    ------
    Unusable
        If the column that the rule needs is missing, or one side would be empty.
    """
    if not 0 < rule.fraction < 1:
        raise Unusable("`holdout.fraction` must lie between 0 and 1, both excluded.")
    mask = {"hash": _by_hash, "time": _by_time, "group": _by_group}[rule.by](
        rows, identities, rule.fraction
    )
    if mask.all() or not mask.any():
        raise Unusable(
            f"A holdout of {rule.fraction:g} by {rule.by} leaves no rows on one side: send more "
            "rows or another fraction."
        )
    return mask


def _by_hash(
    rows: Predictions, identities: NDArray[np.uint64], fraction: float
) -> NDArray[np.bool_]:
    del rows
    return np.asarray(identities < np.uint64(fraction * 2.0**64), dtype=np.bool_)


def _by_time(
    rows: Predictions, identities: NDArray[np.uint64], fraction: float
) -> NDArray[np.bool_]:
    del identities
    if rows.time is None:
        raise Unusable('`holdout.by = "time"` needs a `time` column.')
    # rows of one instant stay together: a cut through them would leak the instant
    cut = np.sort(rows.time)[int((1 - fraction) * len(rows))]
    return np.asarray(rows.time >= cut, dtype=np.bool_)


def _by_group(
    rows: Predictions, identities: NDArray[np.uint64], fraction: float
) -> NDArray[np.bool_]:
    del identities
    if rows.groups is None:
        raise Unusable('`holdout.by = "group"` needs a `groups` column.')
    chosen = text_identities(rows.groups.values) < np.uint64(fraction * 2.0**64)
    return np.asarray(np.append(chosen, False)[rows.groups.codes], dtype=np.bool_)

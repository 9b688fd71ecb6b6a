"""Refuse to report on rows a calibrator was fitted on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import FittedOnTheseRows
from calibrant.operations.identity import count_overlap
from calibrant.storage.blobs import Blobs
from calibrant.storage.metadata import CalibratorVersion


def fit_rows_blob(identities: NDArray[np.uint64]) -> bytes:
    """Return the identities of fitted rows as they are stored: sorted, little-endian."""
    return np.sort(identities).astype("<u8").tobytes()


def overlap(blobs: Blobs, fitted: CalibratorVersion, rows: NDArray[np.uint64]) -> int:
    """Count the rows that a version was fitted on."""
    if fitted.fit_rows_sha256 is None:
        return 0
    return count_overlap(np.frombuffer(blobs.get(fitted.fit_rows_sha256), dtype="<u8"), rows)


def refuse_overlap(count: int, of: int, what: str, *, allowed: bool) -> None:
    """Raise if rows overlap and that was not allowed.

    Raises
    ------
    FittedOnTheseRows
        With the count and the ways out.
    """
    if count and not allowed:
        raise FittedOnTheseRows(
            f"{count} of {of} rows were used to fit {what}: figures on them are too good to be "
            'true. Send rows it has not seen, or set `"allow_overlap": true`, which stamps the '
            "report `optimistic`."
        )

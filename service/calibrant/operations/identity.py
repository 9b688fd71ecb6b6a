"""Which rows are the same row: identity by id or by place, never by content.

Held-out rows share score and label with fitted rows in most real sets, so equal content says
nothing. A row is known by its `ids` value where there is one, else by its place in the data set
(or in the inline batch) it came from. Identities are 64-bit hashes: among a million rows against
a million others the chance of one false match is 5e-8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.predictions import Predictions

_SPLITMIX = np.uint64(0x9E3779B97F4A7C15)


def row_identities(rows: Predictions, *, source: str, first_row: int = 0) -> NDArray[np.uint64]:
    """Return one identity per row.

    Parameters
    ----------
    rows : Predictions
        With `ids`, they decide and `source` does not matter: the same id is the same row wherever
        it comes from.
    source : str
        Hex digest of the data set or inline batch.
    first_row : int
        Place of the first row in its source.

    Returns
    -------
    uint64 array of shape (n,)
    """
    if rows.ids is not None:
        return text_identities(rows.ids.tolist())
    seed = np.frombuffer(bytes.fromhex(source)[:8], dtype="<u8")[0]
    places = np.arange(first_row, first_row + len(rows), dtype=np.uint64)
    return _mix(places * _SPLITMIX + seed)


def count_overlap(fitted: NDArray[np.uint64], rows: NDArray[np.uint64]) -> int:
    """Count the rows that are among the fitted ones.

    Parameters
    ----------
    fitted : uint64 array
        Sorted identities of the rows a calibrator was fitted on.
    rows : uint64 array of shape (n,)
    """
    if not len(fitted):
        return 0
    place = np.minimum(np.searchsorted(fitted, rows), len(fitted) - 1)
    return int(np.count_nonzero(fitted[place] == rows))


def batch_digest(rows: Predictions) -> str:
    """Return a digest of an ordered inline batch: the source of rows that have no ids."""
    digest = hashlib.sha256()
    for column in (rows.scores, rows.labels, rows.weights):
        if column is not None:
            digest.update(f"{column.dtype.str}{column.shape}".encode())
            digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def text_identities(texts: Iterable[object]) -> NDArray[np.uint64]:
    """Return the identity of each text."""

    def one(value: object) -> bytes:
        return hashlib.blake2b(str(value).encode(), digest_size=8).digest()

    return np.frombuffer(b"".join(map(one, texts)), dtype="<u8")


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # the finaliser of splitmix64: neighbouring places must not give neighbouring identities
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)

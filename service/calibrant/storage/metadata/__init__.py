"""The metadata: who has which data sets, evaluations, calibrators, jobs and keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from calibrant.storage.metadata.audit import Audit, Entry
from calibrant.storage.metadata.calibrators import (
    AliasMove,
    Calibrator,
    Calibrators,
    CalibratorVersion,
)
from calibrant.storage.metadata.database import Clock, Connections, Database, Joined, utc_now
from calibrant.storage.metadata.datasets import Dataset, Datasets
from calibrant.storage.metadata.evaluations import Evaluation, Evaluations
from calibrant.storage.metadata.idempotency import Claim, Idempotency, StoredResponse
from calibrant.storage.metadata.jobs import UNFINISHED, Job, Jobs, State
from calibrant.storage.metadata.keys import SCOPES, Key, Keys, NewKey, Scope
from calibrant.storage.metadata.rows import Page
from calibrant.storage.metadata.schema import metadata as _tables


class Repositories:
    """One repository per noun, all on the same connections."""

    def __init__(self, connections: Connections, pepper: bytes) -> None:
        self.datasets = Datasets(connections)
        self.evaluations = Evaluations(connections)
        self.calibrators = Calibrators(connections)
        self.jobs = Jobs(connections)
        self.keys = Keys(connections, pepper)
        self.audit = Audit(connections)
        self.idempotency = Idempotency(connections)


class Metadata(Repositories):
    """The metadata database; safe to share among threads.

    Parameters
    ----------
    url : str
        SQLAlchemy URL: `sqlite:///` with a file, or `postgresql://`.
    pepper : bytes
        The server's secret for API keys, see `storage.pepper`.
    clock : callable returning an aware datetime
        Where times are read from.

    Raises
    ------
    Unusable
        If the URL names no database that can be used.

    Notes
    -----
    Every call is a transaction of its own; `transaction` makes one of several. On SQLite a
    call returns after its write has reached the disk (`synchronous=FULL`).
    """

    def __init__(self, url: str, *, pepper: bytes, clock: Clock = utc_now) -> None:
        self._database = Database(url, clock=clock)
        self._pepper = pepper
        super().__init__(self._database, pepper)

    def migrate(self) -> None:
        """Bring the tables to this version; processes that come at once wait for each other."""
        self._database.migrate()

    def ping(self) -> None:
        """Raise `Unavailable` unless the database answers."""
        with self._database.read() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[Repositories]:
        """Give repositories whose calls all happen together, or not at all.

        Inside the block use what it gives, not the repositories of `self`: on SQLite the block
        holds the only write lock, so keep it short and store blobs before it.
        """
        with self._database.write() as connection:
            yield Repositories(Joined(connection, self._database.clock), self._pepper)

    def referenced_blobs(self) -> frozenset[str]:
        """Return the hashes of all blobs that any row of any tenant points to."""
        columns = [
            column
            for table in _tables.tables.values()
            for column in table.columns
            if column.name.endswith("sha256") and table.name not in {"audit", "idempotency"}
        ]
        query = sa.union(*(sa.select(column).where(column.is_not(None)) for column in columns))
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())


__all__ = [
    "SCOPES",
    "UNFINISHED",
    "AliasMove",
    "Calibrator",
    "CalibratorVersion",
    "Claim",
    "Dataset",
    "Entry",
    "Evaluation",
    "Job",
    "Key",
    "Metadata",
    "NewKey",
    "Page",
    "Repositories",
    "Scope",
    "State",
    "StoredResponse",
]

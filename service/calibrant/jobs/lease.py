"""Who is alive: a row per worker that it renews every second, on the clock of the database."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from calibrant.storage.metadata.database import Database

# One clock for all hosts: that of the database. (SQLite's own unixepoch with fractions is newer
# than what distributions ship.)
_NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())",
}
_CREATE = (
    "CREATE TABLE IF NOT EXISTS job_leases ("
    "executor_id VARCHAR(255) PRIMARY KEY, life VARCHAR(32) NOT NULL, seen DOUBLE PRECISION NOT NULL)"
)
_CREATE_LOCK = 0x6C656173  # "leas"
_PRUNE_GRACES = 10


class LeaseLost(Exception):
    """The worker was away for too long, or another one took its name: it must end."""


class Lease:
    """The sign of life of one worker, and the view of all others.

    Parameters
    ----------
    database : Database
    executor_id : str
    grace : float, seconds
        Without a renewal for so long, a worker counts as dead.
    max_gap : float, seconds
        A pause between two renewals that is longer starts the waiting of `may_reap` anew.

    Attributes
    ----------
    renewed : float
        Monotonic time of the last renewal.
    """

    def __init__(
        self, database: Database, executor_id: str, *, grace: float, max_gap: float
    ) -> None:
        self._database = database
        self._binds = {
            "me": executor_id,
            "life": secrets.token_hex(16),
            "grace": grace,
            "forgotten": _PRUNE_GRACES * grace,
        }
        self._grace = grace
        self._max_gap = max_gap
        self._steady_since = self.renewed = time.monotonic()

    def claim(self) -> None:
        """Begin: from now on whoever else renews under this name loses its lease."""
        with self._database.write() as connection:
            if connection.dialect.name == "postgresql":  # creating a table twice at once fails
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATE_LOCK})")
            connection.exec_driver_sql(_CREATE)
            self._run(
                connection,
                "INSERT INTO job_leases (executor_id, life, seen) VALUES (:me, :life, {now}) "
                "ON CONFLICT (executor_id) DO UPDATE SET life = :life, seen = {now}",
            )
        self._steady_since = self.renewed = time.monotonic()

    def renew(self) -> None:
        """Show that this worker lives.

        Raises
        ------
        LeaseLost
            If the lease had run out, so that others may have taken over, or somebody else
            claimed this name.
        """
        began = time.monotonic()
        with self._database.write() as connection:
            renewed = self._run(
                connection,
                "UPDATE job_leases SET seen = {now} "
                "WHERE executor_id = :me AND life = :life AND seen > {now} - :grace",
            )
        if renewed.rowcount != 1:
            raise LeaseLost
        if began - self.renewed > self._max_gap:
            self._steady_since = began
        self.renewed = began

    def living(self) -> frozenset[str]:
        """Return who renewed within the grace.

        A worker claims its lease before it takes a job. So read the jobs first and the leases
        after: the owner of a job that is not among them is dead.
        """
        with self._database.read() as connection:
            rows = self._run(
                connection, "SELECT executor_id FROM job_leases WHERE seen > {now} - :grace"
            ).all()
        return frozenset(row[0] for row in rows)

    def may_reap(self) -> bool:
        """Whether this worker renewed without a gap for one full grace.

        After an outage of the database every lease is old; the first worker back would
        otherwise take over the work of all others.
        """
        return self.renewed - self._steady_since >= self._grace

    def prune(self) -> None:
        """Forget workers that died long ago; only after their work was taken over."""
        with self._database.write() as connection:
            self._run(
                connection,
                "DELETE FROM job_leases WHERE seen <= {now} - :forgotten",
            )

    def release(self) -> None:
        """End: others need not wait for the grace."""
        with self._database.write() as connection:
            self._run(connection, "DELETE FROM job_leases WHERE executor_id = :me AND life = :life")

    def _run(self, connection: Connection, statement: str) -> Any:
        """Execute with the clock and the binds of this database."""
        dialect = connection.dialect.name
        text = statement.format(now=_NOW[dialect])
        binds: Mapping[str, Any] = {
            name: value for name, value in self._binds.items() if f":{name}" in text
        }
        if dialect == "postgresql":
            text = re.sub(r":(\w+)", r"%(\1)s", text)
        return connection.exec_driver_sql(text, dict(binds))

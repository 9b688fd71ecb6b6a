"""One engine, two kinds of transactions, and the migration lock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from calibrant.errors import Unavailable, Unusable

Clock = Callable[[], datetime]

MIGRATION_LOCK = 0x63616C69  # "cali": any constant that nobody else uses in the same database
NEWEST_MIGRATION = "0001"
"""The head of `storage/migrations`; a test compares the two."""
CONNECT_SECONDS = 5
BUSY_MILLISECONDS = 30_000
_WRITES = "calibrant_writes"


def utc_now() -> datetime:
    """Return the time of day, aware and in UTC."""
    return datetime.now(UTC)


class Connections(Protocol):
    """Where a repository gets its connection from."""

    @property
    def clock(self) -> Clock:
        """Return the clock that times are read from."""

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that only reads."""

    def write(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that may write; it commits when the block ends well."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Repositories made with this take part in a transaction that is already open."""

    connection: sa.Connection
    clock: Clock

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give the open transaction."""
        yield self.connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give the open transaction; whoever opened it commits."""
        yield self.connection


class Database:
    """The metadata database: SQLite in a file, or PostgreSQL.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; `postgresql://` means psycopg.
    clock : callable returning an aware datetime
    """

    def __init__(self, url: str, *, clock: Clock = utc_now) -> None:
        self.clock = clock
        self._url = _checked(url)
        self._engine = _open(self._url)
        self._writing = self._engine.execution_options(**{_WRITES: True})

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that only reads."""
        with _reported(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write; on SQLite it holds the write lock from the start."""
        with _reported(), self._writing.begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the tables to this version; processes that come at once wait for each other."""
        if self._is_current():  # alembic is heavy, and nearly always there is nothing to do
            return
        # Rebuilding a table on SQLite drops the old one, which with foreign keys on would
        # delete what refers to it: hence an engine of its own, and a check before the commit.
        engine = _open(self._url, foreign_keys=False, poolclass=sa.NullPool)
        try:
            with _reported(), engine.execution_options(**{_WRITES: True}).begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
                _upgrade(connection)
                if connection.dialect.name == "sqlite":
                    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                    assert broken is None, "a migration broke a reference between tables"
        finally:
            engine.dispose()

    def _is_current(self) -> bool:
        """Look whether the newest migration has run."""
        with _reported(), self._engine.begin() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return False
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
            return list(found) == [NEWEST_MIGRATION]

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _checked(url: str) -> sa.URL:
    """Read a database URL and name the driver."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise Unusable("The database URL cannot be read.") from None  # it may hold a password
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise Unusable("The database URL must begin with `sqlite:///` or `postgresql://`.")
    if not parsed.database or parsed.database == ":memory:":
        raise Unusable("SQLite must be a file: several processes share it.")
    return parsed


def _open(url: sa.URL, *, foreign_keys: bool = True, **options: Any) -> sa.Engine:
    """Make an engine with our connection settings."""
    options["json_serializer"] = _to_json
    if url.get_backend_name() == "postgresql":
        options |= {
            "pool_pre_ping": True,
            "connect_args": {"connect_timeout": CONNECT_SECONDS},
        }
        return sa.create_engine(url, **options)
    Path(url.database or "").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = sa.create_engine(url, **options)
    sa.event.listen(engine, "connect", _settings_of_sqlite(foreign_keys=foreign_keys))
    sa.event.listen(engine, "begin", _begin)
    return engine


def _to_json(value: Any) -> str:
    """Write JSON that every database takes: no NaN, no infinities, ASCII only."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _settings_of_sqlite(*, foreign_keys: bool) -> Callable[[Any, ConnectionPoolEntry], None]:
    """Return what to do with each new SQLite connection."""

    def settle(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin where we say, see `_begin`
        for setting in (
            f"busy_timeout={BUSY_MILLISECONDS}",
            "journal_mode=WAL",
            "synchronous=FULL",  # every write here is acknowledged to somebody
            f"foreign_keys={int(foreign_keys)}",
        ):
            connection.execute(f"PRAGMA {setting}").close()

    return settle


def _begin(connection: sa.Connection) -> None:
    """Begin on SQLite; a writer takes the lock at once, since upgrading a read later may fail."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _reported() -> Iterator[None]:
    """Turn the failures of a database that is away, busy or picky into ours."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        raise Unavailable("The metadata database cannot be used right now.") from error
    except (sa.exc.DataError, UnicodeEncodeError) as error:
        raise Unusable("A text is too long or has characters that cannot be stored.") from error
    except sa.exc.DatabaseError as error:
        if type(error) is not sa.exc.DatabaseError:  # its subclasses are mistakes of ours
            raise
        raise Unavailable("The metadata database is damaged, or is not a database.") from error


def _upgrade(connection: sa.Connection) -> None:
    """Run the migrations that are missing, in the open transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "calibrant.storage:migrations")
    config.set_main_option("path_separator", "os")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Unavailable(
            "The metadata database has a schema that this version of calibrant does not know; "
            "it was probably written by a newer one."
        ) from error

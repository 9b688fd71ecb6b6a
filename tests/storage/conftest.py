"""Databases for the storage suite: SQLite always, PostgreSQL from Debian's package (live)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from calibrant.storage.metadata import Metadata

PEPPER = bytes(range(32))


@dataclass
class Clock:
    """A clock that moves when told to."""

    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **step: float) -> None:
        self.now += timedelta(**step)


class Postgres:
    """A private PostgreSQL cluster on a free port."""

    def __init__(self, binaries: Path) -> None:
        # The server refuses to run as root, and its folder must be reachable for its user.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="calibrant-postgres-"))
        if self._user:
            owner = pwd.getpwnam(self._user)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._binaries = binaries
        self._data = self._folder / "data"
        self._run(binaries / "initdb", "-A", "trust", "-U", "calibrant", "-N", "-D", self._data)
        self._count = 0
        self._template = ""
        self.start()

    def start(self) -> None:
        options = ("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
        place = ("-D", self._data, "-p", str(self._port), "-k", self._folder)
        self._server = subprocess.Popen(
            [self._binaries / "postgres", *place, *options],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        self._server.send_signal(how)
        self._server.wait(timeout=30)

    def _run(self, *command: str | Path) -> None:
        subprocess.run(command, user=self._user, cwd=self._folder, check=True, capture_output=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                return self._sql("SELECT 1")
            except sa.exc.OperationalError:
                assert self._server.poll() is None, "PostgreSQL did not start"
                assert time.monotonic() < deadline, "PostgreSQL did not answer in time"
                time.sleep(0.05)

    def _sql(self, statement: str) -> None:
        engine = sa.create_engine(
            self.url("postgres").replace("postgresql:", "postgresql+psycopg:"),
            isolation_level="AUTOCOMMIT",
            poolclass=sa.NullPool,
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def url(self, database: str) -> str:
        return f"postgresql://calibrant@127.0.0.1:{self._port}/{database}"

    def empty(self) -> str:
        """Make a database without tables and return its URL."""
        self._count += 1
        self._sql(f"CREATE DATABASE test_{self._count}")
        return self.url(f"test_{self._count}")

    def migrated(self) -> str:
        """Make a database with our tables and return its URL."""
        if not self._template:
            url = self.empty()
            _migrate(url)
            self._template = f"test_{self._count}"
        self._count += 1
        self._sql(f"CREATE DATABASE test_{self._count} TEMPLATE {self._template}")
        return self.url(f"test_{self._count}")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)


def _migrate(url: str) -> None:
    metadata = Metadata(url, pepper=PEPPER)
    metadata.migrate()
    metadata.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start a private PostgreSQL, or skip visibly where the package is missing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    server = Postgres(found[-1].parent)
    yield server
    server.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "calibrant.sqlite"
    _migrate(f"sqlite:///{file}")
    return file


BACKENDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.live)]


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty' / 'calibrant.sqlite'}"
    url: str = request.getfixturevalue("postgres").empty()
    return url


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a migrated database that nobody else uses."""
    if request.param == "sqlite":
        file = tmp_path / "calibrant.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        return f"sqlite:///{file}"
    url: str = request.getfixturevalue("postgres").migrated()
    return url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metadata(url: str, clock: Clock) -> Iterator[Metadata]:
    opened = Metadata(url, pepper=PEPPER, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def sql(url: str) -> Iterator[Callable[[str], None]]:
    """Run a statement past the repositories, as somebody with the database's password could."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))

    def run(statement: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)

    yield run
    engine.dispose()

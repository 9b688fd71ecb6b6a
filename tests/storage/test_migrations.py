import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from calibrant.errors import Unavailable, Unusable
from calibrant.storage.metadata import Metadata
from calibrant.storage.metadata.database import NEWEST_MIGRATION
from calibrant.storage.metadata.schema import metadata as tables

PEPPER = bytes(32)


def migrate(url):
    metadata = Metadata(url, pepper=PEPPER)
    try:
        metadata.migrate()
        metadata.ping()
        return len(metadata.datasets.page("default").items)
    finally:
        metadata.close()


def test_migrating_makes_the_tables_and_again_changes_nothing(empty_url):
    assert migrate(empty_url) == 0
    assert migrate(empty_url) == 0


def test_the_migrations_build_exactly_the_tables_of_the_schema(url):
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables) == []
    engine.dispose()


def test_every_table_has_a_tenant():
    assert [name for name, table in tables.tables.items() if "tenant" not in table.c] == []


def test_many_may_migrate_at_once(empty_url):
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(migrate, [empty_url] * 4)) == [0] * 4


_MIGRATE = """
import sys
from calibrant.storage.metadata import Metadata
from calibrant.storage.metadata.database import NEWEST_MIGRATION
metadata = Metadata(sys.argv[1], pepper=bytes(32))
sys.stdin.read()
metadata.migrate()
metadata.audit.add("default", who="me", action="start", object="process")
metadata.close()
"""


@pytest.mark.live
def test_four_processes_racing_to_migrate_all_succeed(empty_url):
    racers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _MIGRATE, empty_url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for racer in racers:
        racer.stdin.close()
    complaints = [racer.stderr.read().decode() for racer in racers]
    assert [racer.wait() for racer in racers] == [0] * 4, complaints
    for racer in racers:
        racer.stderr.close()
    metadata = Metadata(empty_url, pepper=PEPPER)
    assert len(metadata.audit.page("default").items) == 4
    metadata.close()


def test_a_failed_migration_leaves_nothing_behind(empty_url):
    engine = sa.create_engine(empty_url.replace("postgresql:", "postgresql+psycopg:"))
    if engine.dialect.name == "sqlite":
        Metadata(empty_url, pepper=PEPPER).close()
    with engine.begin() as connection:  # the name of a table that comes late is taken
        connection.exec_driver_sql("CREATE TABLE idempotency (x integer)")
    with pytest.raises((Unavailable, sa.exc.ProgrammingError)):
        migrate(empty_url)
    assert sa.inspect(engine).get_table_names() == ["idempotency"]
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(url, sql):
    sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unavailable, match="newer"):
        migrate(url)


def test_a_database_that_is_away_is_unavailable():
    metadata = Metadata("postgresql://nobody@127.0.0.1:1/none", pepper=PEPPER)
    with pytest.raises(Unavailable):
        metadata.ping()
    with pytest.raises(Unavailable):
        metadata.migrate()
    metadata.close()


@pytest.mark.parametrize("url", ["", "x", "mysql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_urls_of_no_usable_database_are_refused(url):
    with pytest.raises(Unusable):
        Metadata(url, pepper=PEPPER)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_sqlite_writes_reach_the_disk_before_they_are_acknowledged(metadata):
    with metadata._database.write() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_the_newest_migration_is_the_one_that_is_looked_for() -> None:
    config = Config()
    config.set_main_option("script_location", "calibrant.storage:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST_MIGRATION

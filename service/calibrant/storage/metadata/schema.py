"""The tables of the metadata; `storage/migrations` builds them, a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcTime(TypeDecorator[datetime]):
    """A moment, always in UTC and always aware; SQLite keeps no zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature of SQLAlchemy
        """Refuse naive times and convert the others."""
        if value is None:
            return None
        assert value.tzinfo is not None, "times are kept in UTC: give an aware one"
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature of SQLAlchemy
        """Return an aware time."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


metadata = MetaData(naming_convention=NAMING)


def _tenant(*, primary_key: bool = False) -> Column[str]:
    return Column("tenant", String(63), primary_key=primary_key, nullable=False)


def _sha256(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(64), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, UtcTime, nullable=nullable)


datasets = Table(
    "datasets",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
    Column("name", String(63)),
    _sha256("sha256"),
    _sha256("table_sha256"),
    Column("media_type", Text, nullable=False),
    Column("n_rows", BigInteger, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    _json("columns"),
    Column("job_id", String(40)),
    _time("created"),
    UniqueConstraint("tenant", "job_id"),
    Index(None, "tenant", "id"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
    # No foreign key: a report outlives the data set it was made from.
    Column("dataset_id", String(40)),
    _sha256("inline_sha256", nullable=True),
    _json("headline"),
    _sha256("report_sha256"),
    Column("optimistic", Boolean, nullable=False),
    Column("job_id", String(40)),
    _time("created"),
    UniqueConstraint("tenant", "job_id"),
    Index(None, "tenant", "id"),
)

calibrators = Table(
    "calibrators",
    metadata,
    _tenant(primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("newest", Integer, nullable=False),  # also the lock under which versions are numbered
    _time("created"),
)

calibrator_versions = Table(
    "calibrator_versions",
    metadata,
    _tenant(primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("task", String(20), nullable=False),
    Column("n_classes", Integer, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("method", String(40), nullable=False),
    Column("status", String(40), nullable=False),
    Column("servable", Boolean, nullable=False),
    _sha256("artifact_sha256"),
    _sha256("onnx_sha256", nullable=True),
    _json("certificate", nullable=True),
    _json("summary"),
    _sha256("fit_rows_sha256", nullable=True),
    Column("dataset_id", String(40)),
    Column("job_id", String(40)),
    _time("created"),
    ForeignKeyConstraint(["tenant", "name"], ["calibrators.tenant", "calibrators.name"]),
    UniqueConstraint("tenant", "job_id"),
)

calibrator_aliases = Table(
    "calibrator_aliases",
    metadata,
    _tenant(primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("alias", String(255), primary_key=True),
    Column("version", Integer, nullable=False),
    _time("moved"),
    ForeignKeyConstraint(
        ["tenant", "name", "version"],
        ["calibrator_versions.tenant", "calibrator_versions.name", "calibrator_versions.version"],
    ),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
    Column("operation", String(63), nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("idempotency_key", String(255)),
    Column("state", String(20), nullable=False),
    _json("result", nullable=True),
    _json("error", nullable=True),
    _time("created"),
    _time("finished", nullable=True),
    UniqueConstraint("tenant", "idempotency_key"),
    Index(None, "tenant", "id"),
    Index(None, "state", "id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
    Column("label", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    _json("scopes"),
    _time("created"),
    _time("expires", nullable=True),
    _time("revoked", nullable=True),
    Index(None, "tenant", "id"),
)

audit = Table(
    "audit",
    metadata,
    # SQLite counts by itself only in a column that is exactly INTEGER.
    Column(
        "sequence",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    _tenant(),
    Column("who", Text, nullable=False),
    Column("action", String(63), nullable=False),
    Column("object", Text, nullable=False),
    _sha256("object_sha256", nullable=True),
    Column("result", String(63), nullable=False),
    _json("detail"),
    Column("request_id", Text),
    _time("time"),
    Index(None, "tenant", "sequence"),
    sqlite_autoincrement=True,  # a number is never given twice
)

idempotency = Table(
    "idempotency",
    metadata,
    _tenant(primary_key=True),
    Column("key", String(255), primary_key=True),
    _sha256("fingerprint"),
    Column("claim", String(40), nullable=False),
    Column("status", Integer),
    _json("headers", nullable=True),
    Column("body", LargeBinary),
    _time("claimed"),
    _time("expires"),
    Index(None, "expires"),
)

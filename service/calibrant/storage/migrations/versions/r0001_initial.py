"""Data sets, evaluations, calibrators, jobs, keys, audit trail, idempotency keys."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _datasets()
    _evaluations()
    _calibrators()
    _jobs()
    _keys()
    _audit()
    _idempotency()


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _of(name: str, kind: TypeEngine[Any], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _datasets() -> None:
    op.create_table(
        "datasets",
        _text("id", 40),
        _text("tenant", 63),
        _text("name", 63, nullable=True),
        _text("sha256", 64),
        _text("table_sha256", 64),
        _of("media_type", sa.Text()),
        _of("n_rows", sa.BigInteger()),
        _of("n_bytes", sa.BigInteger()),
        _of("columns", sa.JSON()),
        _text("job_id", 40, nullable=True),
        _time("created"),
        _primary("datasets", "id"),
        _unique("datasets", "tenant", "job_id"),
    )
    _index("datasets", "tenant", "id")


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        _text("id", 40),
        _text("tenant", 63),
        _text("dataset_id", 40, nullable=True),
        _text("inline_sha256", 64, nullable=True),
        _of("headline", sa.JSON()),
        _text("report_sha256", 64),
        _of("optimistic", sa.Boolean()),
        _text("job_id", 40, nullable=True),
        _time("created"),
        _primary("evaluations", "id"),
        _unique("evaluations", "tenant", "job_id"),
    )
    _index("evaluations", "tenant", "id")


def _calibrators() -> None:
    op.create_table(
        "calibrators",
        _text("tenant", 63),
        _text("name", 63),
        _of("newest", sa.Integer()),
        _time("created"),
        _primary("calibrators", "tenant", "name"),
    )
    op.create_table(
        "calibrator_versions",
        _text("tenant", 63),
        _text("name", 63),
        _of("version", sa.Integer()),
        _text("task", 20),
        _of("n_classes", sa.Integer()),
        _text("kind", 40),
        _text("method", 40),
        _text("status", 40),
        _of("servable", sa.Boolean()),
        _text("artifact_sha256", 64),
        _text("onnx_sha256", 64, nullable=True),
        _of("certificate", sa.JSON(), nullable=True),
        _of("summary", sa.JSON()),
        _text("fit_rows_sha256", 64, nullable=True),
        _text("dataset_id", 40, nullable=True),
        _text("job_id", 40, nullable=True),
        _time("created"),
        _primary("calibrator_versions", "tenant", "name", "version"),
        _unique("calibrator_versions", "tenant", "job_id"),
        sa.ForeignKeyConstraint(
            ["tenant", "name"],
            ["calibrators.tenant", "calibrators.name"],
            name="fk_calibrator_versions_tenant_name",
        ),
    )
    op.create_table(
        "calibrator_aliases",
        _text("tenant", 63),
        _text("name", 63),
        _text("alias", 255),
        _of("version", sa.Integer()),
        _time("moved"),
        _primary("calibrator_aliases", "tenant", "name", "alias"),
        sa.ForeignKeyConstraint(
            ["tenant", "name", "version"],
            [
                "calibrator_versions.tenant",
                "calibrator_versions.name",
                "calibrator_versions.version",
            ],
            name="fk_calibrator_aliases_tenant_name_version",
        ),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        _text("id", 40),
        _text("tenant", 63),
        _text("operation", 63),
        _of("spec", sa.LargeBinary()),
        _text("idempotency_key", 255, nullable=True),
        _text("state", 20),
        _of("result", sa.JSON(), nullable=True),
        _of("error", sa.JSON(), nullable=True),
        _time("created"),
        _time("finished", nullable=True),
        _primary("jobs", "id"),
        _unique("jobs", "tenant", "idempotency_key"),
    )
    _index("jobs", "tenant", "id")
    _index("jobs", "state", "id")


def _keys() -> None:
    op.create_table(
        "keys",
        _text("id", 40),
        _text("tenant", 63),
        _of("label", sa.Text()),
        _of("digest", sa.LargeBinary(32)),
        _of("scopes", sa.JSON()),
        _time("created"),
        _time("expires", nullable=True),
        _time("revoked", nullable=True),
        _primary("keys", "id"),
    )
    _index("keys", "tenant", "id")


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        _text("tenant", 63),
        _of("who", sa.Text()),
        _text("action", 63),
        _of("object", sa.Text()),
        _text("object_sha256", 64, nullable=True),
        _text("result", 63),
        _of("detail", sa.JSON()),
        _of("request_id", sa.Text(), nullable=True),
        _time("time"),
        _primary("audit", "sequence"),
        sqlite_autoincrement=True,
    )
    _index("audit", "tenant", "sequence")
    # The database itself refuses to change what was written.
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for deed in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_refuses_{deed.lower()} BEFORE {deed} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        _text("tenant", 63),
        _text("key", 255),
        _text("fingerprint", 64),
        _text("claim", 40),
        _of("status", sa.Integer(), nullable=True),
        _of("headers", sa.JSON(), nullable=True),
        _of("body", sa.LargeBinary(), nullable=True),
        _time("claimed"),
        _time("expires"),
        _primary("idempotency", "tenant", "key"),
    )
    _index("idempotency", "expires")

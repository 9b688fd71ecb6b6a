"""What the repositories share: pages, rows as dataclasses, inserts that may find their row there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from calibrant.errors import NotFound, Unusable
from calibrant.storage.metadata.database import Connections

MAX_PAGE = 1000
DEFAULT_PAGE = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list.

    Attributes
    ----------
    items : tuple
    next : str, or None
        Give it as `cursor` for what follows; None at the end.
    """

    items: tuple[T, ...]
    next: str | None


def page_of(
    rows: Sequence[sa.RowMapping], limit: int, build: Callable[[sa.RowMapping], T], key: str
) -> Page[T]:
    """Return a page from rows read with `limit + 1` in the order of the column `key`."""
    items = tuple(build(row) for row in rows[:limit])
    return Page(items, str(rows[limit - 1][key]) if len(rows) > limit else None)


def check_limit(limit: int) -> int:
    """Return `limit` if a page may be that long."""
    if not 1 <= limit <= MAX_PAGE:
        raise Unusable(f"`limit` must be from 1 to {MAX_PAGE}.")
    return limit


def numeric_cursor(cursor: str | None) -> int | None:
    """Read a cursor that counts."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise Unusable("`cursor` must be the `next` of a page before this one.")
    return int(cursor)


def text_cursor(cursor: str | None) -> str | None:
    """Read a cursor that is an identifier or a name."""
    if cursor is not None and (
        len(cursor) > 64 or not cursor.isascii() or not cursor.isprintable()
    ):
        raise Unusable("`cursor` must be the `next` of a page before this one.")
    return cursor


def builder(kind: type[T]) -> Callable[[sa.RowMapping], T]:
    """Return what makes a dataclass of the columns that bear its fields' names."""
    names = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
    return lambda row: kind(**{name: row[name] for name in names})


def insert_if_absent(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless a unique constraint forbids it; return whether it was inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    # What comes back tells, since not every driver counts the rows of an insert.
    statement = insert(table).values(values).on_conflict_do_nothing().returning(table.c.tenant)
    return connection.execute(statement).first() is not None


def add_once(
    connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]
) -> sa.RowMapping:
    """Insert a row of a job and return it; if the job inserted one before, return that one."""
    if insert_if_absent(connection, table, values):
        mine = table.c.id == values["id"]
    else:
        mine = sa.and_(table.c.tenant == values["tenant"], table.c.job_id == values["job_id"])
    return connection.execute(sa.select(table).where(mine)).mappings().one()


def one(
    connection: sa.Connection,
    table: sa.Table,
    tenant: str,
    *conditions: sa.ColumnElement[bool],
    missing: str,
    lock: bool = False,
) -> sa.RowMapping:
    """Return the tenant's only row that meets the conditions, or raise `NotFound(missing)`."""
    query = sa.select(table).where(table.c.tenant == tenant, *conditions)
    if lock:
        query = query.with_for_update()  # SQLite has the lock since the transaction began
    try:
        row = connection.execute(query).mappings().one_or_none()
    except (sa.exc.DataError, UnicodeEncodeError):  # a name no database can hold is nobody's
        row = None
    if row is None:
        raise NotFound(missing)
    return row


def page_by_id(
    connections: Connections,
    table: sa.Table,
    tenant: str,
    build: Callable[[sa.RowMapping], T],
    *conditions: sa.ColumnElement[bool],
    limit: int,
    cursor: str | None,
) -> Page[T]:
    """Return the tenant's rows that meet the conditions, newest first."""
    query = sa.select(table).where(table.c.tenant == tenant, *conditions)
    before = text_cursor(cursor)
    if before is not None:
        query = query.where(table.c.id < before)
    query = query.order_by(table.c.id.desc()).limit(check_limit(limit) + 1)
    with connections.read() as connection:
        rows = connection.execute(query).mappings().all()
    return page_of(rows, limit, build, "id")

"""The audit trail: what was done by whom; rows are added and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from calibrant.storage.metadata.database import Connections
from calibrant.storage.metadata.rows import (
    DEFAULT_PAGE,
    Page,
    builder,
    check_limit,
    numeric_cursor,
    page_of,
)
from calibrant.storage.metadata.schema import audit


@dataclass(frozen=True, slots=True)
class Entry:
    """One deed.

    Attributes
    ----------
    sequence : int
        Grows with time; gaps are possible.
    who : str
        Id of the key, or what stands for the caller where keys are off.
    action, object, result : str
        As in `alias.set`, `calibrators/flights@champion`, `ok`.
    object_sha256 : str, or None
        Content of the thing, where it has one.
    detail : mapping
        A few plain values (version before and after); never bodies or secrets.
    """

    sequence: int
    who: str
    action: str
    object: str
    object_sha256: str | None
    result: str
    detail: Mapping[str, Any]
    request_id: str | None
    time: datetime


_entry = builder(Entry)


class Audit:
    """The audit trail of each tenant."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add(
        self,
        tenant: str,
        *,
        who: str,
        action: str,
        object: str,  # noqa: A002 - the word of the record
        object_sha256: str | None = None,
        result: str = "ok",
        detail: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> None:
        """Append an entry."""
        values = {
            "tenant": tenant,
            "who": who,
            "action": action,
            "object": object,
            "object_sha256": object_sha256,
            "result": result,
            "detail": dict(detail or {}),
            "request_id": request_id,
            "time": self._connections.clock(),
        }
        with self._connections.write() as connection:
            connection.execute(audit.insert().values(values))

    def page(
        self, tenant: str, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[Entry]:
        """Return entries, newest first."""
        query = sa.select(audit).where(audit.c.tenant == tenant)
        before = numeric_cursor(cursor)
        if before is not None:
            query = query.where(audit.c.sequence < before)
        query = query.order_by(audit.c.sequence.desc()).limit(check_limit(limit) + 1)
        with self._connections.read() as connection:
            rows = connection.execute(query).mappings().all()
        return page_of(rows, limit, _entry, "sequence")

"""What was done, by whom and when."""

from __future__ import annotations

from calibrant.operations.context import Caller, Context
from calibrant.storage.metadata import Entry, Page


def page(context: Context, caller: Caller, *, limit: int, cursor: str | None) -> Page[Entry]:
    """Return the entries of the caller's tenant, newest first."""
    return context.metadata.audit.page(caller.tenant, limit=limit, cursor=cursor)

"""Who may call: make, list, revoke and check API keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from calibrant.operations.context import Caller
from calibrant.storage.metadata import SCOPES, Key, Metadata, NewKey, Page
from calibrant.storage.names import DEFAULT_TENANT

NOBODY = Caller(tenant=DEFAULT_TENANT, actor="local", scopes=frozenset(SCOPES))
"""The caller while keys are switched off."""


def create(
    metadata: Metadata,
    tenant: str,
    *,
    label: str,
    scopes: Iterable[str],
    days: int | None = None,
    actor: str = "command line",
) -> NewKey:
    """Make a key; its secret is in the answer and nowhere else."""
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with metadata.transaction() as t:
        made = t.keys.create(tenant, scopes, label=label, expires=expires)
        t.audit.add(tenant, who=actor, action="key.create", object=f"keys/{made.key.id}")
    return made


def page(
    metadata: Metadata, tenant: str, *, limit: int = 50, cursor: str | None = None
) -> Page[Key]:
    """Return keys, newest first, revoked ones included."""
    return metadata.keys.page(tenant, limit=limit, cursor=cursor)


def revoke(metadata: Metadata, tenant: str, key_id: str, *, actor: str = "command line") -> Key:
    """Make a key useless for good."""
    with metadata.transaction() as t:
        key = t.keys.revoke(tenant, key_id)
        t.audit.add(tenant, who=actor, action="key.revoke", object=f"keys/{key_id}")
    return key


def authenticate(metadata: Metadata, secret: str) -> Caller:
    """Return the caller that a secret stands for.

    Raises
    ------
    Unauthorized
        If the key is unknown, expired or revoked.
    """
    key = metadata.keys.verify(secret)
    return Caller(tenant=key.tenant, actor=key.id, scopes=frozenset(key.scopes))

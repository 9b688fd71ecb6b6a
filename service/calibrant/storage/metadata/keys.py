"""API keys: `calibrant.<id>.<secret>`, of which only a keyed hash is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, get_args

import sqlalchemy as sa

from calibrant.errors import Unauthorized, Unusable
from calibrant.storage.metadata.database import Connections
from calibrant.storage.metadata.rows import DEFAULT_PAGE, Page, builder, one, page_by_id
from calibrant.storage.metadata.schema import keys
from calibrant.storage.names import check_name, new_id

Scope = Literal["read", "ingest", "fit", "promote", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
KEY_PREFIX: Final = "calibrant"
SECRET_BYTES = 32
MAX_KEY_CHARS = 200
MAX_LABEL = 100


@dataclass(frozen=True, slots=True)
class Key:
    """What is known about a key; neither the secret nor its hash.

    Attributes
    ----------
    id : str
    tenant : str
        Whose things it opens.
    label : str
        What its owner calls it.
    scopes : tuple of str
    created : datetime
    expires, revoked : datetime, or None
    """

    id: str
    tenant: str
    label: str
    scopes: tuple[Scope, ...]
    created: datetime
    expires: datetime | None
    revoked: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key together with the only copy of its secret.

    Attributes
    ----------
    key : Key
    secret : str
        What the caller sends, prefix and id included; it cannot be shown again.
    """

    key: Key
    secret: str

    def __repr__(self) -> str:
        return f"NewKey(key={self.key!r}, secret=...)"


_plain = builder(Key)
_MISSING = "There is no such key."
_REFUSED = "The API key is missing, unknown, expired or revoked."


class Keys:
    """The keys of each tenant.

    Parameters
    ----------
    connections : Connections
    pepper : bytes
        The server's secret; without it the stored hashes open nothing.
    """

    def __init__(self, connections: Connections, pepper: bytes) -> None:
        self._connections = connections
        self._pepper = pepper

    def create(
        self,
        tenant: str,
        scopes: Iterable[str],
        *,
        label: str = "",
        expires: datetime | None = None,
    ) -> NewKey:
        """Make a key and return it with its secret, which is not kept."""
        granted = _check_scopes(scopes)
        now = self._connections.clock()
        if expires is not None and (expires.tzinfo is None or expires <= now):
            raise Unusable("`expires` must be a time in the future, with its zone.")
        if len(label) > MAX_LABEL or not label.isprintable():
            raise Unusable(f"`label` must be at most {MAX_LABEL} printable characters.")
        key_id = new_id("key")
        secret = f"{KEY_PREFIX}.{key_id}.{secrets.token_urlsafe(SECRET_BYTES)}"
        values = {
            "id": key_id,
            "tenant": check_name(tenant, what="tenant"),
            "label": label,
            "digest": self._digest(secret),
            "scopes": list(granted),
            "created": now,
            "expires": expires,
        }
        with self._connections.write() as connection:
            connection.execute(keys.insert().values(values))
            return NewKey(_get(connection, tenant, key_id), secret)

    def verify(self, secret: str) -> Key:
        """Return the key a caller has sent, or raise `Unauthorized` without saying why."""
        if len(secret) > MAX_KEY_CHARS or not secret.isascii():
            raise Unauthorized(_REFUSED)
        prefix, _, rest = secret.partition(".")
        key_id = rest.partition(".")[0]
        query = sa.select(keys).where(keys.c.id == key_id)
        row = None
        if prefix == KEY_PREFIX and key_id.isprintable():
            with self._connections.read() as connection:
                row = connection.execute(query).mappings().one_or_none()
        # An unknown key costs the same comparison as a known one.
        known = bytes(32) if row is None else row["digest"]
        same = hmac.compare_digest(self._digest(secret), known)
        if row is None or not same:
            raise Unauthorized(_REFUSED)
        key = _key(row)
        if key.revoked or (key.expires and key.expires <= self._connections.clock()):
            raise Unauthorized(_REFUSED)
        return key

    def get(self, tenant: str, key_id: str) -> Key:
        """Return a key, or raise `NotFound`."""
        with self._connections.read() as connection:
            return _get(connection, tenant, key_id)

    def page(
        self, tenant: str, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[Key]:
        """Return keys, newest first, revoked ones included."""
        return page_by_id(self._connections, keys, tenant, _key, limit=limit, cursor=cursor)

    def revoke(self, tenant: str, key_id: str) -> Key:
        """Make a key useless for good; a second time changes nothing."""
        with self._connections.write() as connection:
            key = _get(connection, tenant, key_id)
            connection.execute(
                keys.update()
                .where(keys.c.id == key.id, keys.c.revoked.is_(None))
                .values(revoked=self._connections.clock())
            )
            return _get(connection, tenant, key_id)

    def _digest(self, secret: str) -> bytes:
        """Return what is stored for a secret; it has 256 random bits, so one round is enough."""
        return hmac.digest(self._pepper, secret.encode(), hashlib.sha256)


def _check_scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    """Return the scopes in the order of `SCOPES`, each once."""
    wanted = set(scopes)
    granted = tuple(scope for scope in SCOPES if scope in wanted)
    if not granted or len(granted) != len(wanted):
        raise Unusable(f"`scopes` must be one or more of {', '.join(SCOPES)}.")
    return granted


def _get(connection: sa.Connection, tenant: str, key_id: str) -> Key:
    """Return the tenant's key."""
    return _key(one(connection, keys, tenant, keys.c.id == key_id, missing=_MISSING))


def _key(row: sa.RowMapping) -> Key:
    """Make a key of its row."""
    plain = _plain(row)
    return replace(plain, scopes=tuple(plain.scopes))

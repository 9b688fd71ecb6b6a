"""Idempotency keys: the same POST sent twice happens once and is answered alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from calibrant.errors import BadRequest, KeyReused, StillRunning
from calibrant.storage.metadata.database import Connections
from calibrant.storage.metadata.rows import insert_if_absent
from calibrant.storage.metadata.schema import idempotency
from calibrant.storage.names import new_id

KEPT = timedelta(hours=24)
"""How long an answer is kept."""

ABANDONED = timedelta(minutes=2)
"""When a claim without an answer is given to the next who asks: its process must have died.

Longer than any request may take once its body is here.
"""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer a request: do the work, then `store` or `release`."""

    tenant: str
    key: str
    claim: str


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The answer that was given the first time."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Idempotency:
    """The idempotency keys of each tenant."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def claim(
        self,
        tenant: str,
        key: str,
        *,
        request: str,
        body_sha256: str,
        keep: timedelta = KEPT,
        abandoned: timedelta = ABANDONED,
    ) -> Claim | StoredResponse:
        """Ask whether a request is to be done.

        Parameters
        ----------
        tenant : str
        key : str
            As the caller sent it: 1 to 255 visible ASCII characters.
        request : str
            Method and path.
        body_sha256 : str
        keep : timedelta
            After this time the key is free again.
        abandoned : timedelta
            After this time without an answer, the claim is given to whoever asks.

        Returns
        -------
        Claim or StoredResponse
            A claim if this call is the first; else what the first was answered.

        Raises
        ------
        StillRunning
            If the first call is still at work.
        KeyReused
            If the key came with another request or body.
        BadRequest
            If the key is not one.
        """
        if not _KEY.fullmatch(key):
            raise BadRequest("An idempotency key is 1 to 255 visible ASCII characters.")
        now = self._connections.clock()
        fingerprint = hashlib.sha256(
            f"{request}\n{body_sha256}".encode(errors="surrogatepass")
        ).hexdigest()
        mine = Claim(tenant, key, new_id("claim"))
        fresh = {
            "tenant": tenant,
            "key": key,
            "fingerprint": fingerprint,
            "claim": mine.claim,
            "status": None,
            "headers": None,
            "body": None,
            "claimed": now,
            "expires": now + keep,
        }
        with self._connections.write() as connection:
            row = None
            # A row that was in the way of the insert may be gone when it is read: ask again.
            while row is None:
                if insert_if_absent(connection, idempotency, fresh):
                    return mine
                query = sa.select(idempotency).where(_at(tenant, key)).with_for_update()
                row = connection.execute(query).mappings().one_or_none()
            unanswered = row["status"] is None
            if row["expires"] <= now or (unanswered and row["claimed"] + abandoned <= now):
                connection.execute(idempotency.update().where(_at(tenant, key)).values(fresh))
                return mine
        if row["fingerprint"] != fingerprint:
            raise KeyReused("This idempotency key was used for another request.")
        if unanswered:
            raise StillRunning("The first request with this idempotency key is still at work.")
        return StoredResponse(row["status"], row["headers"], row["body"])

    def store(self, claim: Claim, *, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        """Keep the answer; false if the claim was given to somebody else in the meantime."""
        values = {"status": status, "headers": dict(headers), "body": body}
        with self._connections.write() as connection:
            change = idempotency.update().where(_held(claim)).values(values)
            return connection.execute(change).rowcount == 1

    def release(self, claim: Claim) -> None:
        """Give up without an answer, so that the same key may be tried again."""
        with self._connections.write() as connection:
            connection.execute(idempotency.delete().where(_held(claim)))

    def purge(self) -> int:
        """Forget what has expired, of all tenants; return how many keys that were."""
        with self._connections.write() as connection:
            old = idempotency.c.expires <= self._connections.clock()
            return connection.execute(idempotency.delete().where(old)).rowcount


def _at(tenant: str, key: str) -> sa.ColumnElement[bool]:
    """Select the row of a key."""
    return sa.and_(idempotency.c.tenant == tenant, idempotency.c.key == key)


def _held(claim: Claim) -> sa.ColumnElement[bool]:
    """Select the row of a key as long as the claim holds and is unanswered."""
    return sa.and_(
        _at(claim.tenant, claim.key),
        idempotency.c.claim == claim.claim,
        idempotency.c.status.is_(None),
    )

"""Who asks: API keys to callers, remembered for a few seconds."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

from calibrant.errors import Unauthorized, Unavailable
from calibrant.operations.context import Caller
from calibrant.operations.keys import NOBODY

FRESH_SECONDS = 5.0
"""A revoked key is refused after this time at the latest, while the database answers."""
STALE_SECONDS = 3600.0
"""While the database is gone, known keys go on working for this long."""
_REMEMBERED = 10_000
Credential = tuple[bytes | None, bytes | None]


class Authenticator:
    """Turns the credential of a request into a caller.

    Parameters
    ----------
    authenticate : callable or None
        Looks a secret up, in the database; None where keys are switched off.
    """

    def __init__(self, authenticate: Callable[[str], Caller] | None) -> None:
        self._authenticate = authenticate
        self._known: OrderedDict[Credential, tuple[Caller, float]] = OrderedDict()

    async def caller(self, headers: Mapping[bytes, bytes], request_id: str) -> Caller:
        """Return the caller of a request.

        Raises
        ------
        Unauthorized
            If there is no credential, or an unknown, expired or revoked one.
        """
        known = self.remembered(headers)
        if known is None:
            known = await self._look_up(headers)
        return replace(known, request_id=request_id)

    def remembered(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Return the caller if no look-up is needed, else None; the request id is not set."""
        if self._authenticate is None:
            return NOBODY
        found = self._known.get(_credential(headers))
        if found is None or time.monotonic() - found[1] > FRESH_SECONDS:
            return None
        return found[0]

    async def _look_up(self, headers: Mapping[bytes, bytes]) -> Caller:
        assert self._authenticate is not None
        credential = _credential(headers)
        try:
            secret = secret_of(headers).decode("latin-1")
            caller = await asyncio.to_thread(self._authenticate, secret)
        except Unavailable:
            return self._stale(credential)
        except Unauthorized:
            self._known.pop(credential, None)
            raise
        self._known[credential] = (caller, time.monotonic())
        self._known.move_to_end(credential)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return caller

    def _stale(self, credential: Credential) -> Caller:
        found = self._known.get(credential)
        if found is None or time.monotonic() - found[1] > STALE_SECONDS:
            raise Unavailable("Keys cannot be checked right now: the database does not answer.")
        return found[0]


def _credential(headers: Mapping[bytes, bytes]) -> Credential:
    return headers.get(b"authorization"), headers.get(b"x-api-key")


def secret_of(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the secret from `Authorization: Bearer`, `X-API-Key`, or a Basic password.

    Basic lets a browser open the pages: any user name, the key as password.

    Raises
    ------
    Unauthorized
        If there is none.
    """
    value = headers.get(b"authorization")
    if value is None:
        secret = headers.get(b"x-api-key", b"")
    else:
        scheme, _, secret = value.partition(b" ")
        secret = secret.strip()
        if scheme.lower() == b"basic":
            secret = _password(secret)
        elif scheme.lower() != b"bearer":
            secret = b""
    if not secret:
        raise Unauthorized("Send an API key: `Authorization: Bearer <key>` or `X-API-Key: <key>`.")
    return secret


def _password(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""

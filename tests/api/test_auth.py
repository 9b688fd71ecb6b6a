"""Keys are remembered for a moment, and longer while nobody can look them up."""

from __future__ import annotations

import asyncio

import pytest

from calibrant.api import auth
from calibrant.api.auth import Authenticator
from calibrant.errors import Unauthorized, Unavailable
from calibrant.operations.context import Caller

HEADERS = {b"authorization": b"Bearer secret"}


class Keys:
    """A database of one key, that can lose it or go away."""

    def __init__(self) -> None:
        self.asked = 0
        self.failure: Exception | None = None

    def __call__(self, secret: str) -> Caller:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        assert secret == "secret"
        return Caller(tenant="acme", actor="key_1", scopes=frozenset({"read"}))


def ask(authenticator: Authenticator) -> Caller:
    return asyncio.run(authenticator.caller(HEADERS, "r-1"))


@pytest.fixture
def keys():
    return Keys()


def test_a_key_is_looked_up_once_for_many_requests(keys):
    authenticator = Authenticator(keys)
    callers = [ask(authenticator) for _ in range(5)]
    assert keys.asked == 1
    assert {one.request_id for one in callers} == {"r-1"}


def test_a_revoked_key_is_refused_once_it_is_looked_up_again(keys, monkeypatch):
    authenticator = Authenticator(keys)
    ask(authenticator)
    keys.failure = Unauthorized("revoked")
    assert ask(authenticator).tenant == "acme"
    monkeypatch.setattr(auth, "FRESH_SECONDS", -1.0)
    with pytest.raises(Unauthorized):
        ask(authenticator)
    keys.failure = Unavailable("gone")
    with pytest.raises(Unavailable):
        ask(authenticator)


def test_a_known_key_goes_on_while_the_database_is_gone(keys, monkeypatch):
    authenticator = Authenticator(keys)
    ask(authenticator)
    monkeypatch.setattr(auth, "FRESH_SECONDS", -1.0)
    keys.failure = Unavailable("gone")
    assert ask(authenticator).tenant == "acme"
    with pytest.raises(Unavailable):
        ask(Authenticator(keys))
    monkeypatch.setattr(auth, "STALE_SECONDS", -1.0)
    with pytest.raises(Unavailable):
        ask(authenticator)


def test_without_keys_everybody_is_the_default_tenant():
    caller = asyncio.run(Authenticator(None).caller({}, "r-2"))
    assert (caller.tenant, caller.request_id) == ("default", "r-2")

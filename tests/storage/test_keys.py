from datetime import datetime, timedelta
from pathlib import Path

import pytest

from calibrant.errors import NotFound, Unauthorized, Unusable
from calibrant.storage.metadata import SCOPES, Metadata


def test_a_key_opens_what_it_was_made_for(metadata, clock):
    made = metadata.keys.create("acme", ["promote", "read"], label="CI")
    key = metadata.keys.verify(made.secret)
    assert key == made.key == metadata.keys.get("acme", made.key.id)
    assert (key.tenant, key.scopes, key.label) == ("acme", ("read", "promote"), "CI")
    assert key.created == clock.now


def test_a_secret_has_its_prefix_its_id_and_256_random_bits(metadata):
    made = metadata.keys.create("acme", SCOPES)
    prefix, key_id, secret = made.secret.split(".")
    assert (prefix, key_id) == ("calibrant", made.key.id)
    assert len(secret) == 43


def test_the_secret_is_neither_stored_nor_printed(metadata, url):
    made = metadata.keys.create("acme", ["read"])
    secret = made.secret.split(".")[2]
    assert secret not in repr(made)
    assert secret not in repr(metadata.keys.page("acme"))
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        for path in file.parent.glob(f"{file.name}*"):
            assert secret.encode() not in path.read_bytes()


def spoiled(secret):
    """Every kind of secret that is nearly right."""
    prefix, key_id, random = secret.split(".")
    other = "B" if random[0] == "A" else "A"
    return {
        "another secret": f"{prefix}.{key_id}.{other}{random[1:]}",
        "cut short": secret[:-1],
        "longer": secret + "A",
        "another prefix": f"other.{key_id}.{random}",
        "another id": f"{prefix}.key_0.{random}",
        "no id": f"{prefix}..{random}",
        "empty": "",
        "dots": "...",
        "not ASCII": secret + "é",
        "NUL": f"{prefix}.\0.{random}",
        "surrogate": "\ud800",
        "huge": secret + "A" * 100_000,
    }


@pytest.mark.parametrize("kind", list(spoiled("a.b.c")))
def test_anything_else_is_refused_alike(metadata, kind):
    made = metadata.keys.create("acme", ["read"])
    with pytest.raises(Unauthorized, match="missing, unknown, expired or revoked"):
        metadata.keys.verify(spoiled(made.secret)[kind])


def test_a_key_opens_nothing_under_another_pepper(metadata, url):
    made = metadata.keys.create("acme", ["read"])
    other = Metadata(url, pepper=b"another secret of the server....")
    with pytest.raises(Unauthorized):
        other.keys.verify(made.secret)
    other.close()


def test_a_key_opens_nothing_once_it_has_expired(metadata, clock):
    made = metadata.keys.create("acme", ["read"], expires=clock.now + timedelta(days=1))
    clock.advance(hours=23)
    metadata.keys.verify(made.secret)
    clock.advance(hours=1)
    with pytest.raises(Unauthorized):
        metadata.keys.verify(made.secret)


def test_a_revoked_key_opens_nothing_and_stays_in_the_list(metadata, clock):
    made = metadata.keys.create("acme", ["read"])
    revoked = metadata.keys.revoke("acme", made.key.id)
    first = clock.now
    clock.advance(days=1)
    assert metadata.keys.revoke("acme", made.key.id) == revoked
    assert revoked.revoked == first
    with pytest.raises(Unauthorized):
        metadata.keys.verify(made.secret)
    assert metadata.keys.page("acme").items == (revoked,)


def test_another_tenant_neither_sees_nor_revokes_a_key(metadata):
    made = metadata.keys.create("acme", ["read"])
    assert metadata.keys.page("other").items == ()
    for call in (metadata.keys.get, metadata.keys.revoke):
        with pytest.raises(NotFound):
            call("other", made.key.id)
    assert metadata.keys.verify(made.secret).tenant == "acme"


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "root"], "read"])
def test_scopes_that_are_none_are_refused(metadata, scopes):
    with pytest.raises(Unusable, match="scopes"):
        metadata.keys.create("acme", scopes)


def test_a_key_that_has_expired_already_is_not_made(metadata, clock):
    for expires in (clock.now, datetime(2030, 1, 1)):  # noqa: DTZ001 - naive on purpose
        with pytest.raises(Unusable, match="expires"):
            metadata.keys.create("acme", ["read"], expires=expires)


@pytest.mark.parametrize("tenant", ["", "Acme", "a b"])
def test_a_tenant_that_is_no_name_gets_no_key(metadata, tenant):
    with pytest.raises(Unusable, match="tenant"):
        metadata.keys.create(tenant, ["read"])


@pytest.mark.parametrize("label", ["a\nb", "\0", "x" * 101])
def test_labels_are_short_and_printable(metadata, label):
    with pytest.raises(Unusable, match="label"):
        metadata.keys.create("acme", ["read"], label=label)

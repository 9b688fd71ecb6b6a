from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from calibrant.errors import BadRequest, KeyReused, StillRunning
from calibrant.storage.metadata import Claim, StoredResponse

BODY = "0" * 64


def claim(metadata, key="k", *, tenant="acme", request="POST /v1/evaluations", body=BODY):
    return metadata.idempotency.claim(tenant, key, request=request, body_sha256=body)


def answer(metadata, mine, body=b'{"id":"ev_1"}'):
    return metadata.idempotency.store(mine, status=201, headers={"location": "/x"}, body=body)


def test_the_first_call_works_and_later_ones_get_its_answer(metadata):
    mine = claim(metadata)
    assert isinstance(mine, Claim)
    assert answer(metadata, mine)
    stored = StoredResponse(201, {"location": "/x"}, b'{"id":"ev_1"}')
    assert [claim(metadata) for _ in range(2)] == [stored, stored]


def test_a_call_beside_the_first_is_told_to_wait(metadata):
    claim(metadata)
    with pytest.raises(StillRunning):
        claim(metadata)


@pytest.mark.parametrize("change", [{"body": "1" * 64}, {"request": "POST /v1/datasets"}])
@pytest.mark.parametrize("answered", [True, False])
def test_the_same_key_for_another_request_is_refused(metadata, change, answered):
    mine = claim(metadata)
    if answered:
        answer(metadata, mine)
    with pytest.raises(KeyReused):
        claim(metadata, **change)


def test_of_many_calls_at_once_one_works(metadata):
    def call(_):
        try:
            return claim(metadata)
        except StillRunning:
            return None

    with ThreadPoolExecutor(8) as pool:
        claims = [outcome for outcome in pool.map(call, range(32)) if outcome is not None]
    assert len(claims) == 1


def test_tenants_do_not_see_each_others_keys(metadata):
    answer(metadata, claim(metadata))
    assert isinstance(claim(metadata, tenant="other"), Claim)


def test_a_call_that_gave_up_may_be_tried_again(metadata):
    metadata.idempotency.release(claim(metadata))
    assert isinstance(claim(metadata), Claim)


def test_an_answer_is_never_given_up(metadata):
    mine = claim(metadata)
    answer(metadata, mine)
    metadata.idempotency.release(mine)
    assert isinstance(claim(metadata), StoredResponse)


def test_a_claim_whose_process_died_is_free_after_two_minutes(metadata, clock):
    dead = claim(metadata)
    clock.advance(seconds=119)
    with pytest.raises(StillRunning):
        claim(metadata)
    clock.advance(seconds=1)
    mine = claim(metadata)
    assert isinstance(mine, Claim)
    assert not answer(metadata, dead, b"too late")
    metadata.idempotency.release(dead)
    assert answer(metadata, mine)
    assert claim(metadata).body == b'{"id":"ev_1"}'


def test_an_abandoned_claim_is_given_to_one_of_those_who_ask(metadata, clock):
    claim(metadata)
    clock.advance(minutes=2)

    def call(_):
        try:
            return claim(metadata)
        except StillRunning:
            return None

    with ThreadPoolExecutor(8) as pool:
        claims = [outcome for outcome in pool.map(call, range(16)) if outcome is not None]
    assert len(claims) == 1


def test_an_answer_is_forgotten_after_its_time(metadata, clock):
    answer(metadata, claim(metadata))
    clock.advance(hours=23)
    assert metadata.idempotency.purge() == 0
    assert isinstance(claim(metadata), StoredResponse)
    clock.advance(hours=1)
    assert isinstance(claim(metadata, body="1" * 64), Claim)


def test_purging_removes_what_has_expired_of_all_tenants(metadata, clock):
    for tenant in ("acme", "other"):
        answer(metadata, claim(metadata, tenant=tenant))
    clock.advance(hours=12)
    claim(metadata, "young")
    clock.advance(hours=12)
    assert metadata.idempotency.purge() == 2
    assert metadata.idempotency.purge() == 0


def test_an_answer_may_be_stored_with_what_it_is_about(metadata):
    mine = claim(metadata)

    def finish(*, well):
        with metadata.transaction() as together:
            together.evaluations.add("acme", headline={}, report_sha256=BODY)
            answer(together, mine)
            if not well:
                raise KeyError

    with pytest.raises(KeyError):
        finish(well=False)
    assert metadata.evaluations.page("acme").items == ()
    with pytest.raises(StillRunning):
        claim(metadata)
    finish(well=True)
    assert len(metadata.evaluations.page("acme").items) == 1
    assert isinstance(claim(metadata), StoredResponse)


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "a\n", "\0", "x" * 256])
def test_keys_that_are_none_are_refused(metadata, key):
    with pytest.raises(BadRequest):
        claim(metadata, key)


def test_the_longest_key_is_accepted(metadata):
    assert isinstance(claim(metadata, "~" * 255), Claim)


def test_times_are_settable(metadata, clock):
    call = {"request": "POST /", "body_sha256": BODY, "abandoned": timedelta(seconds=5)}
    metadata.idempotency.claim("acme", "k", **call)
    clock.advance(seconds=5)
    assert isinstance(metadata.idempotency.claim("acme", "k", **call), Claim)

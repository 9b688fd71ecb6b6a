from __future__ import annotations

from dataclasses import replace

import pytest

from calibrant.errors import KeyReused, NotFound
from calibrant.jobs.queue import prepare
from calibrant.operations import jobs
from calibrant.operations.datasets import Upload


@pytest.fixture(autouse=True)
def queue(context):
    prepare(context.settings.jobs_url)


def upload(sha256: str = "0" * 64) -> Upload:
    return Upload(name=None, sha256=sha256, n_bytes=1, media_type="text/csv")


def test_an_order_that_comes_again_with_its_key_is_the_same_job(context, caller):
    first = jobs.submit(context, caller, "ingest", upload(), idempotency_key="key")
    again = replace(caller, request_id="another", scopes=frozenset(sorted(caller.scopes)))
    assert jobs.submit(context, again, "ingest", upload(), idempotency_key="key") == first
    assert jobs.submit(context, caller, "ingest", upload()) != first
    with pytest.raises(KeyReused):
        jobs.submit(context, caller, "ingest", upload("1" * 64), idempotency_key="key")


def test_an_end_that_nobody_asked_for_is_written_down(context, caller):
    job_id = jobs.submit(context, caller, "ingest", upload())
    told: set[str] = set()
    jobs.resume(context, told)
    assert told == {job_id}
    context.jobs.cancel(job_id)
    jobs.resume(context, told)
    (listed,) = jobs.page(context, caller, limit=10, cursor=None).items
    assert (listed.id, listed.state) == (job_id, "cancelled")
    jobs.resume(context, told)
    assert told == set()


def test_a_job_the_queue_was_never_told_of_is_told(context, caller):
    record = context.metadata.jobs.add(caller.tenant, "ingest", b"{}")
    with pytest.raises(NotFound):
        context.jobs.look(record.id)
    jobs.resume(context, set())
    assert context.jobs.look(record.id).state == "queued"

from concurrent.futures import ThreadPoolExecutor

import pytest

from calibrant.errors import KeyReused, NotFound, Stop

H = "0" * 64
SPEC = b'{"name":"flights","score":0.30000000000000004}'


def test_a_job_is_found_as_it_was_added(metadata, clock):
    job = metadata.jobs.add("acme", "fit", SPEC)
    assert job == metadata.jobs.get("acme", job.id)
    assert (job.operation, job.spec, job.state) == ("fit", SPEC, "queued")
    assert (job.result, job.error, job.created, job.finished) == (None, None, clock.now, None)
    assert job.unfinished


def test_another_tenant_finds_and_changes_nothing(metadata):
    job = metadata.jobs.add("acme", "fit", SPEC)
    jobs = metadata.jobs
    for call in (
        lambda: jobs.get("other", job.id),
        lambda: jobs.start("other", job.id),
        lambda: jobs.finish("other", job.id, {}),
        lambda: jobs.fail("other", job.id, {}),
        lambda: jobs.cancel("other", job.id),
    ):
        with pytest.raises(NotFound):
            call()
    assert jobs.page("other").items == ()
    assert jobs.get("acme", job.id) == job


def test_the_same_key_makes_one_job(metadata):
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(
            lambda _: metadata.jobs.add("acme", "fit", SPEC, idempotency_key="k").id, range(16)
        )
    assert len(set(made)) == 1
    assert metadata.jobs.add("other", "fit", SPEC, idempotency_key="k").tenant == "other"


@pytest.mark.parametrize(("operation", "spec"), [("fit", b"{}"), ("evaluate", SPEC)])
def test_the_same_key_for_another_job_is_refused(metadata, operation, spec):
    metadata.jobs.add("acme", "fit", SPEC, idempotency_key="k")
    with pytest.raises(KeyReused):
        metadata.jobs.add("acme", operation, spec, idempotency_key="k")


def test_a_job_runs_and_succeeds(metadata, clock):
    job = metadata.jobs.add("acme", "fit", SPEC)
    assert metadata.jobs.start("acme", job.id).state == "running"
    clock.advance(minutes=5)
    done = metadata.jobs.finish("acme", job.id, {"version": 3})
    assert (done.state, done.result, done.finished) == ("succeeded", {"version": 3}, clock.now)
    assert done == metadata.jobs.get("acme", job.id)


def test_the_first_result_stays(metadata):
    job = metadata.jobs.add("acme", "fit", SPEC)
    first = metadata.jobs.finish("acme", job.id, {"version": 3})
    assert metadata.jobs.finish("acme", job.id, {"version": 4}) == first
    assert metadata.jobs.fail("acme", job.id, {"code": "internal"}) == first
    assert metadata.jobs.cancel("acme", job.id) == first


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_job_that_was_ended_can_neither_start_nor_finish(metadata, end):
    job = metadata.jobs.add("acme", "fit", SPEC)
    if end == "failed":
        ended = metadata.jobs.fail("acme", job.id, {"code": "internal"})
        assert ended.error == {"code": "internal"}
    else:
        ended = metadata.jobs.cancel("acme", job.id)
    assert (ended.state, ended.unfinished) == (end, False)
    with pytest.raises(Stop):
        metadata.jobs.start("acme", job.id)
    with pytest.raises(Stop):
        metadata.jobs.finish("acme", job.id, {})
    assert metadata.jobs.get("acme", job.id) == ended


def test_jobs_that_are_still_to_be_done_are_known_for_all_tenants(metadata):
    queued = metadata.jobs.add("acme", "fit", SPEC)
    running = metadata.jobs.add("other", "fit", SPEC)
    metadata.jobs.start("other", running.id)
    for end in (metadata.jobs.cancel, lambda *who: metadata.jobs.finish(*who, {})):
        end("acme", metadata.jobs.add("acme", "fit", SPEC).id)
    assert {(job.tenant, job.id) for job in metadata.jobs.unfinished()} == {
        ("acme", queued.id),
        ("other", running.id),
    }


def test_jobs_are_listed_by_state(metadata):
    queued = metadata.jobs.add("acme", "fit", SPEC)
    done = metadata.jobs.add("acme", "fit", SPEC)
    metadata.jobs.finish("acme", done.id, {})
    assert [job.id for job in metadata.jobs.page("acme", state="succeeded").items] == [done.id]
    assert {job.id for job in metadata.jobs.page("acme").items} == {queued.id, done.id}


def commit(metadata, job):
    """Finish a job together with what it made, as an operation does."""
    with metadata.transaction() as together:
        finished = together.jobs.finish("acme", job.id, {"calibrator": "flights"})
        version = together.calibrators.add_version(
            "acme",
            "flights",
            task="binary",
            n_classes=2,
            kind="identity",
            method="auto",
            status="no_gain",
            servable=True,
            artifact_sha256=H,
            summary={},
            job_id=job.id,
        )
        together.calibrators.set_alias("acme", "flights", "candidate", 1, who=job.id)
        return finished, version


def test_a_repeated_commit_of_a_job_gives_the_same_version(metadata):
    job = metadata.jobs.add("acme", "fit", SPEC)
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: commit(metadata, job)[1], range(8)))
    assert {version.version for version in outcomes} == {1}
    assert metadata.calibrators.get("acme", "flights").newest == 1


def test_a_cancelled_job_commits_nothing(metadata):
    job = metadata.jobs.add("acme", "fit", SPEC)
    metadata.jobs.cancel("acme", job.id)
    with pytest.raises(Stop):
        commit(metadata, job)
    assert metadata.calibrators.page("acme").items == ()
    assert metadata.audit.page("acme").items == ()


def test_a_transaction_that_fails_at_its_end_leaves_nothing(metadata):
    job = metadata.jobs.add("acme", "fit", SPEC)

    def finish_badly():
        with metadata.transaction() as together:
            together.jobs.finish("acme", job.id, {})
            together.evaluations.add("acme", headline={}, report_sha256=H, job_id=job.id)
            raise KeyError

    with pytest.raises(KeyError):
        finish_badly()
    assert metadata.jobs.get("acme", job.id).state == "queued"
    assert metadata.evaluations.page("acme").items == ()


def test_a_cancel_and_a_commit_at_once_agree_on_the_outcome(metadata):
    commit(metadata, metadata.jobs.add("acme", "fit", SPEC))

    def try_commit(job):
        try:
            commit(metadata, job)
        except Stop:
            return False
        return True

    for _ in range(10):
        job = metadata.jobs.add("acme", "fit", SPEC)
        with ThreadPoolExecutor(2) as pool:
            committed = pool.submit(try_commit, job)
            cancelled = pool.submit(metadata.jobs.cancel, "acme", job.id)
        versions = metadata.calibrators.versions("acme", "flights").items
        assert committed.result() == (cancelled.result().state == "succeeded")
        assert committed.result() == (job.id in {version.job_id for version in versions})

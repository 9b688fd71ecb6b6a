import pytest

from calibrant.errors import NotFound

H = "0" * 64


def test_an_evaluation_is_found_as_it_was_added(metadata, clock):
    added = metadata.evaluations.add(
        "acme",
        headline={"status": "miscalibrated", "n": 3, "ece": 0.1 + 0.2},
        report_sha256=H,
        inline_sha256="1" * 64,
        optimistic=True,
    )
    assert added == metadata.evaluations.get("acme", added.id)
    assert added.headline == {"status": "miscalibrated", "n": 3, "ece": 0.30000000000000004}
    assert (added.dataset_id, added.inline_sha256, added.optimistic) == (None, "1" * 64, True)
    assert added.created == clock.now
    assert added.id.startswith("ev_")


def test_another_tenant_finds_nothing(metadata):
    mine = metadata.evaluations.add("acme", headline={}, report_sha256=H)
    with pytest.raises(NotFound):
        metadata.evaluations.get("other", mine.id)
    assert metadata.evaluations.page("other").items == ()
    assert metadata.evaluations.page("acme").items == (mine,)


def test_the_same_job_adds_one_evaluation(metadata):
    first = metadata.evaluations.add("acme", headline={}, report_sha256=H, job_id="job_1")
    again = metadata.evaluations.add("acme", headline={"n": 1}, report_sha256=H, job_id="job_1")
    assert again == first


def test_an_evaluation_outlives_its_data_set(metadata):
    dataset = metadata.datasets.add(
        "acme", sha256=H, table_sha256=H, media_type="x", n_rows=1, n_bytes=1, columns=[]
    )
    mine = metadata.evaluations.add("acme", headline={}, report_sha256=H, dataset_id=dataset.id)
    metadata.datasets.delete("acme", dataset.id)
    assert metadata.evaluations.get("acme", mine.id).dataset_id == dataset.id

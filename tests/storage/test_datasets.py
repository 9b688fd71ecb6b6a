import pytest
import sqlalchemy as sa

from calibrant.errors import NotFound, Unusable

H = "0" * 64


def add(metadata, tenant="acme", **changes):
    values = {
        "sha256": H,
        "table_sha256": "1" * 64,
        "media_type": "text/csv",
        "n_rows": 3_000_000_000,
        "n_bytes": 5_000_000_000,
        "columns": [{"name": "score\0\ud800é", "type": "float64"}],
    }
    return metadata.datasets.add(tenant, **(values | changes))


def test_a_data_set_is_found_as_it_was_added(metadata, clock):
    added = add(metadata, name="may")
    assert added == metadata.datasets.get("acme", added.id)
    assert (added.name, added.n_rows, added.n_bytes) == ("may", 3_000_000_000, 5_000_000_000)
    assert added.columns == [{"name": "score\0\ud800é", "type": "float64"}]
    assert added.created == clock.now
    assert added.id.startswith("ds_")


def test_another_tenant_finds_nothing(metadata):
    mine = add(metadata)
    assert metadata.datasets.page("other").items == ()
    for call in (metadata.datasets.get, metadata.datasets.delete):
        with pytest.raises(NotFound):
            call("other", mine.id)
    assert metadata.datasets.get("acme", mine.id) == mine


def test_a_deleted_data_set_is_gone(metadata):
    mine = add(metadata)
    assert metadata.datasets.delete("acme", mine.id) == mine
    with pytest.raises(NotFound):
        metadata.datasets.get("acme", mine.id)
    with pytest.raises(NotFound):
        metadata.datasets.delete("acme", mine.id)


def test_the_same_job_adds_one_data_set(metadata):
    first = add(metadata, job_id="job_1")
    assert add(metadata, job_id="job_1", n_rows=7) == first
    assert add(metadata, "other", job_id="job_1") != first
    assert len(metadata.datasets.page("acme").items) == 1


def test_pages_go_from_the_newest_to_the_oldest_without_gaps(metadata):
    added = {add(metadata).id for _ in range(7)}
    seen, cursor = [], None
    while True:
        page = metadata.datasets.page("acme", limit=3, cursor=cursor)
        seen += [item.id for item in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == sorted(added, reverse=True)


def test_a_full_last_page_says_that_it_is_the_last(metadata):
    for _ in range(4):
        add(metadata)
    page = metadata.datasets.page("acme", limit=2)
    assert metadata.datasets.page("acme", limit=2, cursor=page.next).next is None


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_absurd_page_lengths_are_refused(metadata, limit):
    with pytest.raises(Unusable):
        metadata.datasets.page("acme", limit=limit)


@pytest.mark.parametrize("cursor", ["\0", "\ud800", "x" * 65])
def test_cursors_that_no_page_gave_are_refused(metadata, cursor):
    with pytest.raises(Unusable):
        metadata.datasets.page("acme", cursor=cursor)


@pytest.mark.parametrize("identifier", ["", "\0", "\ud800", "x" * 10_000, "ds_' OR 1=1"])
def test_identifiers_of_any_shape_are_simply_not_found(metadata, identifier):
    with pytest.raises(NotFound):
        metadata.datasets.get("acme", identifier)


def test_a_name_that_is_not_one_is_refused(metadata):
    with pytest.raises(Unusable):
        add(metadata, name="May 2013")


def test_json_that_is_not_a_number_is_refused_before_it_is_stored(metadata):
    with pytest.raises((ValueError, sa.exc.StatementError), match="JSON compliant"):
        add(metadata, columns=[float("nan")])
    assert metadata.datasets.page("acme").items == ()

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa


def add(metadata, tenant="acme", **changes):
    values = {"who": "key_1", "action": "dataset.delete", "object": "datasets/ds_1"}
    metadata.audit.add(tenant, **(values | changes))


def test_an_entry_is_found_as_it_was_added(metadata, clock):
    add(metadata, object_sha256="1" * 64, result="refused", detail={"rows": 3}, request_id="r")
    (entry,) = metadata.audit.page("acme").items
    assert (entry.who, entry.action, entry.object) == ("key_1", "dataset.delete", "datasets/ds_1")
    assert (entry.object_sha256, entry.result, entry.detail) == ("1" * 64, "refused", {"rows": 3})
    assert (entry.request_id, entry.time) == ("r", clock.now)


def test_each_tenant_sees_its_own_trail(metadata):
    add(metadata)
    add(metadata, "other", who="key_2")
    assert [entry.who for entry in metadata.audit.page("acme").items] == ["key_1"]
    assert [entry.who for entry in metadata.audit.page("other").items] == ["key_2"]


def test_the_trail_is_paged_newest_first_without_gaps(metadata):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: add(metadata, detail={"number": number}), range(25)))
    seen, cursor = [], None
    while True:
        page = metadata.audit.page("acme", limit=10, cursor=cursor)
        seen += page.items
        if page.next is None:
            break
        cursor = page.next
    assert {entry.detail["number"] for entry in seen} == set(range(25))
    order = [entry.sequence for entry in seen]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_the_trail(metadata, sql, statement):
    add(metadata)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        sql(statement)
    assert [entry.who for entry in metadata.audit.page("acme").items] == ["key_1"]


@pytest.mark.live
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_the_trail_cannot_be_truncated(metadata, sql):
    add(metadata)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        sql("TRUNCATE audit")
    assert len(metadata.audit.page("acme").items) == 1


def test_the_trail_has_no_way_to_change_an_entry(metadata):
    public = {name for name in dir(metadata.audit) if not name.startswith("_")}
    assert public == {"add", "page"}

from concurrent.futures import ThreadPoolExecutor

import pytest

from calibrant.errors import NoChampion, NotFound, Unusable
from calibrant.storage.references import Reference, parse_ref

H = "0" * 64


def add(metadata, name="flights", tenant="acme", **changes):
    values = {
        "task": "binary",
        "n_classes": 2,
        "kind": "isotonic",
        "method": "auto",
        "status": "converged",
        "servable": True,
        "artifact_sha256": H,
        "summary": {"candidates": [{"kind": "identity", "nll": 0.1 + 0.2}]},
    }
    return metadata.calibrators.add_version(tenant, name, **(values | changes))


def promote(metadata, version, *, alias="champion", name="flights", tenant="acme"):
    return metadata.calibrators.set_alias(
        tenant, name, alias, version, who="key_1", request_id="req"
    )


def test_a_version_is_found_as_it_was_added(metadata, clock):
    added = add(
        metadata,
        onnx_sha256="1" * 64,
        certificate={"max_difference": 1e-17},
        fit_rows_sha256="2" * 64,
        dataset_id="ds_x",
    )
    assert added == metadata.calibrators.version("acme", "flights", 1)
    assert added.certificate == {"max_difference": 1e-17}
    assert added.summary == {"candidates": [{"kind": "identity", "nll": 0.30000000000000004}]}
    assert (added.version, added.fit_rows_sha256, added.created) == (1, "2" * 64, clock.now)


def test_versions_count_from_one_for_each_name_and_tenant(metadata):
    assert [add(metadata).version for _ in range(3)] == [1, 2, 3]
    assert add(metadata, "weather").version == 1
    assert add(metadata, tenant="other").version == 1


def test_versions_added_at_once_get_consecutive_numbers(metadata):
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: add(metadata).version, range(40)))
    assert sorted(added) == list(range(1, 41))
    assert metadata.calibrators.get("acme", "flights").newest == 40


def test_the_same_job_makes_one_version_however_often_it_commits(metadata):
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: add(metadata, job_id="job_1").version, range(16)))
    assert made == {1}
    assert add(metadata, job_id="job_2").version == 2


@pytest.mark.parametrize("name", ["Flights", "", "a/b", "flights.calibrator"])
def test_names_that_are_not_allowed_are_refused(metadata, name):
    with pytest.raises(Unusable):
        add(metadata, name)
    assert metadata.calibrators.page("acme").items == ()


def test_another_tenant_finds_nothing(metadata):
    add(metadata)
    promote(metadata, 1)
    calibrators = metadata.calibrators
    assert calibrators.page("other").items == ()
    for call in (
        lambda: calibrators.get("other", "flights"),
        lambda: calibrators.version("other", "flights", 1),
        lambda: calibrators.versions("other", "flights"),
        lambda: calibrators.aliases("other", "flights"),
        lambda: calibrators.resolve("other", Reference("flights"), serving=True),
        lambda: promote(metadata, 1, tenant="other"),
        lambda: calibrators.delete_alias("other", "flights", "champion", who="key_1"),
    ):
        with pytest.raises(NotFound):
            call()
    assert metadata.audit.page("other").items == ()


def test_lists_of_names_show_their_aliases_page_by_page(metadata):
    for name in ("c", "a", "b"):
        add(metadata, name)
    promote(metadata, 1, name="b")
    promote(metadata, 1, name="b", alias="candidate")
    first = metadata.calibrators.page("acme", limit=2)
    assert [(item.name, item.newest, dict(item.aliases)) for item in first.items] == [
        ("a", 1, {}),
        ("b", 1, {"candidate": 1, "champion": 1}),
    ]
    last = metadata.calibrators.page("acme", limit=2, cursor=first.next)
    assert ([item.name for item in last.items], last.next) == (["c"], None)


def test_versions_are_listed_newest_first_page_by_page(metadata):
    for _ in range(5):
        add(metadata)
    first = metadata.calibrators.versions("acme", "flights", limit=3)
    assert [item.version for item in first.items] == [5, 4, 3]
    rest = metadata.calibrators.versions("acme", "flights", limit=3, cursor=first.next)
    assert ([item.version for item in rest.items], rest.next) == ([2, 1], None)


@pytest.mark.parametrize("cursor", ["x", "-1", "", "9" * 30])
def test_cursors_that_no_page_gave_are_refused(metadata, cursor):
    add(metadata)
    with pytest.raises(Unusable):
        metadata.calibrators.versions("acme", "flights", cursor=cursor)


@pytest.mark.parametrize(
    ("reference", "serving", "expected"),
    [
        ("flights", True, 1),
        ("flights", False, 3),
        ("flights@champion", False, 1),
        ("flights@candidate", True, 2),
        ("flights:2", True, 2),
        ("models:/flights/latest", True, 3),
    ],
)
def test_a_reference_means_one_version(metadata, reference, serving, expected):
    for _ in range(3):
        add(metadata)
    promote(metadata, 1)
    promote(metadata, 2, alias="candidate")
    found = metadata.calibrators.resolve("acme", parse_ref(reference), serving=serving)
    assert found.version == expected


@pytest.mark.parametrize("reference", ["flights:9", "flights@nobody", "nothing", "nothing:1"])
def test_a_reference_to_nothing_is_not_found(metadata, reference):
    add(metadata)
    with pytest.raises(NotFound):
        metadata.calibrators.resolve("acme", parse_ref(reference), serving=True)


def test_a_bare_name_without_a_champion_is_not_served_and_says_what_to_do(metadata):
    add(metadata)
    with pytest.raises(NoChampion, match="PUT /v1/calibrators/flights/aliases/champion"):
        metadata.calibrators.resolve("acme", Reference("flights"), serving=True)


def test_moving_an_alias_tells_where_it_was_and_leaves_a_trace(metadata, clock):
    add(metadata)
    add(metadata, artifact_sha256="2" * 64)
    assert promote(metadata, 1).previous is None
    moved = promote(metadata, 2)
    assert (moved.previous, moved.version) == (1, 2)
    assert metadata.calibrators.aliases("acme", "flights") == {"champion": 2}
    entry = metadata.audit.page("acme").items[0]
    assert (entry.who, entry.action, entry.object) == (
        "key_1",
        "alias.set",
        "calibrators/flights@champion",
    )
    assert entry.detail == {"previous": 1, "version": 2}
    assert (entry.object_sha256, entry.request_id, entry.time) == ("2" * 64, "req", clock.now)


def test_deleting_an_alias_tells_where_it_was_and_leaves_a_trace(metadata):
    add(metadata)
    promote(metadata, 1)
    gone = metadata.calibrators.delete_alias("acme", "flights", "champion", who="key_1")
    assert (gone.previous, gone.version) == (1, None)
    assert metadata.calibrators.aliases("acme", "flights") == {}
    assert metadata.audit.page("acme").items[0].detail == {"previous": 1, "version": None}
    with pytest.raises(NotFound):
        metadata.calibrators.delete_alias("acme", "flights", "champion", who="key_1")


def test_an_alias_to_a_version_that_is_not_there_neither_moves_nor_is_recorded(metadata):
    add(metadata)
    promote(metadata, 1)
    with pytest.raises(NotFound):
        promote(metadata, 2)
    assert metadata.calibrators.aliases("acme", "flights") == {"champion": 1}
    assert len(metadata.audit.page("acme").items) == 1


def test_moves_at_once_form_one_chain_in_the_audit_trail(metadata):
    for _ in range(8):
        add(metadata)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: promote(metadata, number % 8 + 1), range(40)))
    entries = metadata.audit.page("acme", limit=100).items[::-1]
    assert len(entries) == 40
    at = None
    for entry in entries:
        assert entry.detail["previous"] == at
        at = entry.detail["version"]
    assert metadata.calibrators.aliases("acme", "flights") == {"champion": at}

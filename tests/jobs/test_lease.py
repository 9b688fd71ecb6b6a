from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calibrant.jobs.lease import Lease, LeaseLost
from calibrant.storage.metadata.database import Database

GRACE = 0.3
MakeLease = Callable[[str], Lease]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.live)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLease]:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")()
    database = Database(url)
    yield lambda name: Lease(database, name, grace=GRACE, max_gap=GRACE / 2)
    database.close()


def claimed(make: MakeLease, name: str) -> Lease:
    lease = make(name)
    lease.claim()
    return lease


def test_whoever_renewed_within_the_grace_is_alive(make: MakeLease) -> None:
    one, two = claimed(make, "one"), claimed(make, "two")
    assert one.living() == {"one", "two"}
    time.sleep(GRACE * 0.7)
    two.renew()
    time.sleep(GRACE * 0.5)
    assert one.living() == {"two"}


def test_a_lease_that_ran_out_cannot_be_renewed(make: MakeLease) -> None:
    lease = claimed(make, "one")
    time.sleep(GRACE * 1.1)
    with pytest.raises(LeaseLost):
        lease.renew()


def test_of_two_workers_with_one_name_the_later_stays(make: MakeLease) -> None:
    earlier, later = claimed(make, "one"), claimed(make, "one")
    with pytest.raises(LeaseLost):
        earlier.renew()
    later.renew()
    assert later.living() == {"one"}


def test_a_worker_may_take_over_after_one_grace_without_a_gap(make: MakeLease) -> None:
    lease = claimed(make, "one")
    assert not lease.may_reap()
    for _ in range(5):
        time.sleep(GRACE / 4)
        lease.renew()
    assert lease.may_reap()


def test_a_gap_starts_the_waiting_anew(make: MakeLease) -> None:
    lease = claimed(make, "one")
    for pause in (0.25, 0.25, 0.25, 0.25, 0.25, 0.7):
        time.sleep(GRACE * pause)
        lease.renew()
    assert not lease.may_reap()


def test_a_released_lease_is_gone_at_once(make: MakeLease) -> None:
    one, two = claimed(make, "one"), claimed(make, "two")
    one.release()
    assert two.living() == {"two"}


def test_releasing_leaves_the_lease_of_a_successor_alone(make: MakeLease) -> None:
    earlier, later = claimed(make, "one"), claimed(make, "one")
    earlier.release()
    later.renew()
    assert later.living() == {"one"}


def test_only_workers_dead_for_long_are_forgotten(tmp_path: Path) -> None:
    """Forgetting a worker before its jobs were taken over would lose the takeover."""
    database = Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    old, new = (Lease(database, name, grace=0.02, max_gap=1) for name in ("old", "new"))
    old.claim()

    def known() -> set[str]:
        with database.read() as connection:
            return set(connection.exec_driver_sql("SELECT executor_id FROM job_leases").scalars())

    time.sleep(0.05)
    new.claim()
    new.prune()
    assert known() == {"old", "new"}
    time.sleep(0.2)
    new.claim()
    new.prune()
    assert known() == {"new"}
    database.close()

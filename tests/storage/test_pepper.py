import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from calibrant.errors import Unavailable
from calibrant.storage.pepper import read_or_make_pepper


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "data" / "pepper"
    first = read_or_make_pepper(path)
    assert len(first) == 32
    assert read_or_make_pepper(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_all_who_come_at_once_get_the_same_secret(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(read_or_make_pepper, [tmp_path / "pepper"] * 32))
    assert len(secrets) == 1


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "pepper"
    read_or_make_pepper(path)
    path.chmod(0o640)
    with pytest.raises(Unavailable, match="chmod 600"):
        read_or_make_pepper(path)


def test_a_secret_that_was_cut_short_is_refused(tmp_path):
    path = tmp_path / "pepper"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(Unavailable, match="cut short"):
        read_or_make_pepper(path)

import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from calibrant.errors import CalibrantError, NotFound, Unavailable, Unusable
from calibrant.storage.blobs import Blobs

HOUR = timedelta(hours=1)
NOW = timedelta(seconds=-1)


@pytest.fixture(params=["folder", "object store"])
def blobs(request, tmp_path):
    if request.param == "folder":
        return Blobs((tmp_path / "a folder #1").as_uri())
    return Blobs("memory:///", cache=tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def local(folder):
    return Blobs(folder.as_uri())


def test_a_blob_is_called_by_the_hash_of_its_content(blobs):
    blob = blobs.put(b"hello")
    assert (blob.sha256, blob.size) == (hashlib.sha256(b"hello").hexdigest(), 5)
    assert blobs.get(blob.sha256) == b"hello"
    assert blobs.exists(blob.sha256)


def test_an_empty_blob_is_a_blob(blobs):
    assert blobs.get(blobs.put(b"").sha256) == b""


def test_a_file_is_stored_as_its_bytes(blobs, tmp_path):
    content = os.urandom(3_000_001)
    (tmp_path / "upload").write_bytes(content)
    blob = blobs.put_file(tmp_path / "upload")
    assert blob == blobs.put(content)
    assert blobs.get(blob.sha256) == content


def test_pieces_are_stored_as_one_blob(blobs):
    with blobs.writing() as sink:
        for piece in (b"a", memoryview(b"bc"), bytearray(b"d")):
            sink.write(piece)
        blob = sink.keep()
    assert blob.size == 4
    assert blobs.get(blob.sha256) == b"abcd"


def test_what_is_not_kept_leaves_nothing_behind(local, folder):
    with local.writing() as sink:
        sink.write(b"x" * 100_000)
    assert not local.exists(hashlib.sha256(b"x" * 100_000).hexdigest())
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_failures_of_the_caller_stay_the_callers(blobs):
    with pytest.raises(ConnectionResetError), blobs.writing():
        raise ConnectionResetError


def test_storing_the_same_bytes_again_is_success(blobs):
    assert blobs.put(b"again") == blobs.put(b"again")


def test_a_local_path_holds_the_bytes(blobs):
    blob = blobs.put(b"for a child process")
    for _ in range(2):
        assert blobs.local_path(blob.sha256).read_bytes() == b"for a child process"


def test_an_object_of_several_ranges_is_copied_whole(tmp_path):
    blobs = Blobs("memory:///", cache=tmp_path / "cache")
    content = os.urandom(1 << 20) * 40
    assert blobs.local_path(blobs.put(content).sha256).read_bytes() == content


@pytest.mark.parametrize("sha256", ["0" * 64, "", "../../etc/passwd", "A" * 64, "0" * 63 + "\n"])
def test_what_is_not_there_is_not_found(blobs, sha256):
    with pytest.raises(NotFound):
        blobs.get(sha256)
    with pytest.raises(NotFound):
        blobs.local_path(sha256)
    assert not blobs.exists(sha256)


def test_a_deleted_blob_is_gone_and_deleting_it_again_is_fine(blobs):
    blob = blobs.put(b"x")
    blobs.delete(blob.sha256)
    blobs.delete(blob.sha256)
    assert not blobs.exists(blob.sha256)


def test_blobs_are_still_there_when_the_folder_is_opened_again(local, folder):
    blob = local.put(b"kept")
    assert Blobs(folder.as_uri()).get(blob.sha256) == b"kept"


def test_a_blob_whose_bytes_changed_is_never_answered(local):
    blob = local.put(b"truth")
    local.local_path(blob.sha256).write_bytes(b"trust")
    with pytest.raises(CalibrantError, match="damaged"):
        local.get(blob.sha256)


def test_storing_a_damaged_blob_again_heals_it(local):
    blob = local.put(b"truth")
    local.local_path(blob.sha256).write_bytes(b"tr")
    local.put(b"truth")
    assert local.get(blob.sha256) == b"truth"


def test_collecting_removes_what_nothing_refers_to(blobs):
    kept, dropped = blobs.put(b"kept"), blobs.put(b"dropped")
    collected = blobs.collect({kept.sha256}, min_age=NOW)
    assert (collected.count, collected.size) == (1, 7)
    assert blobs.exists(kept.sha256)
    assert not blobs.exists(dropped.sha256)


def test_collecting_spares_what_is_young(blobs):
    blob = blobs.put(b"its pointer is about to be committed")
    assert blobs.collect((), min_age=HOUR).count == 0
    assert blobs.exists(blob.sha256)


def _age(blobs, blob, age=7200):
    path = blobs.local_path(blob.sha256)
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_blob_stored_again_is_young_again(local):
    blob = local.put(b"old")
    _age(local, blob)
    local.put(b"old")
    assert local.collect((), min_age=HOUR).count == 0


def test_blobs_stored_while_collecting_are_never_lost(local):
    contents = [b"%d" % number for number in range(20)]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(20):
            for content in contents:
                _age(local, local.put(content))
            collecting = pool.submit(local.collect, (), min_age=HOUR)
            stored = list(pool.map(local.put, reversed(contents)))
            collecting.result()
            assert all(local.exists(blob.sha256) for blob in stored)


def test_two_may_collect_at_once(local):
    for number in range(50):
        _age(local, local.put(b"%d" % number))
    with ThreadPoolExecutor(2) as pool:
        collected = list(pool.map(lambda _: local.collect((), min_age=HOUR), range(2)))
    assert sum(one.count for one in collected) == 50


def test_many_may_store_the_same_blob_at_once(blobs):
    content = os.urandom(200_000)
    with ThreadPoolExecutor(8) as pool:
        stored = set(pool.map(blobs.put, [content] * 32))
    assert len(stored) == 1
    assert blobs.get(stored.pop().sha256) == content


def test_nobody_reads_half_a_blob(local):
    content = os.urandom(500_000)
    sha256 = hashlib.sha256(content).hexdigest()
    with ThreadPoolExecutor(2) as pool:
        storing = pool.submit(lambda: [local.put(content) for _ in range(40)])
        while not local.exists(sha256):
            pass
        while not storing.done():
            assert local.local_path(sha256).read_bytes() == content


def test_sweeping_removes_old_drafts_and_spares_young_ones(local, folder):
    old, young = folder / "incoming" / "old", folder / "incoming" / "young"
    old.write_bytes(b"torn")
    young.write_bytes(b"being written")
    os.utime(old, (0, 0))
    blob = local.put(b"a blob")
    _age(local, blob)
    assert local.sweep() == 1
    assert young.exists()
    assert local.exists(blob.sha256)


def test_sweeping_empties_the_cache_of_copies_nobody_reads(tmp_path):
    blobs = Blobs("memory:///", cache=tmp_path / "cache")
    unread, read = blobs.put(b"unread"), blobs.put(b"read")
    _age(blobs, unread, 100_000)
    _age(blobs, read, 100_000)
    path = blobs.local_path(read.sha256)
    assert blobs.sweep() == 1
    assert path.exists()
    assert blobs.local_path(unread.sha256).read_bytes() == b"unread"


def test_a_store_that_is_away_is_unavailable(local, folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir()
    folder.rmdir()
    with pytest.raises(Unavailable):
        local.put(b"x")


@pytest.mark.parametrize("url", ["", "blobs", "/blobs", "http://host/x", "ftp://host/x"])
def test_urls_of_no_store_are_refused(url, tmp_path):
    with pytest.raises(Unusable):
        Blobs(url, cache=tmp_path)


def test_an_object_store_asks_for_a_cache():
    with pytest.raises(Unusable, match="cache"):
        Blobs("memory:///")


_WRITER = """
import os, sys
from calibrant.storage.blobs import Blobs
blobs = Blobs(sys.argv[1])
while True:
    print(blobs.put(os.urandom(300_000)).sha256, flush=True)
"""


@pytest.mark.live
def test_a_killed_writer_loses_no_stored_blob_and_leaves_no_torn_one(local, folder):
    stored = []
    for round_ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, folder.as_uri()], stdout=subprocess.PIPE, text=True
        )
        stored += [writer.stdout.readline().strip() for _ in range(5 + round_)]
        writer.send_signal(signal.SIGKILL)
        stored += [line.strip() for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
    assert len(stored) >= 35
    for path in (folder / "sha256").rglob("*"):
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name + path.name
    for sha256 in stored:
        assert local.exists(sha256)
    local.sweep(torn_after=NOW)
    assert list((folder / "incoming").iterdir()) == []

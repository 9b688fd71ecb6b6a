"""What was acknowledged survives: real processes, killed without warning."""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from calibrant.errors import Unavailable
from calibrant.storage.blobs import Blobs
from calibrant.storage.metadata import Metadata

H = "0" * 64

_WRITER = """
import sys
from calibrant.storage.metadata import Metadata
metadata = Metadata(sys.argv[1], pepper=bytes(32))
number = int(sys.argv[2])
while True:
    job = metadata.jobs.add("acme", "fit", b"{}", idempotency_key=str(number))
    with metadata.transaction() as together:
        together.jobs.finish("acme", job.id, {"number": number})
        version = together.calibrators.add_version(
            "acme", "flights", task="binary", n_classes=2, kind="identity", method="auto",
            status="ok", servable=True, artifact_sha256="0" * 64, summary={}, job_id=job.id,
        )
        together.calibrators.set_alias("acme", "flights", "champion", version.version, who=job.id)
    print(number, version.version, flush=True)
    number += 1
"""


@pytest.mark.live
def test_a_killed_writer_loses_no_acknowledged_write_and_applies_none_twice(url):
    acknowledged = {}
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, url, str(len(acknowledged))],
            stdout=subprocess.PIPE,
            text=True,
        )
        for count, line in enumerate(writer.stdout):
            number, version = map(int, line.split())
            acknowledged[number] = version
            if count == 15:
                writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert len(acknowledged) >= 8 * 16
    metadata = Metadata(url, pepper=bytes(32))
    found = metadata.calibrators.versions("acme", "flights", limit=1000).items
    # The last write of a killed process may be there without its acknowledgement having come
    # through; its retry under the same key then gets the version it made.
    numbers = {
        metadata.jobs.get("acme", item.job_id).result["number"]: item.version for item in found
    }
    assert len(numbers) == len(found)
    assert numbers | acknowledged == numbers
    assert metadata.calibrators.aliases("acme", "flights") == {"champion": max(numbers.values())}
    moves = [entry.detail["version"] for entry in metadata.audit.page("acme", limit=1000).items]
    assert set(moves) == set(numbers.values())
    metadata.close()


@pytest.mark.live
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_an_outage_is_reported_and_over_when_the_database_is_back(metadata, postgres):
    metadata.evaluations.add("acme", headline={}, report_sha256=H)
    postgres.stop(signal.SIGQUIT)
    try:
        with pytest.raises(Unavailable):
            metadata.ping()
        with pytest.raises(Unavailable):
            metadata.evaluations.page("acme")
    finally:
        postgres.start()
    metadata.ping()
    assert len(metadata.evaluations.page("acme").items) == 1


def test_blobs_that_a_row_points_to_are_never_collected(metadata, tmp_path):
    blobs = Blobs((tmp_path / "blobs").as_uri())
    stored = {
        name: blobs.put(name.encode()).sha256
        for name in ("upload", "table", "report", "artifact", "onnx", "rows", "orphan")
    }
    metadata.datasets.add(
        "acme",
        sha256=stored["upload"],
        table_sha256=stored["table"],
        media_type="text/csv",
        n_rows=1,
        n_bytes=1,
        columns=[],
    )
    metadata.evaluations.add("other", headline={}, report_sha256=stored["report"])
    metadata.calibrators.add_version(
        "acme",
        "flights",
        task="binary",
        n_classes=2,
        kind="identity",
        method="auto",
        status="ok",
        servable=True,
        artifact_sha256=stored["artifact"],
        summary={},
        onnx_sha256=stored["onnx"],
        fit_rows_sha256=stored["rows"],
    )
    blobs.collect(metadata.referenced_blobs(), min_age=timedelta(seconds=-1))
    assert [name for name, sha256 in stored.items() if not blobs.exists(sha256)] == ["orphan"]


def test_nothing_is_left_open_when_the_metadata_is_closed(url):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    for _ in range(3):
        opened = Metadata(url, pepper=bytes(32))
        opened.ping()
        opened.migrate()
        opened.close()
    assert open_files() == before

"""Memory stays within bounds, whatever the size of the table: measured in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

MEASURE = """
import sys
from pathlib import Path
import numpy, pyarrow.compute, pyarrow.csv, pyarrow.ipc, pyarrow.parquet
from calibrant.errors import CalibrantError
from calibrant.storage.tables import ColumnMapping, Limits, TableSource, canonical

def peak():
    # not getrusage: its maximum includes what the parent had resident when it forked
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024

imports = peak()
what, path, out = sys.argv[1:4]
if what == "canonical":
    try:
        canonical(Path(path), None, Path(out), Limits(), name=path)
    except CalibrantError as error:
        print(error.code, file=sys.stderr)
else:
    scores = tuple(f"p_{place}" for place in range(10))
    mapping = ColumnMapping(scores=scores, labels="y")
    source = TableSource(Path(path), mapping, "multiclass", "probabilities", "ab" * 32)
    assert sum(map(len, source.chunks())) == source.n_rows
print(imports, peak())
"""


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc"
)


def peak(what: str, path: Path, out: Path) -> tuple[int, int]:
    """Return the resident MiB after the imports and at most."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, what, str(path), str(out)],
        check=True,
        capture_output=True,
        text=True,
    )
    imports, most = map(int, done.stdout.split())
    return imports, most


def test_one_long_text_over_many_rows_takes_no_more_than_one(tmp_path):
    codes = np.zeros(50_000, np.int32)
    table = pa.table({"s": pa.DictionaryArray.from_arrays(codes, ["x" * 60_000])})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    for name in ("a.parquet", "a.arrow"):
        imports, most = peak("canonical", tmp_path / name, tmp_path / "out")
        assert most - imports < 100  # 3,000 if every row held its copy


def test_a_gzip_bomb_takes_no_memory(tmp_path):
    import gzip

    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"p,s\n")
        for _ in range(100):
            file.write(b"0.5," + b"x" * 2_000_000)
    imports, most = peak("canonical", path, tmp_path / "out")
    assert most - imports < 150


@pytest.mark.slow
def test_a_csv_file_of_250_mb_stays_below_300_mb(tmp_path, rng):
    n = 10_000_000
    regions = np.array([f"reg{place}" for place in range(20)])
    pa.csv.write_csv(
        pa.table(
            {
                "p": rng.random(n).round(6),
                "y": rng.integers(0, 2, n),
                "region": pa.array(regions[rng.integers(0, 20, n)]),
                "id": np.arange(n),
            }
        ),
        tmp_path / "a.csv",
    )
    assert (tmp_path / "a.csv").stat().st_size > 250e6
    _, most = peak("canonical", tmp_path / "a.csv", tmp_path / "out")
    print(f"CSV, 10 M rows: {most} MiB resident")
    assert most < 300


@pytest.mark.slow
def test_ten_million_rows_of_ten_classes_stay_below_200_mb(tmp_path, rng):
    n = 10_000_000
    table = pa.table({f"p_{place}": rng.random(n, dtype=np.float32) for place in range(10)})
    table = table.append_column("y", pa.array(rng.integers(0, 10, n)))
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=n)
    for what, path in (("canonical", "a.parquet"), ("chunks", "out"), ("chunks", "a.parquet")):
        imports, most = peak(what, tmp_path / path, tmp_path / "out")
        print(f"{what}, 10 M x 10 float32, {path}: {most - imports} MiB beyond the imports")
        assert most - imports < 200

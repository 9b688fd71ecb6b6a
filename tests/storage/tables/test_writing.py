"""A table with columns appended, in the format its name asks for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calibrant.errors import BadRequest, UnsupportedMedia, Unusable
from calibrant.storage.tables import Limits, canonical, write_columns

N = 70_000  # more than one batch
SUFFIXES = ["csv", "tsv", "ndjson", "jsonl", "parquet", "arrow", "arrows", "npz"]


@pytest.fixture
def table(tables):
    sink = io.BytesIO()
    columns = {
        "p": np.linspace(0, 1, N),
        "y": pa.array(np.arange(N) % 2, mask=np.arange(N) % 5 == 0),
        "s": ["eu", None, 'a "b",\nc'] * (N // 3) + ["us"],
        "t": pa.array(np.arange(N), pa.timestamp("s")),
    }
    pq.write_table(pa.table(columns), sink)
    tables.read(sink.getvalue())
    return tables


def pieces(values: Any, size: int) -> Iterator[Any]:
    return (values[start : start + size] for start in range(0, len(values), size))


@pytest.mark.parametrize("suffix", [*SUFFIXES, "csv.gz", "ndjson.zst", "parquet.gz", "npz.zst"])
def test_a_table_comes_back_with_the_new_column(table, suffix):
    out = table.folder / f"out.{suffix}"
    added = np.sqrt(np.linspace(0, 1, N))
    write_columns(out, table.out, {"calibrated": pieces(added, 7_001)})
    again = table.folder / "again.parquet"
    info = canonical(out, None, again, Limits(), name=out.name)
    found, before = pq.read_table(again), pq.read_table(table.out)
    assert [column.name for column in info.columns] == ["p", "y", "s", "t", "calibrated"]
    assert np.array_equal(found["calibrated"].to_numpy(), added)
    assert found["p"].equals(before["p"])
    wanted = before["s"].fill_null("") if suffix.startswith("npz") else before["s"]
    assert found["s"].to_pylist() == wanted.to_pylist()
    labels = found["y"].to_numpy()
    assert np.array_equal(labels, before["y"].to_numpy(), equal_nan=True)


def test_pieces_of_a_matrix_become_a_column_per_class(table):
    out = table.folder / "out.parquet"
    matrix = np.linspace(0, 1, 3 * N, dtype=np.float32).reshape(N, 3)
    write_columns(out, table.out, {"cal": pieces(matrix, 40_000)})
    found = pq.read_table(out)
    for place in range(3):
        assert np.array_equal(found[f"cal_{place}"].to_numpy(), matrix[:, place])


def test_pieces_of_a_matrix_are_one_array_in_npz(table):
    out = table.folder / "out.npz"
    matrix = np.linspace(0, 1, 3 * N, dtype=np.float32).reshape(N, 3)
    write_columns(out, table.out, {"cal": pieces(matrix, 40_000)})
    with np.load(out, allow_pickle=False) as found:
        assert np.array_equal(found["cal"], matrix)
        assert found["p"].shape == (N,)


def test_a_source_can_be_written_too(table):
    out = table.folder / "out.parquet"
    write_columns(out, table.source(labels="y"), {})
    assert pq.read_table(out).equals(pq.read_table(table.out))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("rows", "how"), [(N - 1, "fewer"), (N + 1, "more"), (0, "fewer")])
def test_a_column_of_another_length_is_refused_and_nothing_is_left(table, suffix, rows, how):
    out = table.folder / f"out.{suffix}"
    with pytest.raises(Unusable, match=f"`cal` has {how} rows"):
        write_columns(out, table.out, {"cal": pieces(np.zeros(rows), 65_536)})
    assert [path.name for path in table.folder.iterdir() if path.name.startswith("out")] == []


def test_a_name_that_is_taken_is_refused(table):
    with pytest.raises(BadRequest, match="`p` is there more than once"):
        write_columns(table.folder / "out.csv", table.out, {"p": iter([np.zeros(N)])})


@pytest.mark.parametrize("name", ["out", "out.xlsx", "out.json", "out.gz"])
def test_a_name_of_no_written_format_is_refused(table, name):
    with pytest.raises(UnsupportedMedia, match="file name"):
        write_columns(table.folder / name, table.out, {})


def test_a_file_of_that_name_stays_until_the_new_one_is_complete(table):
    out = table.folder / "out.csv"
    out.write_text("before")
    with pytest.raises(Unusable):
        write_columns(out, table.out, {"cal": iter([np.zeros(3)])})
    assert out.read_text() == "before"
    write_columns(out, table.out, {})
    assert out.read_text().startswith('"p","y","s","t"\n')

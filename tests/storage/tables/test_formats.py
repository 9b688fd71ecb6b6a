"""Every format and coding gives the same table."""

from __future__ import annotations

import gzip
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibrant.errors import BadRequest, UnsupportedMedia
from calibrant.storage.tables import Limits, TableInfo, canonical, format_of, sniff, write_columns

ROWS: dict[str, list[Any]] = {
    "p": [0.1, 0.25, 1e-300, 1.0],
    "y": [0, 1, None, 1],
    "region": ["eu", None, 'ü, "x"\nz', "us"],
    "ok": [True, False, None, True],
    "id": [1, 2, 3, 2**53 + 1],
}
CODINGS = {
    "plain": lambda raw: raw,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "two gzip members": lambda raw: gzip.compress(raw[:7]) + gzip.compress(raw[7:]),
    "two zstd frames": lambda raw: zstandard.compress(raw[:7]) + zstandard.compress(raw[7:]),
}


def encoded(form: str) -> bytes:
    table = pa.table(ROWS)
    sink = io.BytesIO()
    if form == "csv":
        cells = [",".join(ROWS)]
        cells += [",".join(map(_cell, row)) for row in zip(*ROWS.values(), strict=True)]
        return "\n".join(cells).encode() + b"\n"
    if form == "ndjson":
        rows = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
        return "\n".join(map(json.dumps, rows)).encode()
    if form == "json rows":
        rows = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
        return json.dumps(rows, indent=1).encode()
    if form == "json columns":
        return json.dumps(ROWS).encode()
    if form == "parquet":
        pq.write_table(table, sink, row_group_size=3)
    elif form == "arrow file":
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    else:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=3)
    return sink.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return '"' + text.replace('"', '""') + '"' if isinstance(value, str) else text


FORMATS = ["csv", "ndjson", "json rows", "json columns", "parquet", "arrow file", "arrow stream"]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_and_coding_gives_the_same_table(tables, form, coding):
    assert tables.values(CODINGS[coding](encoded(form))) == ROWS


@pytest.mark.parametrize("coding", CODINGS)
def test_npz_gives_the_same_table_where_it_can_hold_it(tables, coding):
    sink = io.BytesIO()
    np.savez(sink, p=np.array(ROWS["p"]), region=np.array(["eu", "", "ü", "us"]))
    values = tables.values(CODINGS[coding](sink.getvalue()))
    assert values == {"p": ROWS["p"], "region": ["eu", "", "ü", "us"]}


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_known_about_a_table_does_not_depend_on_its_format(tables, form):
    import hashlib

    raw = encoded(form)
    info = tables.read(raw)
    assert info.n_rows == 4
    assert {column.name: column.n_null for column in info.columns} == {
        "p": 0,
        "y": 1,
        "region": 1,
        "ok": 1,
        "id": 0,
    }
    assert [column.type for column in info.columns] == [
        "double",
        "int64",
        "string",
        "bool",
        "int64",
    ]
    assert info.sha256 == hashlib.sha256(raw).hexdigest()
    assert info.bytes == len(raw)


@pytest.mark.parametrize(
    ("name", "form", "coding"),
    [
        ("a.csv", "csv", None),
        ("A.TSV.GZ", "csv", "gzip"),
        ("a.b.jsonl.zst", "ndjson", "zstd"),
        ("a.json", "json", None),
        ("a.pq", "parquet", None),
        ("a.feather", "arrow", None),
        ("a.npz", "npz", None),
    ],
)
def test_a_file_name_says_format_and_coding(name, form, coding):
    found = format_of(name)
    assert found is not None
    assert (found.format, found.coding) == (form, coding)


def test_a_name_of_no_known_format_says_nothing():
    assert format_of("model.onnx") is None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("p,y\n1,2\n", "csv"),
        ('{"p": 1, "y": 2}\n{"p": 1, "y": 2}\n', "ndjson"),
        ('{"p": 1, "y": 2}', "ndjson"),
        ('{"p": [0.2, 0.8]}\n{"p": [0.2, 0.8]}\n', "ndjson"),
        ('{"p": [1, 2],\n "y": [1, 2]}', "json"),
        ('{"p": [1, 2]}', "json"),
        ("\n [1]", "json"),
    ],
)
def test_text_formats_are_told_apart_by_their_beginning(tables, text, form):
    assert sniff(tables.file(text)).format == form


def test_a_declared_media_type_decides_over_the_name(tables):
    path = tables.file('{"p": 0.5}\n')
    assert sniff(path, "a.json", "application/x-ndjson; charset=utf-8").format == "ndjson"


def test_a_media_type_that_nobody_reads_is_refused(tables):
    tables.refused(UnsupportedMedia, "p\n1\n", media_type="image/png", says="CSV")


@pytest.mark.parametrize(
    ("declared", "form"),
    [("text/csv", "parquet"), ("application/json", "arrow file"), ("application/x-npz", "csv")],
)
def test_bytes_of_another_format_than_declared_are_refused(tables, declared, form):
    tables.refused(BadRequest, encoded(form), media_type=declared, says="declared")


def test_a_declared_coding_that_the_bytes_do_not_have_is_refused(tables):
    with pytest.raises(BadRequest, match="not gzip"):
        canonical(tables.file("p\n1\n"), "text/csv", tables.out, Limits(), coding="gzip")


def test_double_compression_is_refused(tables):
    tables.refused(UnsupportedMedia, gzip.compress(gzip.compress(b"p\n1\n")), says="more than once")


@pytest.mark.parametrize("content", [b"", b" \n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_upload_is_refused(tables, content):
    tables.refused(BadRequest, content, says="empty")


@pytest.mark.parametrize(
    "head", [b"\x80\x04\x95pickle", b"\x93NUMPY\x01\x00", b"FEA1....", b"\x89HDF\r\n", b"a\0b"]
)
def test_what_is_no_table_format_is_refused(tables, head):
    tables.refused(UnsupportedMedia, head + b" " * 64)


def test_what_is_known_about_a_table_survives_a_process(tables):
    info = tables.read(encoded("csv"))
    assert msgspec.json.decode(msgspec.json.encode(info), type=TableInfo) == info


def test_the_readers_do_not_load_arrow_before_they_read():
    code = "import sys, calibrant.storage.tables; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


cells = st.fixed_dictionaries(
    {
        "p": st.floats(allow_nan=False, allow_infinity=False),
        "f": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "y": st.none() | st.integers(-(2**63), 2**63 - 1),
        "b": st.none() | st.booleans(),
        "s": st.none()
        | st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), min_size=1),
    }
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(cells, min_size=1, max_size=12),
    suffix=st.sampled_from(["parquet", "arrow", "arrows", "ndjson", "csv", "tsv"]),
    coding=st.sampled_from(["", ".gz", ".zst"]),
)
def test_any_table_survives_every_format_and_coding(tmp_path: Path, rows, suffix, coding):
    schema = pa.schema(
        [
            ("p", pa.float64()),
            ("f", pa.float32()),
            ("y", pa.int64()),
            ("b", pa.bool_()),
            ("s", pa.string()),
        ]
    )
    table = pa.Table.from_pylist(rows, schema)
    first, second = tmp_path / "first", tmp_path / "second"
    pq.write_table(table, tmp_path / "upload")
    canonical(tmp_path / "upload", None, first, Limits())
    written = tmp_path / f"out.{suffix}{coding}"
    write_columns(written, first, {})
    canonical(written, None, second, Limits(), name=written.name)
    assert _same(pq.read_table(second).to_pydict(), table.to_pydict(), suffix)


def _same(found: dict[str, list[Any]], wanted: dict[str, list[Any]], suffix: str) -> bool:
    if suffix in {"csv", "tsv"}:  # text and the kinds of numbers are learned anew
        return (
            all(
                math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-44)
                for a, b in zip(found["f"], wanted["f"], strict=True)
            )
            and found["p"] == wanted["p"]
        )
    if suffix == "ndjson":
        return all(found[name] == wanted[name] for name in ("p", "y", "b", "s"))
    return found == wanted

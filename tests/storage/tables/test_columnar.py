"""Parquet and Arrow: types as they are kept, and hostile files."""

from __future__ import annotations

import io
import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calibrant.errors import BadRequest, CalibrantError, TooLarge, Unusable
from calibrant.storage.tables import Limits


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def stream(table: pa.Table, compression: str | None = None, **options: Any) -> bytes:
    sink = io.BytesIO()
    written = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=written) as writer:
        writer.write_table(table, **options)
    return sink.getvalue()


def arrow_file(table: pa.Table, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


WRITERS = {"parquet": parquet, "stream": stream, "file": arrow_file}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([0.5, None], pa.float16()), "float", [0.5, None]),
        (pa.array([1, None], pa.uint64()), "uint64", [1, None]),
        (pa.array([Decimal("0.25"), None]), "double", [0.25, None]),
        (pa.array(["a", None], pa.large_string()), "string", ["a", None]),
        (pa.array(["a", None, "a"]).dictionary_encode(), "string", ["a", None, "a"]),
        (pa.array([7, None, 7]).dictionary_encode(), "int64", [7, None, 7]),
        (pa.nulls(2), "null", [None, None]),
        (
            pa.array([date(2013, 3, 1), None]),
            "timestamp[us, tz=UTC]",
            [datetime(2013, 3, 1, tzinfo=UTC), None],
        ),
        (
            pa.array([1, None], pa.timestamp("s", tz="Europe/Berlin")),
            "timestamp[us, tz=UTC]",
            [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), None],
        ),
        (
            pa.array([1_999, None], pa.timestamp("ns")),
            "timestamp[us, tz=UTC]",
            [datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), None],
        ),
    ],
)
def test_columns_are_kept_in_few_types(tables, write, array, kind, values):
    raw = write(pa.table({"a": array}))
    assert tables.types(raw) == {"a": kind}
    assert tables.values(raw)["a"] == values


@pytest.mark.parametrize("write", [stream, arrow_file])
def test_a_null_inside_a_dictionary_is_a_missing_value(tables, write):
    array = pa.DictionaryArray.from_arrays([0, 1, None], ["a", None])
    assert tables.values(write(pa.table({"a": array})))["a"] == ["a", None, None]


def test_string_views_are_text(tables):
    raw = stream(pa.table({"a": pa.array(["a", None, "b" * 40], pa.string_view())}))
    assert tables.values(raw)["a"] == ["a", None, "b" * 40]


def test_dictionaries_that_change_between_batches_are_read(tables):
    batches = [
        pa.record_batch({"a": pa.array(texts).dictionary_encode()})
        for texts in (["x", "y"], ["y", "z"])
    ]
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    assert tables.values(sink.getvalue())["a"] == ["x", "y", "y", "z"]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1.0]]),
        pa.array([[1.0]], pa.list_(pa.float64(), 1)),
        pa.array([{"a": 1}]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([b"raw"]),
        pa.array([b"raw"], pa.binary(3)),
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time32("s")),
    ],
)
def test_types_that_are_not_read_are_refused_by_column(tables, write, array):
    tables.refused(Unusable, write(pa.table({"p": [0.5], "odd": array})), says="`odd`")


def test_run_end_encoding_is_refused(tables):
    array = pa.RunEndEncodedArray.from_arrays(pa.array([2**40], pa.int64()), pa.array([1.0]))
    table = pa.table({"odd": array.slice(0, 1)})
    tables.refused(Unusable, stream(table), says="`odd` is nested")


@pytest.mark.parametrize("registered", [True, False])
def test_extension_types_are_refused_and_never_run(tables, write, registered):
    kind = pa.uuid() if registered else pa.binary(16)
    metadata = None if registered else {"ARROW:extension:name": "ray.data.arrow_pickled_object"}
    array = pa.array([b"0" * 16], pa.binary(16)).cast(kind) if registered else [b"0" * 16]
    schema = pa.schema([pa.field("odd", kind, metadata=metadata)])
    tables.refused(Unusable, write(pa.table([array], schema)), says="`odd`")


def test_duplicate_columns_are_refused_by_name(tables, write):
    table = pa.table([[1.0], [2.0]], names=["p", "p"])
    tables.refused(BadRequest, write(table), says="`p` is there more than once")


def test_too_many_columns_are_refused(tables, write):
    table = pa.table({f"c{i}": [1] for i in range(60)})
    tables.refused(TooLarge, write(table), limits=Limits(max_columns=50), says="60 columns")


def test_tables_without_rows_or_columns_are_refused(tables, write):
    with pytest.raises((Unusable, BadRequest)):
        tables.read(write(pa.table({"p": pa.array([], pa.float64())})))
    with pytest.raises((Unusable, BadRequest)):
        tables.read(write(pa.table({})))


def test_nul_is_refused_by_column_and_row(tables, write, canary):
    texts = pa.array(["ok", canary + "\0", None, "ok", "\0"])
    for array in (texts, texts.dictionary_encode()):
        tables.refused(
            Unusable, write(pa.table({"s": array})), says="`s` holds the character NUL: at least 2"
        )


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80"])
def test_text_that_is_not_utf8_is_refused_by_column(tables, write, bad, canary):
    raw = pa.array([b"ok", canary.encode() + bad])
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    tables.refused(Unusable, write(pa.table({"s": text})), says="`s`")


def test_timestamps_that_do_not_fit_are_refused_by_column(tables):
    table = pa.table({"t": pa.array([2**60], pa.timestamp("s"))})
    tables.refused(Unusable, stream(table), says="`t` holds values that are damaged or do not fit")


def test_a_cut_off_file_is_refused(tables, write, rng):
    raw = write(pa.table({"p": rng.random(10_000), "s": ["eu", "us"] * 5_000}))
    for end in range(1, len(raw), max(1, len(raw) // 60)):
        with pytest.raises(CalibrantError):
            tables.read(raw[:end], "a.arrow" if raw[:4] != b"PAR1" else "a.parquet")


def test_a_stream_without_its_end_mark_is_refused(tables, rng):
    raw = stream(pa.table({"p": rng.random(100)}))
    tables.refused(BadRequest, raw[:-8], "a.arrows", says="no end mark")


def test_flipped_bytes_never_end_in_anything_but_our_errors(tables, write, rng):
    labels = rng.integers(0, 2, 300)
    raw = write(pa.table({"p": rng.random(300), "y": labels, "s": ["eu", "us", None] * 100}))
    refused = 0
    for _ in range(100):
        damaged = bytearray(raw)
        damaged[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        try:
            tables.read(bytes(damaged), "a.parquet" if raw[:4] == b"PAR1" else "a.arrow")
        except CalibrantError:
            refused += 1
    assert refused > 0


def test_a_parquet_bomb_is_refused_by_its_rows(tables):
    raw = parquet(pa.table({"p": np.zeros(4_000_000)}), compression="zstd")
    assert len(raw) < 40_000
    tables.refused(TooLarge, raw, limits=Limits(max_bytes=2**24), says="would take more")


def test_too_many_rows_are_refused_before_decoding(tables, write):
    table = pa.table({"p": np.zeros(1001)})
    tables.refused(TooLarge, write(table), limits=Limits(max_rows=1000), says="1,001 rows")


def test_one_long_text_over_many_rows_is_counted_at_its_full_length(tables, write):
    codes = np.zeros(100_000, np.int32)
    table = pa.table({"s": pa.DictionaryArray.from_arrays(codes, ["x" * 60_000])})
    raw = write(table)
    assert len(raw) < 2**20
    tables.refused(TooLarge, raw, says="takes more than")


def test_string_views_into_one_long_text_are_counted_at_its_full_length(tables):
    view = struct.pack("<i4sii", 60_000, b"xxxx", 0, 0)
    buffers = [None, pa.py_buffer(view * 100_000), pa.py_buffer(b"x" * 60_000)]
    views = pa.Array.from_buffers(pa.string_view(), 100_000, buffers)
    tables.refused(TooLarge, stream(pa.table({"s": views})), says="takes more than")


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_an_arrow_bomb_is_refused_by_what_its_buffers_declare(tables, compression):
    table = pa.table({"p": np.zeros(8_000_000)})
    for raw in (stream(table, compression), arrow_file(table, compression)):
        assert len(raw) < 2**20
        tables.refused(TooLarge, raw, limits=Limits(max_block_bytes=2**24), says="record batch")
        tables.refused(TooLarge, raw, limits=Limits(max_bytes=2**24), says="would take more")


def test_an_arrow_dictionary_bomb_is_refused(tables):
    values = pa.array(["x" * 1000] * 20_000)
    table = pa.table({"s": pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), values)})
    tables.refused(TooLarge, stream(table, "zstd"), limits=Limits(max_block_bytes=2**20))


def test_large_plain_batches_are_read_where_they_lie(tables):
    table = pa.table({"p": np.zeros(500_000)})
    info = tables.read(arrow_file(table), limits=Limits(max_block_bytes=2**20))
    assert info.n_rows == 500_000


def test_a_buffer_that_declares_a_huge_size_is_refused(tables):
    raw = bytearray(stream(pa.table({"p": np.zeros(100_000)}), "zstd"))
    place = raw.find(struct.pack("<q", 800_000))
    raw[place : place + 8] = struct.pack("<q", 2**62)
    tables.refused(TooLarge, bytes(raw))


def test_encrypted_and_footerless_parquet_is_refused(tables):
    raw = parquet(pa.table({"p": [0.5]}))
    tables.refused(BadRequest, raw[:-4] + b"PARE", says="no footer")
    tables.refused(BadRequest, raw[:-8] + b"\xff\xff\x00\x00PAR1")
    tables.refused(TooLarge, raw[:-8] + b"\xff\xff\xff\x7fPAR1", says="footer")

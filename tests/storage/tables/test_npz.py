"""NPZ: arrays as columns, and what is refused before any data is read."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from calibrant.errors import BadRequest, TooLarge, Unusable
from calibrant.storage.tables import Limits


def npz(**arrays: Any) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as file:
        for name, raw in members.items():
            file.writestr(name, raw)
    return sink.getvalue()


def npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=allow_pickle)
    return sink.getvalue()


def header(descr: str, shape: str, version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_matrix_becomes_a_column_per_place_in_a_row(tables, rng, order, save):
    matrix = rng.random((150_000, 3)).astype(np.float32)
    sink = io.BytesIO()
    save(sink, probs=np.asarray(matrix, order=order), y=np.arange(150_000))
    values = tables.values(sink.getvalue())
    assert list(values) == ["probs_0", "probs_1", "probs_2", "y"]
    for place in range(3):
        assert np.array_equal(np.array(values[f"probs_{place}"], np.float32), matrix[:, place])
    assert values["y"][-1] == 149_999


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("?", "bool"),
        ("i1", "int8"),
        ("<u8", "uint64"),
        (">i4", "int32"),
        ("<f2", "float"),
        (">f8", "double"),
    ],
)
def test_numbers_of_every_width_and_byte_order_are_read(tables, dtype, kind):
    raw = npz(a=np.array([0, 1, 1], dtype=dtype))
    assert tables.types(raw) == {"a": kind}
    assert tables.values(raw)["a"] == [0, 1, 1]


@pytest.mark.parametrize("dtype", ["U", ">U3", "S"])
def test_text_of_either_kind_is_read(tables, dtype):
    assert tables.values(npz(a=np.array(["eu", "usa"], dtype=dtype)))["a"] == ["eu", "usa"]


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us", "ns"])
def test_times_of_any_unit_are_read_as_utc(tables, unit):
    times = np.array(["2013-03-01", "NaT"], f"M8[{unit}]")
    (first, missing) = tables.values(npz(t=times))["t"]
    assert first.isoformat() == "2013-03-01T00:00:00+00:00"
    assert missing is None


def test_times_that_do_not_fit_are_refused_by_row(tables):
    times = np.array([0, 2**60], "M8[s]")
    tables.refused(Unusable, npz(t=times), says="`t` holds times that do not fit: row 1")


def test_pickled_arrays_are_refused_without_being_loaded(tables):
    class Trap:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("a pickle was loaded",))

    raw = archive({"a.npy": npy(np.array([Trap()], dtype=object), allow_pickle=True)})
    tables.refused(Unusable, raw, says="`a` holds Python objects")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, "c8"),
        np.zeros(3, [("x", "f4")]),
        np.zeros(3, "V4"),
        np.zeros(3, "m8[s]"),
        np.zeros(3, "g"),
        np.zeros((3, 2, 2)),
        np.zeros(()),
        np.zeros((3, 0)),
    ],
)
def test_arrays_that_are_no_columns_are_refused_by_name(tables, array):
    tables.refused(Unusable, npz(p=np.zeros(3), odd=array), says="`odd`")


def test_arrays_of_different_lengths_are_refused_by_name(tables):
    tables.refused(BadRequest, npz(p=np.zeros(3), y=np.zeros(4)), says="`p` and `y`")


def test_a_matrix_that_makes_a_name_that_is_taken_is_refused(tables):
    tables.refused(BadRequest, npz(p=np.zeros((3, 2)), p_1=np.zeros(3)), says="`p_1`")


def test_two_members_of_one_name_are_refused(tables):
    sink = io.BytesIO(npz(p=np.zeros(3)))
    with (
        zipfile.ZipFile(sink, "a") as file,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        file.writestr("p.npy", npy(np.ones(3)))
    tables.refused(BadRequest, sink.getvalue(), says="`p` is there more than once")


def test_a_bomb_is_refused_by_its_header(tables):
    raw = npz_bomb(20 * 2**20)
    assert len(raw) < 100_000
    tables.refused(TooLarge, raw, limits=Limits(max_bytes=2**20))


def npz_bomb(size: int) -> bytes:
    return archive({"a.npy": npy(np.zeros(size // 8))})


@pytest.mark.parametrize(
    "raw",
    [
        header("'<f8'", "(1000000000000,)"),
        header("'<f8'", "(-1,)"),
        header("'<f8'", "(4,)") + b"\0" * 24,
        header("'<f8'", "(2,)") + b"\0" * 24,
        header("'<f8'", "(True,)"),
        header("'<f8'", "'x'"),
        header("'nonsense'", "(1,)"),
        header("__import__('os')", "(1,)"),
        header("'<f8'", "(" * 5000 + ")" * 5000),
        header("'<f8'", "(1,)", version=b"\x03\x00"),
        header("'<f8'", "(1,)", version=b"\x09\x00"),
        header("'<f8'", "(2, 3"),
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUM",
        b"not an array",
        b"",
    ],
)
def test_headers_that_lie_are_refused_by_name(tables, raw):
    with pytest.raises((BadRequest, Unusable, TooLarge), match="`a`"):
        tables.read(archive({"a.npy": raw}))


def test_wide_headers_are_refused_before_names_are_made(tables):
    raw = archive({"a.npy": header("'<f8'", "(0, 1000000000)")})
    tables.refused(TooLarge, raw, says="1,000,000,000 columns")


@pytest.mark.parametrize("name", ["a.txt", "../../a", "a"])
def test_members_that_are_no_arrays_are_refused(tables, name):
    tables.refused(BadRequest, archive({name: npy(np.zeros(3))}), says="not a plain NPY array")


def test_other_zip_compressions_are_refused(tables):
    raw = archive({"a.npy": npy(np.zeros(3))}, zipfile.ZIP_LZMA)
    tables.refused(BadRequest, raw, says="`a`")


def test_an_archive_without_members_is_refused(tables):
    tables.refused(BadRequest, archive({}), says="no arrays")


def test_too_many_members_are_refused(tables):
    raw = archive({f"a{i}.npy": npy(np.zeros(1)) for i in range(50)})
    tables.refused(TooLarge, raw, limits=Limits(max_columns=40), says="50")


def test_damaged_data_is_refused(tables, rng):
    raw = bytearray(archive({"a.npy": npy(rng.random(100_000))}))
    raw[len(raw) // 2] ^= 0xFF
    tables.refused(BadRequest, bytes(raw))


def test_what_is_not_a_character_is_refused_by_row(tables):
    letters = np.array(["aa", "bb", "cc"])
    letters.view(np.uint32)[2] = 0xD800
    letters.view(np.uint32)[4] = 0x7FFFFFFF
    tables.refused(Unusable, npz(s=letters), says="at least 2 rows, first 1, 2")


def test_bytes_that_are_not_utf8_are_refused_by_row(tables):
    tables.refused(Unusable, npz(s=np.array([b"a", b"\xff"])), says="`s` is not UTF-8: row 1")


def test_arrays_without_rows_are_refused(tables):
    tables.refused(Unusable, npz(p=np.zeros(0)), says="no rows")

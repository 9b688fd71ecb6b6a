"""CSV: what is learned from its cells, and what is refused."""

from __future__ import annotations

import pytest

from calibrant.errors import BadRequest, TooLarge, Unusable
from calibrant.storage.tables import Limits


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", ""], "int64", [1, -2, None]),
        (["1", "0.5", ".5"], "double", [1.0, 0.5, 0.5]),
        (["1", "NA", "nan"], "int64", [1, None, None]),
        ([" 0.5", "1e-3 "], "double", [0.5, 0.001]),
        (["true", "False", ""], "bool", [True, False, None]),
        (["true", "1"], "string", ["true", "1"]),
        (["eu", "NA"], "string", ["eu", "NA"]),
        (["", "NA"], "null", [None, None]),
        (["007", "8"], "string", ["007", "8"]),
        (["0x1F", "8"], "string", ["0x1F", "8"]),
        (["0.5", "007"], "string", ["0.5", "007"]),
        (["9223372036854775807"], "int64", [2**63 - 1]),
        (["9223372036854775808"], "string", ["9223372036854775808"]),
        (["0.5", "9" * 25], "string", ["0.5", "9" * 25]),
        (["1.5", "inf"], "double", [1.5, float("inf")]),
        (["2013-03-01", "2013-03-02"], "string", ["2013-03-01", "2013-03-02"]),
        (["0,5"], "string", ["0,5"]),
    ],
)
def test_a_column_is_what_all_of_its_cells_are(tables, cells, kind, values):
    text = "a;b\n" + "".join(f"{cell};1\n" for cell in cells)
    assert tables.types(text) == {"a": kind, "b": "int64"}
    assert tables.values(text)["a"] == values


@pytest.mark.parametrize("late", ["0.5", "eu", "true", "007", "9" * 25])
def test_a_cell_far_down_changes_the_column_from_its_beginning(tables, late):
    rows = 300_000
    early = tables.types("a,b\n" + "1,2\n" * rows + f"{late},2\n")
    assert early == tables.types(f"a,b\n{late},2\n" + "1,2\n" * rows)
    assert early["a"] == ("double" if late == "0.5" else "string")


def test_words_for_nothing_are_text_once_there_is_text_far_down(tables):
    rows = 300_000
    values = tables.values("region,b\n" + "NA,2\n" * rows + "EU,2\n")["region"]
    assert values == ["NA"] * rows + ["EU"]


def test_quoted_empty_cells_are_text_and_unquoted_ones_are_missing(tables):
    assert tables.values('a,b\n"",1\n,1\nx,1\n')["a"] == ["", None, "x"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_the_header_has(tables, delimiter):
    text = f"p{delimiter}y\r\n0.5{delimiter}1\r\n"
    assert tables.values(text) == {"p": [0.5], "y": [1]}


def test_a_byte_order_mark_is_no_part_of_the_first_name(tables):
    assert list(tables.values(b"\xef\xbb\xbfp,y\n0.5,1\n")) == ["p", "y"]


def test_quoted_line_ends_stay_in_cells_and_names(tables):
    assert tables.values('p,"y"\n0.5,"a\nb"\n') == {"p": [0.5], "y": ["a\nb"]}


def test_a_column_without_a_name_is_called_after_its_place(tables):
    assert tables.values(",p\n0,0.5\n") == {"column_0": [0], "p": [0.5]}


def test_ragged_rows_are_counted_and_named(tables, canary):
    text = f"p,y\n0.5,1\n0.5\n0.5,1,{canary}\n0.5,1\n{canary}\n"
    error = tables.refused(BadRequest, text, says="3 rows, first 1, 2, 4")
    assert "count from 0" in error.detail


def test_a_ragged_row_that_is_not_utf8_is_named_too(tables):
    tables.refused(BadRequest, b"p,y\n0.5,1\n0.5\xff\n", says="header: row 1.")


def test_ragged_rows_are_found_among_quoted_line_breaks_and_blank_lines(tables, canary):
    text = f'p,y\n\n"a\nb",1\n\n"straddling {canary}\n"\n'
    tables.refused(BadRequest, text, says="header: row 1.")


def test_a_file_of_only_ragged_rows_ends_soon(tables):
    tables.refused(BadRequest, "p,y\n" + "1\n" * 2_000_000, says="at least 1,000 rows")


def test_duplicate_columns_are_refused_by_name(tables):
    tables.refused(BadRequest, "p,y,p\n1,2,3\n", says="`p` is there more than once")


def test_a_file_without_a_header_is_refused(tables):
    tables.refused(BadRequest, "0.53,1\n0.2,0\n", says="names of the columns")


def test_a_header_without_rows_is_refused(tables):
    tables.refused(Unusable, "p,y\n", says="no rows")


@pytest.mark.parametrize("raw", [b"caf\xe9", b"\xed\xa0\x80", b"\xff\xfe"])
def test_text_that_is_not_utf8_is_refused_by_column_and_row(tables, raw, canary):
    text = b"p,s\n0.5,ok\n0.5," + canary.encode() + raw + b"\n"
    tables.refused(BadRequest, text, says="`s` is not UTF-8: row 1")


def test_utf16_is_refused_with_a_hint(tables):
    tables.refused(BadRequest, "p,y\n1,2\n".encode("utf-16-le"), "a.csv", says="UTF-16")


def test_nul_in_a_cell_is_refused_by_column_and_row(tables, canary):
    rows = "0.5,ok\n" * 100_000
    tables.refused(
        Unusable,
        f"p,s\n{rows}0.5,{canary}\0\n0.5,\0\n",
        says="`s` holds the character NUL: at least 2 rows, first 100000, 100001",
    )


@pytest.mark.parametrize("end", ["\n0.5,x\n", "\n0.5,x", ""])
def test_a_quote_that_is_not_closed_is_refused(tables, canary, end):
    text = f'p,s\n0.5,"{canary}{end}'
    tables.refused(BadRequest, text, says="a quote is not closed")


def test_a_quote_inside_a_plain_cell_is_text(tables):
    assert tables.values('p,s\n0.5,5" pipe\n0.5,x\n')["s"] == ['5" pipe', "x"]


def test_too_many_columns_are_refused_by_the_header(tables):
    names = ",".join(f"c{i}" for i in range(100_000))
    tables.refused(TooLarge, names + "\n", "a.csv", says="more than 2,000 columns")


def test_a_million_columns_are_refused(tables):
    names = ",".join("c" * 3 + str(i) for i in range(1_000_000))
    tables.refused(TooLarge, names + "\n" + "1," * 999_999 + "1\n", "a.csv")


def test_a_row_without_end_is_refused(tables):
    tables.refused(TooLarge, "p,s\n0.5," + "x" * (8 * 2**20), says="longer than")


def test_a_long_cell_is_refused_by_column_and_row(tables):
    text = "p,s\n0.5,x\n0.5," + "x" * 70_000 + "\n"
    tables.refused(Unusable, text, says="`s` holds text longer than 65,536 bytes: row 1")


def test_too_many_rows_are_refused(tables):
    tables.refused(TooLarge, "p\n" + "1\n" * 1001, limits=Limits(max_rows=1000), says="1,000 rows")


@pytest.mark.parametrize("name", ["x" * 300, "a\x07b"])
def test_unprintable_and_endless_names_are_refused(tables, name):
    tables.refused(BadRequest, f"p,{name}\n1,2\n", says="Column 1")

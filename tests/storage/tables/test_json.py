"""NDJSON and JSON: strict kinds, and what is refused."""

from __future__ import annotations

import json

import pytest

from calibrant.errors import BadRequest, TooLarge, Unusable
from calibrant.storage.tables import Limits

SHAPES = {
    "lines": lambda rows: "\n".join(map(json.dumps, rows)),
    "rows": json.dumps,
    "columns": lambda rows: json.dumps({name: [row[name] for row in rows] for name in rows[0]}),
}


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2], "int64"),
        ([1, 0.5], "double"),
        ([0.5, 10**20], "double"),
        ([True, None], "bool"),
        (["1", None], "string"),
        ([None, None], "null"),
    ],
)
def test_a_column_keeps_the_kind_of_its_values(tables, shape, values, kind):
    text = shape([{"a": value, "p": 0.5} for value in values])
    assert tables.types(text)["a"] == kind
    assert tables.values(text)["a"] == values


@pytest.mark.parametrize("odd", ["0.5", True, [0.5]])
def test_kinds_do_not_mix_and_the_row_is_named(tables, shape, odd):
    text = shape([{"p": 0.5}, {"p": 0.25}, {"p": odd}])
    tables.refused(Unusable, text, says="`p`")


def test_the_rows_of_another_kind_are_counted_across_batches(tables, canary):
    rows = [{"p": 0.5}] * 70_000 + [{"p": canary}] * 3
    tables.refused(
        Unusable,
        json.dumps(rows),
        says="another kind of value than before: at least 3 rows, first 70000,",
    )


def test_lists_of_numbers_become_a_column_per_place(tables, shape):
    text = shape([{"p": [0.25, 0.75], "y": 1}, {"p": [1, 0], "y": 0}])
    assert tables.values(text) == {"p_0": [0.25, 1.0], "p_1": [0.75, 0.0], "y": [1, 0]}


def test_lists_of_different_lengths_are_refused_by_row(tables, shape):
    text = shape([{"p": [0.25, 0.75]}, {"p": [0.25, 0.75]}, {"p": [0.5]}, {"p": None}])
    tables.refused(
        Unusable, text, says="`p` is not a list of 2 numbers: at least 2 rows, first 2, 3"
    )


def test_lists_that_make_a_name_that_is_taken_are_refused(tables, shape):
    tables.refused(BadRequest, shape([{"p": [0.5, 0.5], "p_1": 1}]), says="more than once")


def test_a_missing_key_is_a_missing_value(tables):
    values = tables.values('{"p": 0.5}\n\n{"p": 0.5, "y": 1}\n{"y": 0}')
    assert values == {"p": [0.5, 0.5, None], "y": [None, 1, 0]}


def test_a_key_that_comes_late_is_a_column_from_the_beginning(tables):
    rows = 100_000
    values = tables.values('{"p": 1}\n' * rows + '{"p": 0.5, "y": 1}\n')
    assert values["y"] == [None] * rows + [1]
    assert values["p"][0] == 1.0


def test_objects_without_keys_are_rows_too(tables):
    assert tables.values('{"p": 1}\n{}\n{}') == {"p": [1, None, None]}


@pytest.mark.parametrize(
    "row",
    [
        '{"p": NaN}',
        '{"p": 1e999}',
        '{"p": ' + "9" * 5000 + "}",
        '{"p": "\\ud800"}',
        '{"p": {"q": 1}}',
        '{"p": [[1]]}',
        '{"p": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"p": 1',
        "[1, 2]",
        "7",
        '{"p": 1} {"p": 2}',
    ],
)
def test_a_line_that_cannot_be_read_is_refused_by_its_number(tables, row, canary):
    text = '{"p": 1}\n\n{"p": 2}\n' + row + f'\n{{"{canary}": 1}}'
    tables.refused(BadRequest, text, "a.ndjson", says="Row 2 ")


def test_text_that_is_not_utf8_is_refused_by_row(tables):
    tables.refused(BadRequest, b'{"p": "\xed\xa0\x80"}\n{"p": "a"}', "a.ndjson", says="Row 0")


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_whole_numbers_beyond_64_bits_are_refused_by_column(tables, shape, number):
    tables.refused(Unusable, shape([{"p": number, "q": 1}]), says="`p`")


def test_nul_is_refused_by_column_and_row(tables, shape):
    text = shape([{"s": "a"}, {"s": "b\0"}])
    tables.refused(Unusable, text, says="`s` holds the character NUL: row 1")


@pytest.mark.parametrize(
    "text",
    [
        '{"p": [1, 2], "y": [1]}',
        '{"p": {"a": 1}}',
        '{"p": 1,\n "q": [1]}',
        '{"p": [1, [[2]]]}',
        '{"p": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "[" * 100_000,
        "[1, 2]",
        "[[1], [2]]",
        '[{"p": 1}, {"p": 2}',
        '"p"',
        "{}{}",
    ],
)
def test_a_document_of_another_shape_is_refused(tables, text):
    tables.refused(BadRequest, text, "a.json")


@pytest.mark.parametrize("text", ["[]", "{}", '{"p": []}', "[{}]"])
def test_a_document_without_rows_or_columns_is_refused(tables, text):
    with pytest.raises((BadRequest, Unusable)):
        tables.read(text, "a.json")


def test_a_long_document_is_refused_with_a_way_out(tables):
    text = json.dumps({"p": [0.5] * 1000})
    tables.refused(TooLarge, text, limits=Limits(max_json_bytes=1000), says="NDJSON")


def test_too_many_keys_are_refused(tables):
    text = json.dumps({f"c{i}": 1 for i in range(3000)}) + "\n"
    tables.refused(TooLarge, text, "a.ndjson", says="columns")


def test_new_keys_in_every_row_are_refused_in_the_end(tables):
    text = "\n".join(f'{{"c{i}": 1}}' for i in range(100_000))
    tables.refused(TooLarge, text, says="columns")


def test_a_line_without_end_is_refused(tables):
    text = '{"p": 1}\n{"s": "' + "x" * (9 * 2**20)
    tables.refused(TooLarge, text, says="Row 1 is longer")

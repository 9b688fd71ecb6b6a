"""CSV and TSV: cells are read as text, and what a column holds is learned from all of its cells."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from calibrant.errors import BadRequest, Detail, TooLarge
from calibrant.storage.tables.columns import check_names, not_utf8
from calibrant.storage.tables.faults import Faults, rows_text
from calibrant.storage.tables.shape import Limits

_BLOCK = 2**20  # Arrow reads 32 of them ahead
_RAGGED = re.compile(r"CSV parse error: (Row #\d+: )?Expected \d+ columns")
_MAX_RAGGED = 1_000
_MAX_SCANNED = 5_000_000  # rows after the first bad one
_NOTHING = ("NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "#N/A", "<NA>")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_FRACTION = re.compile(r"\s*[-+]?(\d+\.\d*|\.\d+|\d+(\.\d*)?[eE][-+]?\d+)\s*")


@dataclass(frozen=True, slots=True)
class _Header:
    names: list[str]
    delimiter: str
    lines: int  # physical lines of the file that it takes


@dataclass(slots=True)
class Delimited:
    """A CSV file that can be read as often as needed.

    Empty cells have no value. The delimiter is the one of comma, semicolon, tab and bar that the
    first line has most of. A column without a name is called after its place: `column_0`.
    """

    path: Path
    limits: Limits

    def batches(self) -> Iterator[Any]:
        """Give record batches of text.

        Raises
        ------
        BadRequest
            If rows differ in width, or the text is not UTF-8.
        TooLarge
            If there are too many columns, or a row is longer than a block.
        """
        import pyarrow as pa

        with self.path.open("rb") as stream:
            header = _header(stream, self.limits)
        first, last = 0, None
        # Arrow reads in threads of its own, so it must have a file of its own: one of Python's
        # may be closed here while it is read there, and each waits for the other
        with pa.OSFile(str(self.path)) as file:
            try:
                for batch in _open(file, header):
                    last = _as_text(batch, first)
                    yield last
                    first += len(batch)
            except pa.ArrowInvalid as error:
                raise self._unread(str(error), header) from error
        if last is not None and _is_open(self.path, last):
            raise BadRequest("The CSV file ends inside a quoted cell: a quote is not closed.")

    def _unread(self, message: str, header: _Header) -> BadRequest | TooLarge:
        if _RAGGED.match(message):
            return _ragged(self.path, header)
        if message.startswith("straddling"):
            return TooLarge(f"A row of the CSV file is longer than {_BLOCK:,} bytes.")
        return BadRequest("The CSV file cannot be read: a quote is not closed, or it ends early.")


def _open(file: Any, header: _Header) -> Any:
    import pyarrow as pa
    import pyarrow.csv as form

    return form.open_csv(
        file,
        read_options=form.ReadOptions(
            use_threads=False,
            block_size=_BLOCK,
            column_names=header.names,
            skip_rows=header.lines,
        ),
        parse_options=form.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
        convert_options=form.ConvertOptions(
            column_types=dict.fromkeys(header.names, pa.binary()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
        ),
    )


def _is_open(path: Path, last: Any) -> bool:
    """Say whether a file ends inside a quoted cell, which Arrow closes at the end by itself.

    A file that was cut off there would lose its last rows silently. Odd quotes alone do not say
    so: a plain cell may have one. The last row has line breaks then, or the file no last one.
    """
    odd, end = False, b"\n"
    with path.open("rb") as file:
        while piece := file.read(_BLOCK):
            odd ^= bool(piece.count(b'"') % 2)
            end = piece[-1:]
    if not odd:
        return False
    row = last.slice(len(last) - 1).to_pylist()[0]
    return end not in b"\r\n" or any("\n" in (cell or "") for cell in row.values())


def _ragged(path: Path, header: _Header) -> BadRequest:
    """Count the rows of another width than the header."""
    count, first = 0, []
    for place, cells in enumerate(_rows(path, header)):
        if len(cells) != len(header.names):
            count += 1
            first.append(place)
            if count == _MAX_RAGGED:
                break
        if count and place - first[0] > _MAX_SCANNED:
            break
    # a count of 0: Python sees these quotes otherwise than Arrow does
    which = rows_text(count, first, so_far=count == _MAX_RAGGED) if count else "not told which"
    message = f"Rows have another number of cells than the header: {which}."
    return BadRequest(message + " Rows count from 0, after the header.", [Detail("", message)])


def _rows(path: Path, header: _Header) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for _ in range(header.lines):
            file.readline()
        with contextlib.suppress(csv.Error):
            for row in csv.reader(_lines(file), delimiter=header.delimiter):
                if row:
                    yield row


def _lines(file: TextIO) -> Iterator[str]:
    while (line := file.readline(_BLOCK)) and len(line) < _BLOCK:
        yield line


def _as_text(batch: Any, first: int) -> Any:
    import pyarrow as pa

    columns, faults = [], Faults(so_far=True)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns.append(column.cast(pa.string()))
        except pa.ArrowInvalid:
            faults.add(name, "is not UTF-8", not_utf8(column), first)
    if faults:
        raise faults.error(BadRequest)
    return pa.record_batch(columns, names=batch.schema.names)


def _header(stream: BinaryIO, limits: Limits) -> _Header:
    head = stream.read(_BLOCK)
    text = _whole_lines(head).decode("utf-8-sig", errors="surrogateescape")
    first = text.partition("\n")[0]
    if "\0" in first:
        raise BadRequest("The header holds the character NUL; is it UTF-16? Write UTF-8.")
    delimiter = max(",;\t|", key=first.count)
    if first.count(delimiter) >= limits.max_columns:
        raise TooLarge(f"The table has more than {limits.max_columns:,} columns.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        cells = next((row for row in reader if row), [])
    except csv.Error as error:
        raise BadRequest("The header of the CSV file cannot be read.") from error
    return _Header(_names(cells, limits), delimiter, reader.line_num)


def _whole_lines(head: bytes) -> bytes:
    if len(head) < _BLOCK:
        return head
    end = head.rfind(b"\n")
    if end < 0:
        raise TooLarge(f"The header of the CSV file is longer than {_BLOCK:,} bytes.")
    return head[: end + 1]


def _names(cells: list[str], limits: Limits) -> list[str]:
    names = [cell.strip() or f"column_{place}" for place, cell in enumerate(cells)]
    if any(map(_FRACTION.fullmatch, names)):
        raise BadRequest("The first row of a CSV file must hold the names of the columns.")
    check_names(names, limits)
    return names


@dataclass(slots=True)
class Cells:
    """Learns what the columns of a CSV file hold.

    A column is `null` until a cell has a value, then `bool`, `int64`, `double` or `string`. Whole
    numbers become `double` where fractions join them. They are text where one has a leading zero
    or does not fit 64 bits, since such numbers are names. Words for nothing, such as `NA`, have no
    value among numbers and booleans, and are themselves in text. What is learned does not depend
    on the order of the rows.
    """

    kinds: dict[str, str] = field(default_factory=dict)

    def take(self, batch: Any, _first_row: int) -> Any:
        """Learn from a batch of text and return it as what is known by then."""
        import pyarrow as pa

        columns = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            for kind in _AFTER[self.kinds.get(name, "null")]:
                converted = _converted(column, kind)
                if converted is not None:
                    columns.append(converted)
                    self.kinds[name] = kind
                    break
        return pa.record_batch(columns, names=batch.schema.names)


_AFTER = {
    "null": ("null", "bool", "int64", "double", "string"),
    "bool": ("bool", "string"),
    "int64": ("int64", "double", "string"),
    "double": ("double", "string"),
    "string": ("string",),
}


def _converted(column: Any, kind: str) -> Any:
    """Return a text column as `kind`, or None where it is something else."""
    import pyarrow as pa

    if kind == "string":
        return column
    if kind == "null":
        return pa.nulls(len(column)) if _is_empty(column) else None
    if kind == "bool":
        return _booleans(_cleaned(column))
    number = _numbers(column, pa.type_for_alias(kind))
    return _numbers(_cleaned(column), pa.type_for_alias(kind)) if number is None else number


def _is_empty(column: Any) -> bool:
    if column.null_count == len(column):
        return True
    # one cell that means something decides it, and most often the first one does
    head = _cleaned(column.slice(0, 16))
    if head.null_count < len(head):
        return False
    return bool(_cleaned(column).null_count == len(column))


def _cleaned(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.ascii_trim_whitespace(column)
    nothing = pc.is_in(trimmed, value_set=pa.array(["", *_NOTHING]))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), trimmed)


def _booleans(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.is_in(column, value_set=pa.array([None, *_TRUE, *_FALSE], pa.string()))
    if not pc.all(known).as_py():
        return None
    values = pc.is_in(column, value_set=pa.array(_TRUE))
    return pc.if_else(column.is_null(), pa.scalar(None, pa.bool_()), values)


def _numbers(column: Any, kind: Any) -> Any:
    import pyarrow as pa

    try:
        numbers = column.cast(kind)
    except pa.ArrowInvalid:
        return None
    return None if _has_names(column, numbers) else numbers


def _has_names(column: Any, numbers: Any) -> bool:
    """Say whether some whole numbers have a leading zero or do not fit 64 bits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    length = pc.binary_length(column)
    zero = pc.and_(pc.starts_with(column, "0"), pc.greater(length, 1))
    if pa.types.is_integer(numbers.type):  # hexadecimal ones too
        return bool(pc.any(zero).as_py())
    huge = pc.and_(pc.greater_equal(length, 19), pc.greater_equal(numbers, 2.0**63))
    whole = pc.ascii_is_decimal(column)
    return bool(pc.any(pc.and_(pc.or_(zero, huge), whole)).as_py())

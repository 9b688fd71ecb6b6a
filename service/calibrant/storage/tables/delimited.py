"""CSV and TSV: cells are read as text, and what a column holds is learned from all of its cells."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from calibrant.errors import BadRequest, Detail, TooLarge
from calibrant.storage.tables.columns import check_names, not_utf8
from calibrant.storage.tables.faults import SHOWN, Faults, rows_text
from calibrant.storage.tables.shape import Coding, Limits
from calibrant.storage.tables.streams import open_counted

_BLOCK = 2**20  # Arrow reads 32 of them ahead
_MAX_RAGGED = 1_000
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
    coding: Coding | None
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

        with open_counted(self.path, self.coding, self.limits.max_bytes) as stream:
            header = _header(stream, self.limits)
        ragged = _Ragged(header.lines)
        with open_counted(self.path, self.coding, self.limits.max_bytes) as stream:
            quotes = _Quotes(stream)
            first, last = 0, None
            try:
                for batch in _open(quotes, header, ragged):
                    last = _as_text(batch, first)
                    yield last
                    first += len(batch)
            except pa.ArrowInvalid as error:
                raise ragged.error() or _unread(error) from error
        unusable = ragged.error()
        if unusable is not None:
            raise unusable
        if last is not None and quotes.is_odd and (quotes.is_cut or _ends_in_lines(last)):
            raise BadRequest("The CSV file ends inside a quoted cell: a quote is not closed.")


def _open(stream: Any, header: _Header, ragged: _Ragged) -> Any:
    import pyarrow as pa
    import pyarrow.csv as form

    return form.open_csv(
        stream,
        read_options=form.ReadOptions(
            use_threads=False,
            block_size=_BLOCK,
            column_names=header.names,
            skip_rows=header.lines,
        ),
        parse_options=form.ParseOptions(
            delimiter=header.delimiter, newlines_in_values=True, invalid_row_handler=ragged
        ),
        convert_options=form.ConvertOptions(
            column_types=dict.fromkeys(header.names, pa.binary()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
        ),
    )


class _Quotes(io.RawIOBase):
    """Passes a stream on and notices how it ends: Arrow closes an open quote at the end itself.

    Without this, a file that was cut off inside a quoted cell would lose its last rows silently.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.is_odd = False
        self.is_cut = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(size)
        if piece:
            self.is_odd ^= bool(piece.count(b'"') % 2)
            self.is_cut = not piece.endswith((b"\n", b"\r"))
        return piece


def _ends_in_lines(batch: Any) -> bool:
    """Say whether a cell of the last row has line breaks."""
    last = batch.slice(len(batch) - 1).to_pylist()
    return any("\n" in (cell or "") for row in last for cell in row.values())


@dataclass(slots=True)
class _Ragged:
    """Counts rows of another width than the header."""

    lines: int
    count: int = 0
    first: list[int] = field(default_factory=list)

    def __call__(self, row: Any) -> str:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(row.number - 1 - self.lines)
        return "skip" if self.count < _MAX_RAGGED else "error"

    def error(self) -> BadRequest | None:
        if not self.count:
            return None
        message = f"Rows have another number of cells than the header: {self}."
        return BadRequest(message + " Rows count from 0, after the header.", [Detail("", message)])

    def __str__(self) -> str:
        least = "at least " if self.count >= _MAX_RAGGED else ""
        return least + rows_text(self.count, self.first)


def _unread(error: Exception) -> BadRequest | TooLarge:
    if "straddling" in str(error) or "block" in str(error):
        return TooLarge(f"A row of the CSV file is longer than {_BLOCK:,} bytes.")
    if "Empty CSV" in str(error):
        return BadRequest("The CSV file has a header and no rows.")
    return BadRequest("The CSV file cannot be read: a quote is not closed, or it ends early.")


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

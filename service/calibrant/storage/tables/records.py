"""NDJSON and JSON: strictly typed values, with numbers kept apart from text and booleans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from calibrant.errors import BadRequest, CalibrantError, Detail, TooLarge, Unusable
from calibrant.storage.tables.columns import check_names
from calibrant.storage.tables.faults import Faults, shown
from calibrant.storage.tables.shape import BATCH_ROWS, Coding, Limits
from calibrant.storage.tables.streams import open_counted

_BLOCK = 2**20
_MAX_LINE = 4 * 2**20
_Number = bool | int | float | None
_Cell = bool | int | float | str | list[_Number] | None
_ROW = msgspec.json.Decoder(dict[str, _Cell])
_COLUMN = msgspec.json.Decoder(list[_Cell])
_RAW_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BROKEN = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Values as they came, by column."""

    columns: Columns
    n_rows: int


@dataclass(slots=True)
class Lines:
    """An NDJSON file that can be read as often as needed: one object a line, blank lines skipped.

    Where an object has a key twice, the last one counts.
    """

    path: Path
    coding: Coding | None
    limits: Limits

    def batches(self) -> Iterator[Batch]:
        """Give columns of values, a block of the file at a time.

        Raises
        ------
        BadRequest
            If a line is not a flat object, or not JSON.
        TooLarge
            If a line is longer than a block.
        """
        first, rest = 0, b""
        with open_counted(self.path, self.coding, self.limits.max_bytes) as stream:
            while block := stream.read(_BLOCK):
                whole, rest = rest + block, b""
                if len(block) == _BLOCK:
                    whole, _, rest = whole.rpartition(b"\n")
                if len(rest) > _MAX_LINE:
                    raise TooLarge(f"Row {first} is longer than {_MAX_LINE:,} bytes.")
                rows = _rows(whole.splitlines(), first)
                if rows:
                    yield _turned(rows, self.limits)
                first += len(rows)
        if rest.strip():
            yield _turned(_rows([rest], first), self.limits)


def _rows(lines: Sequence[bytes], first: int) -> list[dict[str, Any]]:
    lines = [line for line in lines if line.strip()]
    rows = []
    for place, line in enumerate(lines):
        try:
            rows.append(_ROW.decode(line))
        except _BROKEN as error:
            raise _broken(error, f"Row {first + place}") from error
    return rows


def _broken(error: Exception, what: str) -> BadRequest:
    if isinstance(error, msgspec.ValidationError) and "range" in str(error):
        return BadRequest(f"{what} holds a number that is out of range. Rows count from 0.")
    if isinstance(error, msgspec.ValidationError):
        return BadRequest(
            f"{what} must be a flat object of numbers, text, booleans and lists of numbers. "
            "Rows count from 0."
        )
    return BadRequest(f"{what} is not JSON, or it is cut off. Rows count from 0.")


@dataclass(slots=True)
class Document:
    """A JSON file, read whole: an array of objects, or one object of arrays of equal length.

    Where an object has a key twice, the last one counts.
    """

    path: Path
    coding: Coding | None
    limits: Limits

    def batches(self) -> Iterator[Batch]:
        """Give columns of values.

        Raises
        ------
        BadRequest
            If it is not JSON, nested more deeply, or its columns differ in length.
        TooLarge
            If it is longer than one document may be.
        """
        document = self._read()
        if document.lstrip().startswith(b"["):
            yield from self._from_rows(document)
        else:
            yield from self._from_columns(document)

    def _read(self) -> bytes:
        most = self.limits.max_json_bytes
        with open_counted(self.path, self.coding, self.limits.max_bytes) as stream:
            document = stream.read(most + 1)
        if len(document) > most:
            raise TooLarge(
                f"A JSON document may be {most:,} bytes long; send NDJSON, CSV or Parquet instead."
            )
        return document

    def _from_rows(self, document: bytes) -> Iterator[Batch]:
        raws = _decoded(_RAW_ROWS, document)
        for start in range(0, len(raws), BATCH_ROWS):
            rows = _rows([bytes(raw) for raw in raws[start : start + BATCH_ROWS]], start)
            yield _turned(rows, self.limits)

    def _from_columns(self, document: bytes) -> Iterator[Batch]:
        raws = _decoded(_RAW_COLUMNS, document)
        check_names(list(raws), self.limits)
        columns: dict[str, Sequence[Any]] = {}
        for name, raw in raws.items():
            try:
                values = _COLUMN.decode(raw)
            except _BROKEN as error:
                raise _broken_column(error, name) from error
            # boxed numbers take eight times the room of plain ones
            columns[name] = _packed(values)
        lengths = {name: len(values) for name, values in columns.items()}
        _check_lengths(lengths)
        n_rows = max(lengths.values(), default=0)
        for start in range(0, n_rows, BATCH_ROWS):
            piece = slice(start, start + BATCH_ROWS)
            plain = {name: _unpacked(values[piece]) for name, values in columns.items()}
            yield Batch(plain, min(BATCH_ROWS, n_rows - start))


def _decoded(decoder: Any, document: bytes) -> Any:
    try:
        return decoder.decode(document)
    except _BROKEN as error:
        if isinstance(error, msgspec.ValidationError):
            raise BadRequest(
                "A JSON table is an array of objects, or an object of arrays."
            ) from error
        raise BadRequest("The JSON document is damaged or ends early.") from error


def _broken_column(error: Exception, name: str) -> BadRequest:
    if isinstance(error, msgspec.ValidationError) and "range" in str(error):
        reason = "holds a number that is out of range"
    elif isinstance(error, msgspec.ValidationError):
        reason = "must be an array of numbers, text, booleans or lists of numbers"
    else:
        reason = "is not JSON, or it is nested too deeply"
    return BadRequest(f"Column `{shown(name)}` {reason}.", [Detail(shown(name), f"It {reason}.")])


def _packed(values: list[Any]) -> Sequence[Any]:
    if values and set(map(type, values)) == {float}:
        return np.array(values)  # type: ignore[return-value] # sliced and measured like a list
    return values


def _unpacked(values: Any) -> Sequence[Any]:
    plain: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    return plain


def _check_lengths(lengths: Mapping[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        usual = max(lengths.values())
        odd = [shown(name) for name, length in lengths.items() if length != usual]
        raise BadRequest(
            f"Column `{odd[0]}` is shorter than others; all columns of a table are equally long.",
            [Detail(name, "Shorter than other columns.") for name in odd],
        )


def _turned(rows: list[dict[str, Any]], limits: Limits) -> Batch:
    names = list(dict.fromkeys(name for row in rows for name in row))
    check_names(names, limits)
    return Batch({name: [row.get(name) for row in rows] for name in names}, len(rows))


@dataclass(slots=True)
class Values:
    """Learns what the columns of a JSON table hold.

    A column is `null` until a row has a value, then `bool`, `int64`, `double` or `string`;
    whole numbers become `double` where fractions join them. Nothing else mixes. Lists of one length become as many columns, `name_0` and so on. A row without a key has no value there.
    """

    limits: Limits
    kinds: dict[str, str] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    def take(self, raw: Batch, first_row: int) -> Any:
        """Learn from a batch of values and return it as what is known by then."""
        import pyarrow as pa

        plain = self._spread(raw.columns, first_row)
        for name, values in plain.items():
            known = self.kinds.get(name, "null")
            self.kinds[name] = _joined(known, values, name=name, first_row=first_row)
        check_names(list(self.kinds), self.limits)
        columns = [
            _array(plain.get(name, [None] * raw.n_rows), kind, name=name, first_row=first_row)
            for name, kind in self.kinds.items()
        ]
        return pa.record_batch(columns, names=list(self.kinds))

    def _spread(self, raw: Columns, first_row: int) -> Columns:
        plain: dict[str, Sequence[Any]] = {}
        for name, values in raw.items():
            if name not in self.widths and list not in set(map(type, values)):
                _add(plain, name, values)
                continue
            width = self.widths.setdefault(name, next(len(v) for v in values if type(v) is list))
            odd = [type(value) is not list or len(value) != width for value in values]
            if any(odd) or not width:
                faults = Faults(so_far=True)
                faults.add(name, f"is not a list of {width} numbers", np.array(odd), first_row)
                raise faults.error(Unusable) if any(odd) else _empty_lists(name)
            if name in self.kinds:
                raise _mixed(name, [type(value) is list for value in values], first_row)
            for place, column in enumerate(zip(*values, strict=True)):
                _add(plain, f"{name}_{place}", column)
        return plain


def _add(plain: dict[str, Sequence[Any]], name: str, values: Sequence[Any]) -> None:
    if name in plain:
        raise BadRequest(f"Column `{shown(name)}` is there more than once.")
    plain[name] = values


def _empty_lists(name: str) -> Unusable:
    return Unusable(f"Column `{shown(name)}` holds empty lists.")


def _mixed(name: str, odd: Sequence[bool], first_row: int) -> CalibrantError:
    faults = Faults(so_far=True)
    faults.add(name, "holds another kind of value than before", np.array(odd), first_row)
    return faults.error(Unusable)


def _joined(known: str, values: Sequence[Any], *, name: str, first_row: int) -> str:
    """Return the kind of a column that was `known` and now holds `values` too."""
    found = set(map(type, values)) - {type(None)}
    if not found:
        return known
    families = {_FAMILY[each] for each in found}
    family = _FAMILY_OF_KIND.get(known) or _FAMILY[next(t for t in map(type, values) if t in found)]
    if families != {family}:
        odd = [value is not None and _FAMILY[type(value)] != family for value in values]
        raise _mixed(name, odd, first_row)
    if family != "number":
        return "bool" if family == "boolean" else "string"
    if float in found or known == "double":
        return "double"
    whole = [value for value in values if value is not None]
    if min(whole) < -(2**63) or max(whole) >= 2**63:
        raise Unusable(f"Column `{shown(name)}` holds whole numbers beyond 64 bits; send text.")
    return "int64"


_FAMILY = {bool: "boolean", int: "number", float: "number", str: "text", list: "list"}
_FAMILY_OF_KIND = {
    "bool": "boolean",
    "int64": "number",
    "double": "number",
    "string": "text",
}


def _array(values: Sequence[Any], kind: str, *, name: str, first_row: int) -> Any:
    import pyarrow as pa

    if kind == "double":
        values = [None if value is None else _as_float(value, name) for value in values]
    try:
        return pa.array(values, pa.type_for_alias(kind))
    except (pa.ArrowInvalid, UnicodeEncodeError, OverflowError) as error:
        raise Unusable(
            f"Column `{shown(name)}` holds values that do not fit, "
            f"in rows {first_row} to {first_row + len(values) - 1}."
        ) from error


def _as_float(value: float, name: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise Unusable(f"Column `{shown(name)}` holds a number that is out of range.") from error

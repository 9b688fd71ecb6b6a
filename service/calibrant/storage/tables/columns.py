"""Columns as the canonical table keeps them: few types, checked text, no nesting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadRequest, Detail, TooLarge, Unusable
from calibrant.storage.tables.faults import Faults, shown
from calibrant.storage.tables.shape import BATCH_BYTES, BATCH_ROWS, Limits

MAX_NAME = 200


def check_names(names: Sequence[str], limits: Limits) -> None:
    """Refuse column names that are missing, twice there, too long or not printable.

    Raises
    ------
    TooLarge
        If there are too many.
    BadRequest
        For anything else.
    """
    if len(names) > limits.max_columns:
        raise TooLarge(f"The table has {len(names):,} columns; at most {limits.max_columns:,} go.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BadRequest(
            f"Column `{shown(twice[0])}` is there more than once.",
            [Detail(shown(name), "There more than once.") for name in twice],
        )
    for place, name in enumerate(names):
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise BadRequest(
                f"Column {place} (from 0) needs a printable name of 1 to {MAX_NAME} characters."
            )


def settled_type(name: str, found: Any) -> Any:
    """Return the canonical Arrow type of a column.

    Numbers and booleans stay as they are, except that half precision becomes single precision and
    decimals double precision. Text in any encoding becomes `string`. Dates, and timestamps of any
    unit and zone, become microseconds in UTC; one without a zone is taken as UTC.

    Raises
    ------
    Unusable
        If values of this type are not read: nested, binary, durations, extensions.
    """
    import pyarrow as pa

    kinds = pa.types
    if isinstance(found, pa.BaseExtensionType):
        raise _refused(name, "has an extension type; cast it to numbers or text")
    if kinds.is_dictionary(found):
        return settled_type(name, found.value_type)
    if kinds.is_float16(found):
        return pa.float32()
    if kinds.is_boolean(found) or kinds.is_integer(found) or kinds.is_floating(found):
        return found
    if kinds.is_decimal(found):
        return pa.float64()
    if is_text(found):
        return pa.string()
    if kinds.is_timestamp(found) or kinds.is_date(found):
        return pa.timestamp("us", tz="UTC")
    if kinds.is_null(found):
        return found
    raise _refused(name, _reason(found))


def is_text(found: Any) -> bool:
    """Say whether an Arrow type is text in any of its encodings."""
    import pyarrow as pa

    kinds = pa.types
    return bool(
        kinds.is_string(found) or kinds.is_large_string(found) or kinds.is_string_view(found)
    )


def _reason(found: Any) -> str:
    import pyarrow as pa

    if pa.types.is_nested(found) or pa.types.is_run_end_encoded(found):
        return "is nested; write one plain column per value, such as p_0, p_1"
    if pa.types.is_binary(found) or pa.types.is_large_binary(found):
        return "holds bytes; write text or numbers"
    return "has a type that is not read; write numbers, text, booleans or timestamps"


def _refused(name: str, reason: str) -> Unusable:
    return Unusable(f"Column `{shown(name)}` {reason}.", [Detail(shown(name), f"It {reason}.")])


def settled_schema(schema: Any, limits: Limits) -> Any:
    """Return the canonical schema of a table, with all names and types checked."""
    import pyarrow as pa

    check_names(schema.names, limits)
    for each in schema:
        if each.metadata and b"ARROW:extension:name" in each.metadata:
            raise _refused(each.name, "has an extension type; cast it to numbers or text")
    return pa.schema([pa.field(each.name, settled_type(each.name, each.type)) for each in schema])


def row_bytes(schema: Iterable[Any]) -> int:
    """Return the least a decoded row takes, in bytes: text counts as its offset."""
    bits = sum(each.type.bit_width if _is_fixed(each.type) else 32 for each in schema)
    return max(1, bits // 8)


def _is_fixed(found: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_primitive(found) and not pa.types.is_dictionary(found))


def check_size(n_rows: int, schema: Any, limits: Limits) -> None:
    """Refuse a table by its declared rows and types, before anything of it is decoded.

    Raises
    ------
    TooLarge
        If it has too many rows, or they take too many bytes.
    """
    if n_rows > limits.max_rows:
        raise TooLarge(f"The table has {n_rows:,} rows; at most {limits.max_rows:,} go.")
    if n_rows * row_bytes(schema) > limits.max_bytes:
        raise TooLarge(f"The decoded table would take more than {limits.max_bytes:,} bytes.")


def batch_rows(schema: Iterable[Any]) -> int:
    """Return how many rows to hold at a time: fewer of a wide table."""
    return max(256, min(BATCH_ROWS, BATCH_BYTES // row_bytes(schema)))


def settled_batches(batches: Iterable[Any], schema: Any, limits: Limits) -> Iterator[Any]:
    """Cast record batches to the canonical schema, checking every value.

    Text columns come out dictionary-encoded, so that one long value repeated over many rows does
    not grow.

    Raises
    ------
    Unusable
        If text is not UTF-8, holds NUL, or is too long; if a timestamp does not fit.
    TooLarge
        If the columns grow past the limit.
    """
    import pyarrow as pa

    first, size = 0, 0
    rows = batch_rows(schema)
    for whole in batches:
        for start in range(0, len(whole), rows):
            batch = whole.slice(start, rows)
            columns = [
                settled(column, name=each.name, want=each.type, first_row=first, limits=limits)
                for column, each in zip(batch.columns, schema, strict=True)
            ]
            size += sum(map(_decoded_bytes, columns))
            if size > limits.max_bytes:
                raise TooLarge(f"The decoded table takes more than {limits.max_bytes:,} bytes.")
            yield pa.record_batch(columns, names=schema.names)
            first += len(batch)


def settled(column: Any, *, name: str, want: Any, first_row: int, limits: Limits) -> Any:
    """Cast one column of a batch to its canonical type."""
    import pyarrow as pa

    try:
        column.validate(full=True)
        if is_text(want):
            return _text(column, name=name, first_row=first_row, limits=limits)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_timestamp(want):
            return _timestamp(column, want)
        return column if column.type == want else column.cast(want)
    except pa.ArrowInvalid as error:
        raise Unusable(
            f"Column `{shown(name)}` holds values that are damaged or do not fit, "
            f"in rows {first_row} to {first_row + len(column) - 1}."
        ) from error


def _timestamp(column: Any, want: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    # nanoseconds lose their last digits; coarser units may overflow, which is an error
    fine = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
    if column.type.tz is None:
        return column.cast(pa.timestamp("us"), safe=not fine).cast(want)
    return column.cast(want, safe=not fine)


def _text(column: Any, *, name: str, first_row: int, limits: Limits) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = encoded.dictionary.cast(pa.string())
    values.validate(full=True)
    long = pc.greater(pc.binary_length(values), limits.max_cell_bytes)
    nul = pc.match_substring(values, "\0")
    faults = Faults(so_far=True)
    for bad, reason in (
        (long, f"holds text longer than {limits.max_cell_bytes:,} bytes"),
        (nul, "holds the character NUL"),
    ):
        if pc.any(bad).as_py():
            rows = pc.fill_null(pc.take(bad, encoded.indices), fill_value=False)
            faults.add(name, reason, rows.to_numpy(zero_copy_only=False), first_row)
    if faults:
        raise faults.error(Unusable)
    indices = encoded.indices.cast(pa.int32())
    if values.null_count:  # a null may be in the dictionary rather than in the codes
        nothing = pc.take(values.is_null(), indices)
        indices = pc.if_else(nothing, pa.scalar(None, pa.int32()), indices)
        values = pc.fill_null(values, "")
    return pa.DictionaryArray.from_arrays(indices, values)


def _decoded_bytes(column: Any) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.fill_null(pc.binary_length(column.dictionary), 0).to_numpy()
    codes = pc.fill_null(column.indices, -1).to_numpy()
    return int(np.append(lengths, 0)[codes].sum(dtype=np.int64)) + 4 * len(codes)


def not_utf8(column: Any) -> NDArray[np.bool_]:
    """Say which values of a column of bytes are not UTF-8."""

    def bad(value: bytes | None) -> bool:
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            return True
        return False

    return np.fromiter(map(bad, column.to_pylist()), dtype=np.bool_, count=len(column))

"""Where the rows of a request come from: a stored data set, or an inline batch kept as a blob."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Unusable
from calibrant.numerics.predictions import UNLABELLED, Category, Predictions
from calibrant.operations.context import Context
from calibrant.operations.identity import batch_digest, row_identities
from calibrant.storage.tables import ColumnMapping, TableSource

Task = Literal["binary", "multiclass"]
ScoreKind = Literal["probabilities", "logits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A reference to rows that survives a process: what jobs carry instead of the rows.

    Exactly one of `dataset` (with `columns`) and `inline` is given.

    Attributes
    ----------
    dataset : str or None
        Id of a stored data set.
    columns : ColumnMapping or None
        Which of its columns hold what.
    inline : str or None
        Hash of the blob that holds an inline batch.
    """

    task: Task
    score_kind: ScoreKind
    dataset: str | None = None
    columns: ColumnMapping | None = None
    inline: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """Rows that can be read, as often as needed, in chunks.

    Attributes
    ----------
    source : str
        Hex digest: the identity of rows that have no ids of their own.
    """

    chunks: Callable[[], Iterator[Predictions]]
    n_rows: int
    source: str

    def identities(self) -> NDArray[np.uint64]:
        """Return the identity of every row, unlabelled ones included."""
        parts, first = [], 0
        for chunk in self.chunks():
            parts.append(row_identities(chunk, source=self.source, first_row=first))
            first += len(chunk)
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def opened(predictions: Predictions) -> Opened:
    """Open a batch that is already in memory."""
    return Opened(lambda: iter((predictions,)), len(predictions), batch_digest(predictions))


def keep_inline(
    context: Context, predictions: Predictions, *, task: Task, score_kind: ScoreKind
) -> Data:
    """Store an inline batch so that a job can read it."""
    blob = context.blobs.put(_pack(predictions)).sha256
    return Data(task=task, score_kind=score_kind, inline=blob)


def open_data(context: Context, tenant: str, data: Data) -> Opened:
    """Open the rows that `data` refers to.

    Raises
    ------
    NotFound
        If the tenant has no such data set.
    Unusable
        If its columns do not hold what `data.columns` says.
    """
    if data.inline is not None:
        return opened(_unpack(context.blobs.get(data.inline)))
    if data.dataset is None or data.columns is None:
        raise Unusable("Say which `dataset` and which `columns` of it, or send the rows inline.")
    record = context.metadata.datasets.get(tenant, data.dataset)
    table = TableSource(
        context.blobs.local_path(record.table_sha256),
        data.columns,
        task=data.task,
        score_kind=data.score_kind,
        sha256=record.sha256,
    )
    return Opened(table.chunks, table.n_rows, record.sha256)


def labelled(source: Opened) -> tuple[Predictions, NDArray[np.uint64]]:
    """Read all labelled rows into memory, with their identities.

    Raises
    ------
    Unusable
        If no row has a label.
    """
    rows, identities, first = [], [], 0
    for chunk in source.chunks():
        if chunk.labels is None:
            raise Unusable("This needs labels: name the column that holds them.")
        known = chunk.labels != UNLABELLED
        rows.append(chunk.take(known))
        identities.append(row_identities(chunk, source=source.source, first_row=first)[known])
        first += len(chunk)
    if not sum(map(len, rows)):
        raise Unusable("No row has a label.")
    return Predictions.concat(rows), np.concatenate(identities)


def _pack(rows: Predictions) -> bytes:
    columns: dict[str, NDArray[Any]] = {"scores": rows.scores}
    for name in ("labels", "weights", "time"):
        column = getattr(rows, name)
        if column is not None:
            columns[name] = column
    if rows.ids is not None:
        columns["ids"] = _texts(rows.ids.tolist())
    if rows.groups is not None:
        columns["groups.codes"] = rows.groups.codes
        columns["groups.values"] = _texts(rows.groups.values)
    for dimension, column in rows.slices.items():
        columns[f"slices.codes.{dimension}"] = column.codes
        columns[f"slices.values.{dimension}"] = _texts(column.values)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, column in columns.items():
            # not `np.savez`: it writes the time, and the same rows must be the same blob
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, column, allow_pickle=False)
    return buffer.getvalue()


def _texts(values: Sequence[str]) -> NDArray[np.uint8]:
    # fixed-width text arrays would take n times the longest value
    return np.frombuffer(msgspec.json.encode(values), dtype=np.uint8)


def _unpack(blob: bytes) -> Predictions:
    with np.load(io.BytesIO(blob), allow_pickle=False) as columns:

        def optional(name: str) -> Any:
            return columns.get(name)

        def category(codes: str, values: str) -> Category:
            return Category(columns[codes], tuple(texts(values)))

        def texts(name: str) -> list[str]:
            return msgspec.json.decode(columns[name].tobytes(), type=list[str])

        prefix = "slices.codes."
        dimensions = [name.removeprefix(prefix) for name in columns if name.startswith(prefix)]
        return Predictions(
            scores=columns["scores"],
            labels=optional("labels"),
            weights=optional("weights"),
            ids=np.array(texts("ids"), dtype=np.object_) if "ids" in columns else None,
            time=optional("time"),
            groups=category("groups.codes", "groups.values") if "groups.codes" in columns else None,
            slices={name: category(prefix + name, f"slices.values.{name}") for name in dimensions},
        )

"""The rows of a canonical table as predictions, a chunk at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Detail, Unusable
from calibrant.numerics.predictions import Category, Predictions
from calibrant.storage.tables.columns import batch_rows as most_rows
from calibrant.storage.tables.decoding import (
    NamedLabels,
    Texts,
    check_role,
    id_texts,
    score_matrix,
    utc_times,
    weight_array,
    whole_labels,
)
from calibrant.storage.tables.faults import Faults, shown
from calibrant.storage.tables.parquet import buffer_bytes
from calibrant.storage.tables.shape import BATCH_ROWS, ColumnMapping, ScoreKind, Task


class TableSource:
    """The rows of a table that `canonical` wrote, read as often as needed.

    Parameters
    ----------
    path : Path
        The Parquet file.
    mapping : ColumnMapping
        Which columns hold what; no other column is read.
    task : {"binary", "multiclass"}
        Binary scores are one column, multiclass scores k columns in the order of the classes.
    score_kind : {"probabilities", "logits"}
        What the scores are; carried along for whoever reads them.
    sha256 : str
        Hash of the upload, the identity of rows that have no ids.

    Attributes
    ----------
    n_rows, n_classes : int

    Raises
    ------
    Unusable
        If a column is not there, or cannot hold what the mapping says.

    Notes
    -----
    Labels are whole numbers from 0 to k - 1, booleans, or floats that are whole; null and NaN mean
    that the label is not known. Text is refused unless `classes` names the classes; then labels of
    any type are compared as text. Negative labels are refused, -1 too.
    """

    def __init__(
        self,
        path: Path,
        mapping: ColumnMapping,
        task: Task,
        score_kind: ScoreKind,
        sha256: str,
    ) -> None:
        self.path, self.mapping = path, mapping
        self.task, self.score_kind, self.sha256 = task, score_kind, sha256
        self.n_classes = _class_count(mapping, task)
        with contextlib.closing(_open(path, (), 1)) as file:
            schema = file.schema_arrow
            self.n_rows: int = file.metadata.num_rows
        self.columns: tuple[str, ...] = tuple(schema.names)
        _check_mapping(mapping, schema)
        used = mapping.used()
        self._most_rows = most_rows(schema.field(name) for name in used)
        self._texts = [name for name in used if str(schema.field(name).type) == "string"]
        self._dtype = _score_dtype([schema.field(name).type for name in mapping.scores])
        self._slices = {name: Texts(name, "slices") for name in mapping.slices}
        self._groups = Texts(mapping.groups, "groups") if mapping.groups else None
        self._classes = NamedLabels(mapping.classes) if mapping.classes else None

    def chunks(self, batch_rows: int = BATCH_ROWS) -> Iterator[Predictions]:
        """Give the rows in order.

        A value of a slice or group has the same code in every chunk, and the values of a chunk
        begin with those of the chunks before.

        Parameters
        ----------
        batch_rows : int
            Most rows of a chunk; those of a wide table have fewer.

        Raises
        ------
        BadBatch
            If rows cannot be used. They are counted over the whole table first; chunks before the
            first of them have been given by then.
        TooLarge
            If a slice or group has too many values.
        """
        faults, first = Faults(), 0
        used = list(self.mapping.used())
        with contextlib.closing(_open(self.path, self._texts, len(used))) as file:
            for batch in file.iter_batches(
                batch_size=min(batch_rows, self._most_rows), columns=used, use_threads=False
            ):
                chunk = self._predictions(batch, faults, first)
                first += len(chunk)
                if not faults:
                    yield chunk
        if faults:
            raise faults.error()

    def _predictions(self, batch: Any, faults: Faults, first: int) -> Predictions:
        mapping = self.mapping

        def column(name: str, *, needed: str = "") -> Any:
            values = batch.column(name)
            if needed and values.null_count:
                null = values.is_null().to_numpy(zero_copy_only=False)
                faults.add(name, f"has no {needed}", null, first)
            return values

        def category(texts: Texts, name: str, *, needed: str = "") -> Category:
            return texts(column(name, needed=needed), faults=faults, first_row=first)

        return Predictions(
            scores=score_matrix(
                [column(name, needed="score") for name in mapping.scores], self._dtype
            ),
            labels=self._labels(batch, faults, first),
            weights=weight_array(column(mapping.weights, needed="weight"))
            if mapping.weights
            else None,
            ids=id_texts(
                column(mapping.ids, needed="id"), name=mapping.ids, faults=faults, first_row=first
            )
            if mapping.ids
            else None,
            time=utc_times(
                column(mapping.time, needed="time"),
                name=mapping.time,
                faults=faults,
                first_row=first,
            )
            if mapping.time
            else None,
            groups=category(self._groups, mapping.groups, needed="group")
            if self._groups and mapping.groups
            else None,
            slices={name: category(texts, name) for name, texts in self._slices.items()},
        )

    def _labels(self, batch: Any, faults: Faults, first: int) -> NDArray[np.int64] | None:
        name = self.mapping.labels
        if name is None:
            return None
        column = batch.column(name)
        if self._classes:
            return self._classes(column, name=name, faults=faults, first_row=first)
        return whole_labels(
            column, name=name, n_classes=self.n_classes, faults=faults, first_row=first
        )


def _open(path: Path, texts: Sequence[str], n_columns: int) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        path, pre_buffer=False, buffer_size=buffer_bytes(n_columns), read_dictionary=texts
    )


def _class_count(mapping: ColumnMapping, task: Task) -> int:
    count = len(mapping.scores)
    if task == "binary" and count != 1:
        raise _unusable("scores", "Binary scores are one column: those of class 1.")
    if task == "multiclass" and count < 2:
        raise _unusable("scores", "Multiclass scores are one column per class, at least two.")
    if len(set(mapping.scores)) != count:
        raise _unusable("scores", "A column of scores is named twice.")
    n_classes = 2 if task == "binary" else count
    if mapping.classes is not None and len(mapping.classes) != n_classes:
        raise _unusable("classes", f"There are {n_classes} classes to be named, in order.")
    if mapping.classes is not None and len(set(mapping.classes)) != n_classes:
        raise _unusable("classes", "A class is named twice.")
    return n_classes


def _check_mapping(mapping: ColumnMapping, schema: Any) -> None:
    roles = [("scores", name) for name in mapping.scores]
    roles += [("slices", name) for name in mapping.slices]
    for role in ("labels", "weights", "ids", "time", "groups"):
        name = getattr(mapping, role)
        if name is not None:
            roles.append((role, name))
    for role, name in roles:
        if name not in schema.names:
            there = ", ".join(f"`{shown(each)}`" for each in schema.names[:20])
            more = ", ..." if len(schema.names) > 20 else ""
            raise _unusable(role, f"There is no such column; the table has {there}{more}.")
        named = role == "labels" and mapping.classes is not None
        check_role(name, "class names" if named else role, schema.field(name).type)


def _score_dtype(types: list[Any]) -> Any:
    single = all(str(each) == "float" for each in types)
    return np.float32 if single else np.float64


def _unusable(role: str, message: str) -> Unusable:
    return Unusable(f"`columns.{role}`: {message}", [Detail(f"/columns/{role}", message)])

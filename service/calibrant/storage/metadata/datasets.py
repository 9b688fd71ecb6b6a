"""Data sets: uploaded tables, as a record that points to blobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from calibrant.storage.metadata.database import Connections
from calibrant.storage.metadata.rows import (
    DEFAULT_PAGE,
    Page,
    add_once,
    builder,
    one,
    page_by_id,
)
from calibrant.storage.metadata.schema import datasets
from calibrant.storage.names import check_name, new_id


@dataclass(frozen=True, slots=True)
class Dataset:
    """An uploaded table.

    Attributes
    ----------
    id : str
        `ds_...`; later ones sort after earlier ones.
    name : str, or None
    sha256 : str
        Hash of the upload as it came, which is the data set's identity for row identities.
    table_sha256 : str
        Blob with the table in the form the service reads.
    media_type : str
        Of the upload.
    n_rows, n_bytes : int
        Size of the table and of the upload.
    columns : list or mapping
        What is known about the columns, as plain values.
    job_id : str, or None
    created : datetime
    """

    id: str
    name: str | None
    sha256: str
    table_sha256: str
    media_type: str
    n_rows: int
    n_bytes: int
    columns: Any
    job_id: str | None
    created: datetime


_MISSING = "There is no such data set."
_dataset = builder(Dataset)


class Datasets:
    """The data sets of each tenant."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add(
        self,
        tenant: str,
        *,
        sha256: str,
        table_sha256: str,
        media_type: str,
        n_rows: int,
        n_bytes: int,
        columns: Any,
        name: str | None = None,
        job_id: str | None = None,
    ) -> Dataset:
        """Record a data set whose blobs are stored; the same job adds it once."""
        values = {
            "id": new_id("ds"),
            "tenant": tenant,
            "name": None if name is None else check_name(name),
            "sha256": sha256,
            "table_sha256": table_sha256,
            "media_type": media_type,
            "n_rows": n_rows,
            "n_bytes": n_bytes,
            "columns": columns,
            "job_id": job_id,
            "created": self._connections.clock(),
        }
        with self._connections.write() as connection:
            return _dataset(add_once(connection, datasets, values))

    def get(self, tenant: str, dataset_id: str) -> Dataset:
        """Return a data set, or raise `NotFound`."""
        with self._connections.read() as connection:
            return _dataset(
                one(connection, datasets, tenant, datasets.c.id == dataset_id, missing=_MISSING)
            )

    def page(
        self, tenant: str, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[Dataset]:
        """Return data sets, newest first."""
        return page_by_id(self._connections, datasets, tenant, _dataset, limit=limit, cursor=cursor)

    def delete(self, tenant: str, dataset_id: str) -> Dataset:
        """Forget a data set and return what it was; reports and calibrators made from it stay."""
        with self._connections.write() as connection:
            gone = _dataset(
                one(connection, datasets, tenant, datasets.c.id == dataset_id, missing=_MISSING)
            )
            connection.execute(datasets.delete().where(datasets.c.id == gone.id))
            return gone

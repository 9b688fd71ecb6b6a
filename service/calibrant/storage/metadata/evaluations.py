"""Evaluations: the headline of a report for lists, and a pointer to the whole."""

from __future__ import annotations

from collections.abc import Mapping
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
from calibrant.storage.metadata.schema import evaluations
from calibrant.storage.names import new_id


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation.

    Attributes
    ----------
    id : str
        `ev_...`; later ones sort after earlier ones.
    dataset_id : str, or None
        The data set it was made on; None where the rows came with the request.
    inline_sha256 : str, or None
        Hash of the rows that came with the request.
    headline : mapping
        What a list shows: verdict, rows, ECE.
    report_sha256 : str
        Blob with the report.
    optimistic : bool
        Rows that the calibrator was fitted on were allowed in.
    job_id : str, or None
    created : datetime
    """

    id: str
    dataset_id: str | None
    inline_sha256: str | None
    headline: Mapping[str, Any]
    report_sha256: str
    optimistic: bool
    job_id: str | None
    created: datetime


_MISSING = "There is no such evaluation."
_evaluation = builder(Evaluation)


class Evaluations:
    """The evaluations of each tenant."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add(
        self,
        tenant: str,
        *,
        headline: Mapping[str, Any],
        report_sha256: str,
        dataset_id: str | None = None,
        inline_sha256: str | None = None,
        optimistic: bool = False,
        job_id: str | None = None,
    ) -> Evaluation:
        """Record an evaluation whose report is stored; the same job adds it once."""
        values = {
            "id": new_id("ev"),
            "tenant": tenant,
            "dataset_id": dataset_id,
            "inline_sha256": inline_sha256,
            "headline": dict(headline),
            "report_sha256": report_sha256,
            "optimistic": optimistic,
            "job_id": job_id,
            "created": self._connections.clock(),
        }
        with self._connections.write() as connection:
            return _evaluation(add_once(connection, evaluations, values))

    def get(self, tenant: str, evaluation_id: str) -> Evaluation:
        """Return an evaluation, or raise `NotFound`."""
        with self._connections.read() as connection:
            return _evaluation(
                one(
                    connection,
                    evaluations,
                    tenant,
                    evaluations.c.id == evaluation_id,
                    missing=_MISSING,
                )
            )

    def page(
        self, tenant: str, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[Evaluation]:
        """Return evaluations, newest first."""
        return page_by_id(
            self._connections, evaluations, tenant, _evaluation, limit=limit, cursor=cursor
        )

"""Calibrators: names, numbered versions that never change, aliases that move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from calibrant.errors import NoChampion, NotFound
from calibrant.storage.metadata.audit import Audit
from calibrant.storage.metadata.database import Connections, Joined
from calibrant.storage.metadata.rows import (
    DEFAULT_PAGE,
    Page,
    builder,
    check_limit,
    insert_if_absent,
    numeric_cursor,
    one,
    page_of,
    text_cursor,
)
from calibrant.storage.metadata.schema import (
    calibrator_aliases,
    calibrator_versions,
    calibrators,
)
from calibrant.storage.names import CHAMPION, check_alias, check_name
from calibrant.storage.references import Reference


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A name with what it has.

    Attributes
    ----------
    name : str
    newest : int
        Number of the newest version.
    aliases : mapping of alias to version
    created : datetime
    """

    name: str
    newest: int
    aliases: Mapping[str, int]
    created: datetime


@dataclass(frozen=True, slots=True)
class CalibratorVersion:
    """One fit, as it was recorded.

    Attributes
    ----------
    name : str
    version : int
        1 for the first of its name.
    task : str
    n_classes : int
    kind : str
        Of the fitted calibrator; `method` is what was asked for (`auto`).
    status : str
        Outcome of the fit.
    servable : bool
        Whether the status allows serving it.
    artifact_sha256 : str
        Blob with the parameters (JSON).
    onnx_sha256 : str, or None
        Blob with the graph.
    certificate : mapping, or None
        How far our kernel, ONNX Runtime and the reference differ on the probe set.
    summary : mapping
        Table of candidates, held-out before and after.
    fit_rows_sha256 : str, or None
        Blob with the identities of the rows it was fitted on.
    dataset_id, job_id : str, or None
    created : datetime
    """

    name: str
    version: int
    task: str
    n_classes: int
    kind: str
    method: str
    status: str
    servable: bool
    artifact_sha256: str
    onnx_sha256: str | None
    certificate: Mapping[str, Any] | None
    summary: Mapping[str, Any]
    fit_rows_sha256: str | None
    dataset_id: str | None
    job_id: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class AliasMove:
    """What became of an alias; None stands for "there was none" and "there is none now"."""

    name: str
    alias: str
    previous: int | None
    version: int | None


_version = builder(CalibratorVersion)
_MISSING = "There is no such calibrator."
_MISSING_VERSION = "This calibrator has no such version."
_MISSING_ALIAS = "This calibrator has no such alias."


class Calibrators:
    """The calibrators of each tenant."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add_version(
        self,
        tenant: str,
        name: str,
        *,
        task: str,
        n_classes: int,
        kind: str,
        method: str,
        status: str,
        servable: bool,
        artifact_sha256: str,
        summary: Mapping[str, Any],
        onnx_sha256: str | None = None,
        certificate: Mapping[str, Any] | None = None,
        fit_rows_sha256: str | None = None,
        dataset_id: str | None = None,
        job_id: str | None = None,
    ) -> CalibratorVersion:
        """Record a fit under the next number; the same job does so once and gets it again."""
        now = self._connections.clock()
        values = {
            "tenant": tenant,
            "name": check_name(name),
            "task": task,
            "n_classes": n_classes,
            "kind": kind,
            "method": method,
            "status": status,
            "servable": servable,
            "artifact_sha256": artifact_sha256,
            "onnx_sha256": onnx_sha256,
            "certificate": None if certificate is None else dict(certificate),
            "summary": dict(summary),
            "fit_rows_sha256": fit_rows_sha256,
            "dataset_id": dataset_id,
            "job_id": job_id,
            "created": now,
        }
        blank = {"tenant": tenant, "name": name, "newest": 0, "created": now}
        with self._connections.write() as connection:
            insert_if_absent(connection, calibrators, blank)
            newest = _lock(connection, tenant, name)["newest"]
            done = _by_job(connection, tenant, job_id)
            if done is not None:
                return done
            connection.execute(
                calibrators.update()
                .where(_named(calibrators, tenant, name))
                .values(newest=newest + 1)
            )
            connection.execute(calibrator_versions.insert().values(version=newest + 1, **values))
            return _get_version(connection, tenant, name, newest + 1)

    def get(self, tenant: str, name: str) -> Calibrator:
        """Return a name with its aliases, or raise `NotFound`."""
        with self._connections.read() as connection:
            row = one(connection, calibrators, tenant, calibrators.c.name == name, missing=_MISSING)
            return _with_aliases(connection, tenant, [row])[0]

    def page(
        self, tenant: str, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[Calibrator]:
        """Return names with their aliases, in the order of the alphabet."""
        query = sa.select(calibrators).where(calibrators.c.tenant == tenant)
        after = text_cursor(cursor)
        if after is not None:
            query = query.where(calibrators.c.name > after)
        query = query.order_by(calibrators.c.name).limit(check_limit(limit) + 1)
        with self._connections.read() as connection:
            rows = connection.execute(query).mappings().all()
            named = {item.name: item for item in _with_aliases(connection, tenant, rows)}
        return page_of(rows, limit, lambda row: named[row["name"]], "name")

    def version(self, tenant: str, name: str, version: int) -> CalibratorVersion:
        """Return a version by its number, or raise `NotFound`."""
        with self._connections.read() as connection:
            return _get_version(connection, tenant, name, version)

    def versions(
        self, tenant: str, name: str, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[CalibratorVersion]:
        """Return the versions of a name, newest first."""
        query = sa.select(calibrator_versions).where(_named(calibrator_versions, tenant, name))
        before = numeric_cursor(cursor)
        if before is not None:
            query = query.where(calibrator_versions.c.version < before)
        query = query.order_by(calibrator_versions.c.version.desc()).limit(check_limit(limit) + 1)
        with self._connections.read() as connection:
            one(connection, calibrators, tenant, calibrators.c.name == name, missing=_MISSING)
            rows = connection.execute(query).mappings().all()
        return page_of(rows, limit, _version, "version")

    def resolve(self, tenant: str, reference: Reference, *, serving: bool) -> CalibratorVersion:
        """Return the version that a reference means.

        Parameters
        ----------
        tenant : str
        reference : Reference
        serving : bool
            A bare name means the champion if true, the newest version if false.

        Raises
        ------
        NotFound
            If the tenant has no such name, alias or version.
        NoChampion
            If a bare name is to be served and has no champion.
        """
        name = reference.name
        with self._connections.read() as connection:
            row = one(connection, calibrators, tenant, calibrators.c.name == name, missing=_MISSING)
            version: int = reference.version or row["newest"]
            bare = reference.alias is None and reference.version is None and not reference.newest
            if reference.alias is not None:
                version = _alias(connection, tenant, name, reference.alias)
            elif bare and serving:
                version = _champion(connection, tenant, name)
            return _get_version(connection, tenant, name, version)

    def aliases(self, tenant: str, name: str) -> Mapping[str, int]:
        """Return the aliases of a name with their versions."""
        return self.get(tenant, name).aliases

    def set_alias(
        self,
        tenant: str,
        name: str,
        alias: str,
        version: int,
        *,
        who: str,
        request_id: str | None = None,
    ) -> AliasMove:
        """Let an alias mean a version; the move is in the audit trail or did not happen."""
        check_alias(alias)
        now = self._connections.clock()
        with self._connections.write() as connection:
            _lock(connection, tenant, name)
            target = _get_version(connection, tenant, name, version)
            previous = _find_alias(connection, tenant, name, alias)
            key = {"tenant": tenant, "name": name, "alias": alias}
            if previous is None:
                connection.execute(
                    calibrator_aliases.insert().values(**key, version=version, moved=now)
                )
            else:
                connection.execute(
                    calibrator_aliases.update()
                    .where(_aliased(tenant, name, alias))
                    .values(version=version, moved=now)
                )
            move = AliasMove(name, alias, previous, version)
            self._record(connection, tenant, move, who, request_id, target.artifact_sha256)
            return move

    def delete_alias(
        self, tenant: str, name: str, alias: str, *, who: str, request_id: str | None = None
    ) -> AliasMove:
        """Remove an alias, or raise `NotFound`; recorded like a move."""
        with self._connections.write() as connection:
            _lock(connection, tenant, name)
            previous = _alias(connection, tenant, name, alias)
            connection.execute(calibrator_aliases.delete().where(_aliased(tenant, name, alias)))
            move = AliasMove(name, alias, previous, None)
            sha256 = _get_version(connection, tenant, name, previous).artifact_sha256
            self._record(connection, tenant, move, who, request_id, sha256)
            return move

    def _record(
        self,
        connection: sa.Connection,
        tenant: str,
        move: AliasMove,
        who: str,
        request_id: str | None,
        sha256: str,
    ) -> None:
        """Write a move into the audit trail, in the transaction of the move."""
        Audit(Joined(connection, self._connections.clock)).add(
            tenant,
            who=who,
            action="alias.delete" if move.version is None else "alias.set",
            object=f"calibrators/{move.name}@{move.alias}",
            object_sha256=sha256,
            detail={"previous": move.previous, "version": move.version},
            request_id=request_id,
        )


def _named(table: sa.Table, tenant: str, name: str) -> sa.ColumnElement[bool]:
    """Select the rows of a name."""
    return sa.and_(table.c.tenant == tenant, table.c.name == name)


def _aliased(tenant: str, name: str, alias: str) -> sa.ColumnElement[bool]:
    """Select the row of an alias."""
    return sa.and_(_named(calibrator_aliases, tenant, name), calibrator_aliases.c.alias == alias)


def _lock(connection: sa.Connection, tenant: str, name: str) -> sa.RowMapping:
    """Return the row of a name; until the commit nobody else numbers or moves under it."""
    named = calibrators.c.name == name
    return one(connection, calibrators, tenant, named, missing=_MISSING, lock=True)


def _get_version(
    connection: sa.Connection, tenant: str, name: str, version: int
) -> CalibratorVersion:
    table = calibrator_versions
    return _version(
        one(
            connection,
            table,
            tenant,
            table.c.name == name,
            table.c.version == version,
            missing=_MISSING_VERSION,
        )
    )


def _by_job(connection: sa.Connection, tenant: str, job_id: str | None) -> CalibratorVersion | None:
    """Return the version that a job has recorded."""
    if job_id is None:
        return None
    table = calibrator_versions
    query = sa.select(table).where(table.c.tenant == tenant, table.c.job_id == job_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _version(row)


def _find_alias(connection: sa.Connection, tenant: str, name: str, alias: str) -> int | None:
    """Return the version an alias means now."""
    query = sa.select(calibrator_aliases.c.version).where(_aliased(tenant, name, alias))
    return connection.execute(query).scalar_one_or_none()


def _alias(connection: sa.Connection, tenant: str, name: str, alias: str) -> int:
    """Return the version an alias means now, or raise `NotFound`."""
    version = _find_alias(connection, tenant, name, alias)
    if version is None:
        raise NotFound(_MISSING_ALIAS)
    return version


def _champion(connection: sa.Connection, tenant: str, name: str) -> int:
    """Return the version to serve, or raise `NoChampion`."""
    version = _find_alias(connection, tenant, name, CHAMPION)
    if version is None:
        raise NoChampion(
            f"Nothing is promoted yet under this name: PUT /v1/calibrators/{name}/aliases/"
            f'{CHAMPION} with {{"version": n}}, or name a version.'
        )
    return version


def _with_aliases(
    connection: sa.Connection, tenant: str, rows: Iterable[sa.RowMapping]
) -> list[Calibrator]:
    """Add to each name its aliases."""
    rows = list(rows)
    aliases: dict[str, dict[str, int]] = {row["name"]: {} for row in rows}
    query = (
        sa.select(calibrator_aliases)
        .where(calibrator_aliases.c.tenant == tenant, calibrator_aliases.c.name.in_(list(aliases)))
        .order_by(calibrator_aliases.c.alias)
    )
    for row in connection.execute(query).mappings():
        aliases[row["name"]][row["alias"]] = row["version"]
    return [
        Calibrator(row["name"], row["newest"], aliases[row["name"]], row["created"]) for row in rows
    ]

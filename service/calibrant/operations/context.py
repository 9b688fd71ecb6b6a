"""What every operation works with, and for whom."""

from __future__ import annotations

from dataclasses import dataclass

from calibrant.errors import Forbidden
from calibrant.jobs.queue import JobQueue
from calibrant.settings import Settings
from calibrant.storage.blobs import Blobs
from calibrant.storage.metadata import Metadata


@dataclass(frozen=True, slots=True)
class Context:
    """The opened parts of the service that operations use."""

    settings: Settings
    metadata: Metadata
    blobs: Blobs
    jobs: JobQueue


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: everything is read and written inside the caller's tenant."""

    tenant: str
    actor: str
    scopes: frozenset[str]
    request_id: str = "-"

    def need(self, scope: str) -> None:
        """Raise `Forbidden` unless the caller holds `scope` (`admin` holds all)."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(f"This needs an API key with the scope `{scope}`.")

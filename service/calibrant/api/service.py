"""What every route works with: the runtime, and what this process keeps beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calibrant.api.auth import Authenticator
from calibrant.api.metrics import RequestMetrics
from calibrant.api.permits import Permits
from calibrant.errors import Unavailable
from calibrant.settings import Settings

if TYPE_CHECKING:
    from calibrant.runtime import Runtime


@dataclass(slots=True)
class Service:
    """The state of one API process; the lifespan fills in the runtime.

    Attributes
    ----------
    reports : Permits
        For evaluations in the request.
    batches : Permits
        For calibrations too large for the event loop.
    ready : bool
        Whether kernels are warm and requests may come.
    """

    settings: Settings
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    opened: Runtime | None = None
    auth: Authenticator = field(default_factory=lambda: Authenticator(None))
    reports: Permits = field(init=False)
    batches: Permits = field(init=False)
    ready: bool = False

    def __post_init__(self) -> None:
        count = self.settings.compute_permits
        self.reports = Permits("reports", count, waiting=8 * count, patience=5.0)
        self.batches = Permits("batches", 2 * count, waiting=32 * count, patience=5.0)

    @property
    def runtime(self) -> Runtime:
        """The open runtime.

        Raises
        ------
        Unavailable
            Before the lifespan has opened it.
        """
        if self.opened is None:
            raise Unavailable("The service is starting.")
        return self.opened

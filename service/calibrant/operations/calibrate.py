"""Serve calibrators: find the version a reference means, keep it ready, apply it.

What is served lies in memory, so serving goes on while the database is away. A version never
changes; what can change is which version an alias means. One thread asks for that once a second,
so a promotion made on another replica arrives within a second; one made here arrives at once.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import CalibrantError, NotServable, Unavailable
from calibrant.numerics.calibrators.apply import Compiled, CompiledSliced, Slices, compiled
from calibrant.numerics.calibrators.model import ScoreKind
from calibrant.operations.calibrators import load
from calibrant.storage.blobs import Blobs
from calibrant.storage.metadata import CalibratorVersion, Metadata
from calibrant.storage.names import CHAMPION
from calibrant.storage.references import parse_ref

log = logging.getLogger(__name__)

MAX_REFERENCES = 10_000
"""References kept ready; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class Servable:
    """A version ready to be applied.

    Attributes
    ----------
    alias : str or None
        Under which it was asked for; a bare name means the champion.
    """

    name: str
    version: int
    alias: str | None
    kind: str
    task: str
    n_classes: int
    compiled: Compiled | CompiledSliced

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Slice columns that are read; none unless it was fitted per slice."""
        return self.compiled.dimensions if isinstance(self.compiled, CompiledSliced) else ()

    def calibrate(
        self,
        scores: NDArray[Any],
        score_kind: ScoreKind,
        slices: Slices | None = None,
    ) -> tuple[NDArray[np.float64], int]:
        """Return probabilities, and how many rows fell back to the pooled fit.

        Raises
        ------
        BadBatch
            If scores are not finite, out of range, of another shape, or a slice column is missing.
        """
        if isinstance(self.compiled, CompiledSliced):
            return self.compiled(scores, score_kind, slices or {})
        return self.compiled(scores, score_kind), 0


class Serving:
    """The calibrators that are kept ready.

    Parameters
    ----------
    metadata, blobs
        Where versions come from.
    refresh : float, seconds
        How often aliases are looked up again.
    """

    def __init__(self, metadata: Metadata, blobs: Blobs, *, refresh: float = 1.0) -> None:
        self._metadata, self._blobs, self._refresh = metadata, blobs, refresh
        self._ready: dict[tuple[str, str], Servable] = {}
        self._artifacts: dict[str, Compiled | CompiledSliced] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="aliases", daemon=True)

    def start(self) -> None:
        """Begin to follow aliases."""
        self._thread.start()

    def close(self) -> None:
        """Stop following them."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def peek(self, tenant: str, reference: str) -> Servable | None:
        """Return what is ready, without ever waiting; None: call `resolve`."""
        return self._ready.get((tenant, reference))

    def resolve(self, tenant: str, reference: str) -> Servable:
        """Return what a reference means where it is served; may read database and blobs.

        Raises
        ------
        NotFound
            If the tenant has no such name, version or alias.
        NoChampion
            If a bare name has no champion.
        NotServable
            If the status of the version forbids serving it.
        """
        ready = self.peek(tenant, reference)
        return self._load(tenant, reference) if ready is None else ready

    def refresh(self, tenant: str, name: str) -> None:
        """Look up again what is ready under a name: one of its aliases has just moved."""
        for key, ready in list(self._ready.items()):
            if key[0] == tenant and ready.name == name:
                self._look_again(key)

    def _load(self, tenant: str, reference: str) -> Servable:
        parsed = parse_ref(reference)
        found = self._metadata.calibrators.resolve(tenant, parsed, serving=True)
        if not found.servable:
            raise NotServable(
                f"Version {found.version} of {found.name} ended as `{found.status}` and is not served."
            )
        bare = parsed.alias is None and parsed.version is None and not parsed.newest
        ready = Servable(
            name=found.name,
            version=found.version,
            alias=CHAMPION if bare else parsed.alias,
            kind=found.kind,
            task=found.task,
            n_classes=found.n_classes,
            compiled=self._prepare(found),
        )
        with self._lock:
            self._ready[tenant, reference] = ready
            while len(self._ready) > MAX_REFERENCES:
                self._ready.pop(next(iter(self._ready)))
        return ready

    def _prepare(self, found: CalibratorVersion) -> Compiled | CompiledSliced:
        """Return the prepared artifact, shared by all references to it."""
        known = self._artifacts.get(found.artifact_sha256)
        if known is not None:
            return known
        prepared = compiled(load(self._blobs, found))
        with self._lock:
            self._artifacts[found.artifact_sha256] = prepared
            while len(self._artifacts) > MAX_REFERENCES:
                self._artifacts.pop(next(iter(self._artifacts)))
        return prepared

    def _watch(self) -> None:
        while not self._stop.wait(self._refresh):
            for key in list(self._ready):
                if not self._look_again(key):
                    break  # the database is away: what is ready stays ready

    def _look_again(self, key: tuple[str, str]) -> bool:
        """Bring one reference up to date; return whether the database answered."""
        try:
            self._load(*key)
        except Unavailable:
            return False
        except CalibrantError:  # the alias is gone, or means something that is not served
            with self._lock:
                self._ready.pop(key, None)
        except Exception:  # the edge of a thread that must not die
            log.exception("looking up a served reference failed")
            return False
        return True

"""Permits: work starts with one in hand, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from calibrant.errors import TooBusy


class Permits:
    """A bounded number of permits, and a bounded queue for them.

    Parameters
    ----------
    count : int
        Works at a time.
    waiting : int
        Callers that may wait; one more is refused at once.
    patience : float
        Seconds a caller waits before it is refused.
    """

    def __init__(self, count: int, *, waiting: int, patience: float) -> None:
        self._free = asyncio.Semaphore(count)
        self._waiting, self._patience = waiting, patience
        self._queued = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a permit.

        Raises
        ------
        TooBusy
            If none came free in time, or too many wait already.
        """
        await self._take()
        try:
            yield
        finally:
            self._free.release()

    async def _take(self) -> None:
        if self._free.locked() and self._queued >= self._waiting:
            raise self._refusal()
        self._queued += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise self._refusal() from None
        finally:
            self._queued -= 1

    def _refusal(self) -> TooBusy:
        return TooBusy(
            "All places for this work are taken; try again shortly.",
            retry_after=max(1, round(self._patience)),
        )

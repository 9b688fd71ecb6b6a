"""Permits: work starts with one in hand, in threads kept for it, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from calibrant.errors import TooBusy

T = TypeVar("T")


class Permits:
    """A bounded number of permits, each with a thread, and a bounded queue for them.

    The threads are not the shared ones: those may all be waiting for a database that is away.

    Parameters
    ----------
    name : str
        Of the threads.
    count : int
        Works at a time.
    waiting : int
        Callers that may wait; one more is refused at once.
    patience : float
        Seconds a caller waits before it is refused.
    """

    def __init__(self, name: str, count: int, *, waiting: int, patience: float) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._free = asyncio.Semaphore(count)
        self._waiting, self._patience = waiting, patience
        self._queued = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in a thread of its own, holding a permit; raises as `one`."""
        async with self.one():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

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

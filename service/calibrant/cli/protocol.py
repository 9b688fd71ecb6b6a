"""The HTTP server around the API: uvicorn, with a bound on how long and large a request head may be.

uvicorn waits for the rest of a request head for ever, and so holds a connection for anybody who
sends half of one; it has no setting for that, hence this subclass. Nor does it close a connection
whose request was answered early (408, 413, 401) while its body goes on and on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from calibrant.settings import Settings

MAX_HEAD_BYTES = 64 * 2**10
KEEP_ALIVE_SECONDS = 5
DRAIN_SECONDS = 1.0
"""How long the rest of a body may come after the answer, so that the client gets to read it."""
MAX_CONNECTIONS = 1_000


class BoundedHeadProtocol(HttpToolsProtocol):
    """Closes a connection whose request does not end in time, or whose head grows too large.

    A clock is started only where something is left open: nearly every request comes and goes
    whole, and shall not pay for a timer.
    """

    def __init__(self, *args: Any, header_timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timeout = header_timeout
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a head from the start."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._start_clock(self._header_timeout)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._stop_clock()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Note its end: the body has its own deadline."""
        self._in_head = False
        self._stop_clock()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Give the rest of a body that was answered early a little time."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._start_clock(DRAIN_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Look at what the bytes have left open."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if self._in_head:
            self._start_clock(self._header_timeout)
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._close()
        elif cycle is not None and cycle.response_complete:
            # bytes that begin nothing: the clock of uvicorn starts again with each, this does not
            self._start_clock(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self, seconds: float) -> None:
        """Close the connection after some seconds, unless a clock runs already."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._close)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._stop_clock()
        if not self.transport.is_closing():
            self.transport.close()


def server_config(app: Any, settings: Settings) -> Config:
    """Return how the API is served."""
    return Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=partial(BoundedHeadProtocol, header_timeout=settings.header_timeout),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        server_header=False,
        log_level=settings.log_level,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        limit_concurrency=MAX_CONNECTIONS,
    )

"""Send one request over and over on several connections; print what came back, as one JSON line.

Run as a script in a process of its own, pinned to its own core: `load.py PORT FILE CONNECTIONS
SECONDS`, where the file holds the whole request. Plain sockets, because every microsecond spent
here is one in which the server waits.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from pathlib import Path


class Connection:
    """One kept-alive connection with one request under way."""

    __slots__ = ("_buffer", "_end", "_request", "_start", "socket")

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request, self._buffer, self._end, self._start = request, bytearray(), 0, 0.0

    def ask(self) -> None:
        """Send the request."""
        self._buffer.clear()
        self._end = 0
        self._start = time.perf_counter()
        self.socket.sendall(self._request)

    def hear(self) -> tuple[float, bytes] | None:
        """Read what there is; return seconds and the response once it is whole."""
        part = self.socket.recv(1 << 20)
        if not part:
            raise ConnectionError("the server closed the connection")
        self._buffer += part
        if not self._end:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return None
            self._end = head + 4 + content_length(bytes(self._buffer[:head]))
        if len(self._buffer) < self._end:
            return None
        return time.perf_counter() - self._start, bytes(self._buffer)


def content_length(head: bytes) -> int:
    """Return the length of a response's body."""
    at = head.lower().index(b"content-length:") + len("content-length:")
    return int(head[at:].split(b"\r\n", 1)[0])


def load(port: int, request: bytes, connections: int, seconds: float) -> dict[str, object]:
    """Keep every connection busy for so long; finish what is under way."""
    ready = selectors.DefaultSelector()
    for _ in range(connections):
        connection = Connection(port, request)
        ready.register(connection.socket, selectors.EVENT_READ, connection)
        connection.ask()
    took: list[float] = []
    failed, body, busy = 0, b"", connections
    start = time.perf_counter()
    end = start + seconds
    while busy:
        for key, _ in ready.select():
            heard = key.data.hear()
            if heard is None:
                continue
            took.append(heard[0])
            if heard[1][9:12] != b"200":
                failed += 1
                body = heard[1]
            elif not failed:
                body = heard[1]
            if time.perf_counter() < end:
                key.data.ask()
            else:
                busy -= 1
    wall = time.perf_counter() - start
    took.sort()
    return {
        "requests": len(took),
        "failed": failed,
        "per_second": len(took) / wall,
        "p50_ms": 1e3 * took[len(took) // 2],
        "p99_ms": 1e3 * took[int(len(took) * 0.99)],
        "response": body.hex(),
    }


if __name__ == "__main__":
    port, file, connections, seconds = sys.argv[1:]
    print(json.dumps(load(int(port), Path(file).read_bytes(), int(connections), float(seconds))))

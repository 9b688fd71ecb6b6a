"""Requests that never end are closed in time, and hold up nobody."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from calibrant.cli.protocol import DRAIN_SECONDS, KEEP_ALIVE_SECONDS

pytestmark = pytest.mark.live
SLACK = 1.5
BODY = 2.0 + DRAIN_SECONDS


@pytest.fixture(scope="module")
def hasty(run_service, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hasty") / "data"
    with run_service(folder, HEADER_TIMEOUT="1.5", RECEIVE_TIMEOUT="2.0") as service:
        yield service


def drip(port: int, head: bytes, trickle: bytes, seconds: float = 12.0) -> tuple[float, bytes]:
    """Send a beginning, then one piece after the other; return when it was closed and the answer."""
    began, answer = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(0.1)
        try:
            line.sendall(head)
            while time.monotonic() - began < seconds:
                line.sendall(trickle)
                try:
                    data = line.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    return time.monotonic() - began, answer
                answer += data
        except (BrokenPipeError, ConnectionResetError):
            return time.monotonic() - began, answer
    raise AssertionError(f"open for {seconds} s")


HEADS = {
    "a head that never ends": (b"GET /livez HTTP/1.1\r\nhost: x\r\n", b"x-more: 1\r\n", 1.5),
    "a request line that never ends": (b"GET /", b"a", 1.5),
    "nothing at all": (b"", b"", 1.5),
    "a second head that never ends": (
        b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\n",
        b"x-more: 1\r\n",
        1.5,
    ),
    "line breaks after an answer": (
        b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\r\n",
        KEEP_ALIVE_SECONDS,
    ),
    "a body that nobody asked for": (
        b"GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n",
        b"a",
        DRAIN_SECONDS,
    ),
    "a JSON body that never ends": (
        b"POST /v1/evaluations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: 100000\r\n\r\n{",
        b" ",
        BODY,
    ),
    "a chunked body that never ends": (
        b"POST /v1/evaluations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
        b"1\r\n \r\n",
        BODY,
    ),
    "an upload that never ends": (
        b"POST /v1/datasets HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\n"
        b"content-length: 100000\r\n\r\np,y\n",
        b"1",
        BODY,
    ),
    "scores to calibrate that never end": (
        b"POST /v1/calibrators/x/calibrate HTTP/1.1\r\nhost: x\r\n"
        b"content-type: application/json\r\ncontent-length: 100000\r\n\r\n{",
        b" ",
        BODY,
    ),
}


@pytest.mark.parametrize(("head", "trickle", "deadline"), HEADS.values(), ids=HEADS.keys())
def test_a_request_that_never_ends_is_closed_in_time(hasty, head, trickle, deadline):
    took, answer = drip(hasty.port, head, trickle)
    assert deadline - 0.3 <= took <= deadline + SLACK, (took, answer)
    if deadline == BODY:
        assert b" 408 " in answer, answer
        assert b"too_slow" in answer


def test_a_body_that_stops_is_refused_in_time(hasty):
    head = (
        b"POST /v1/evaluations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: 100000\r\n\r\n{"
    )
    took, answer = drip(hasty.port, head, b"")
    assert BODY - 0.3 <= took <= BODY + SLACK
    assert b" 408 " in answer


def test_innocent_requests_are_answered_meanwhile(hasty):
    """Two hundred slow requests are open; a fresh one is answered without waiting for them."""
    stop = threading.Event()
    lines = [socket.create_connection(("127.0.0.1", hasty.port)) for _ in range(200)]

    def feed() -> None:
        heads = [HEADS["a head that never ends"], HEADS["a JSON body that never ends"]]
        for place, line in enumerate(lines):
            line.sendall(heads[place % 2][0])
        while not stop.wait(0.2):
            for place, line in enumerate(lines):
                try:
                    line.sendall(heads[place % 2][1])
                except OSError:
                    continue

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert hasty.http.get("/livez").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.05)
        assert slowest < 0.5
    finally:
        stop.set()
        feeder.join()
        for line in lines:
            line.close()


def test_a_head_without_bound_is_closed(hasty):
    with socket.create_connection(("127.0.0.1", hasty.port)) as line:
        line.settimeout(5)
        line.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - which piece is the last is open
            for _ in range(200):
                line.sendall(b"x: " + b"a" * 4096 + b"\r\n")
                time.sleep(0.001)
            assert line.recv(1024) == b""
            raise ConnectionResetError
    assert hasty.http.get("/livez").status_code == 200

"""Bodies arrive in time and within their limit, and work starts with a permit."""

from __future__ import annotations

import asyncio
import io
import threading

import pytest

from calibrant.api.body import read_body, save_body
from calibrant.api.permits import Permits
from calibrant.errors import BadRequest, TooBusy, TooLarge, TooSlow


def stream(*pieces, stall=False):
    queue = list(pieces)

    async def receive():
        if queue:
            await asyncio.sleep(0)
            piece = queue.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(queue) or stall}
        await asyncio.sleep(60)
        raise AssertionError

    return receive


def read(*pieces, headers=None, limit=100, deadline=5.0, stall=False):
    work = read_body(stream(*pieces, stall=stall), headers or {}, limit=limit, deadline=deadline)
    return asyncio.run(work)


def test_pieces_are_joined():
    assert read(b"ab", b"", b"cd") == b"abcd"


def test_a_body_that_says_it_is_too_long_is_not_read():
    async def receive():
        raise AssertionError

    with pytest.raises(TooLarge):
        asyncio.run(read_body(receive, {b"content-length": b"101"}, limit=100, deadline=1))


@pytest.mark.parametrize(
    "pieces", [[b"x" * 101], [b"x" * 60, b"x" * 41, b"y"]], ids=["one", "many"]
)
def test_a_body_that_lies_about_its_length_is_counted(pieces):
    assert read(b"x" * 100) == b"x" * 100
    with pytest.raises(TooLarge):
        read(*pieces)


@pytest.mark.parametrize("pieces", [[], [b"a"], [b"a", b"b"]], ids=len)
def test_a_stalled_body_is_given_up(pieces):
    with pytest.raises(TooSlow):
        read(*pieces, deadline=0.05, stall=True)


def test_a_length_that_is_not_a_number_is_refused():
    with pytest.raises(BadRequest):
        read(b"", headers={b"content-length": b"-1"})


def test_waiting_for_a_body_can_be_cancelled():
    async def main():
        task = asyncio.create_task(read_body(stream(), {}, limit=1, deadline=60))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_an_upload_is_written_and_hashed():
    target = io.BytesIO()
    digest = asyncio.run(save_body(stream(b"ab", b"c"), {}, target, limit=3, deadline=1))
    assert target.getvalue() == b"abc"
    assert digest.startswith("ba7816bf")


def test_an_upload_over_its_limit_is_cut_off():
    with pytest.raises(TooLarge):
        asyncio.run(save_body(stream(b"ab", b"cd"), {}, io.BytesIO(), limit=3, deadline=1))


def test_an_upload_that_dawdles_is_given_up():
    with pytest.raises(TooSlow):
        asyncio.run(save_body(stream(b"ab", stall=True), {}, io.BytesIO(), limit=3, deadline=0.05))


def test_permits_are_waited_for_and_then_refused():
    async def main():
        permits = Permits("test", 1, waiting=1, patience=0.05)
        async with permits.one():
            with pytest.raises(TooBusy) as caught:
                async with permits.one():
                    raise AssertionError
            assert caught.value.retry_after >= 1
        async with permits.one():
            pass

    asyncio.run(main())


def test_a_full_queue_refuses_at_once():
    async def main():
        permits = Permits("test", 1, waiting=0, patience=60)
        async with permits.one():
            with pytest.raises(TooBusy):
                async with permits.one():
                    raise AssertionError

    asyncio.run(main())


def test_work_with_a_permit_does_not_wait_for_the_shared_threads() -> None:
    async def scenario() -> str:
        release = threading.Event()
        loop = asyncio.get_running_loop()
        workers = 64  # more than the shared pool ever has
        stuck = [loop.run_in_executor(None, release.wait) for _ in range(workers)]
        permits = Permits("test", 1, waiting=1, patience=5.0)
        try:
            async with asyncio.timeout(5):
                return await permits.run(lambda: threading.current_thread().name)
        finally:
            release.set()
            await asyncio.gather(*stuck)

    assert asyncio.run(scenario()).startswith("test")

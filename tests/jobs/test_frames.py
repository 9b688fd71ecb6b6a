from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant.jobs import frames
from calibrant.jobs.frames import Crash, Exited, Failure, Finding, Frame, FrameBuffer, Progress

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
whole = st.integers(-(2**53), 2**53)
any_frame: st.SearchStrategy[Frame] = st.one_of(
    st.builds(frames.Ready),
    st.builds(frames.Start, whole),
    st.builds(Exited, whole, whole),
    st.builds(frames.Request, text, text),
    st.builds(Progress, whole, whole, text),
    st.builds(frames.Reply, text),
    st.builds(Failure, text, text, st.lists(st.builds(Finding, text, text), max_size=3).map(tuple)),
    st.builds(Crash, text, text),
)


@given(st.lists(any_frame, max_size=5), st.integers(1, 40))
def test_frames_come_back_whole_however_the_bytes_are_cut(sent: list[Frame], cut: int) -> None:
    data = b"".join(map(frames.pack, sent))
    buffer = FrameBuffer()
    received = [
        frame for at in range(0, len(data), cut) for frame in buffer.feed(data[at : at + cut])
    ]
    assert received == sent


def test_a_frame_that_claims_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(frames.FrameError):
        list(FrameBuffer().feed(struct.pack(">I", frames.MAX_FRAME + 1)))


@pytest.mark.parametrize(
    "body", [b"", b"no json", b'{"type":"other"}', b'{"type":"reply"}', b"\xff"]
)
def test_what_is_not_a_frame_is_refused(body: bytes) -> None:
    with pytest.raises(frames.FrameError):
        list(FrameBuffer().feed(struct.pack(">I", len(body)) + body))


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(frames.FrameError):
        frames.pack(frames.Reply("\ud800"))

from __future__ import annotations

import anyio
import pytest
from starlette.types import Message, Receive

from calibrant.api.pages.uploads import FilePart
from calibrant.errors import BadRequest, TooLarge

TYPE = "multipart/form-data; boundary=xyz"


def part(name: str, content: bytes, *, file_name: str | None = None) -> bytes:
    head = f'--xyz\r\ncontent-disposition: form-data; name="{name}"'
    if file_name is not None:
        head += f'; filename="{file_name}"\r\ncontent-type: text/csv'
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


def receiver(body: bytes, step: int) -> Receive:
    pieces = [body[i : i + step] for i in range(0, len(body), step)] or [b""]

    async def receive() -> Message:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    return receive


def read(body: bytes, *, step: int = 7, content_type: str = TYPE) -> tuple[bytes, FilePart]:
    form = FilePart(receiver(body, step), content_type)

    async def work() -> bytes:
        content = b""
        while True:
            message = await form.receive()
            content += message["body"]
            if not message["more_body"]:
                return content

    return anyio.run(work), form


CSV = b"p,y\r\n0.5,1\r\n--xyz-not-a-boundary\r\n\r\n0.1,0\r\n"


@pytest.mark.parametrize("step", [1, 2, 7, 64, 10_000])
def test_the_file_comes_out_as_it_was_sent_however_it_arrives(step: int) -> None:
    body = part("note", b"hello") + part("file", CSV, file_name="a.csv") + b"--xyz--\r\n"
    content, form = read(body, step=step)
    assert content == CSV
    assert form.file_name == "a.csv"
    assert form.media_type == "text/csv"
    assert form.fields == {"note": "hello"}


def test_names_are_read_as_utf8() -> None:
    body = part("file", CSV, file_name="Ünïcode 漢字.csv") + b"--xyz--\r\n"
    assert read(body)[1].file_name == "Ünïcode 漢字.csv"


@pytest.mark.parametrize("end", [b"", b"--xyz", b"\r\n"])
def test_a_form_that_was_cut_off_is_refused(end: bytes) -> None:
    body = part("file", CSV, file_name="a.csv")[:-2] + end
    with pytest.raises(BadRequest, match="cut off"):
        read(body)


def test_an_empty_file_input_asks_for_a_file() -> None:
    with pytest.raises(BadRequest, match="Choose a file"):
        read(part("file", b"", file_name="") + b"--xyz--\r\n")


def test_a_form_without_a_file_asks_for_one() -> None:
    with pytest.raises(BadRequest, match="Choose a file"):
        read(part("note", b"hello") + b"--xyz--\r\n")


def test_two_files_are_refused() -> None:
    body = part("a", CSV, file_name="a.csv") + part("b", CSV, file_name="b.csv")
    with pytest.raises(BadRequest, match="One file"):
        read(body + b"--xyz--\r\n")


def test_a_long_field_is_refused() -> None:
    with pytest.raises(TooLarge):
        read(part("note", b"x" * 100_000) + b"--xyz--\r\n", step=1_000)


def test_many_fields_are_refused() -> None:
    body = b"".join(part(f"f{i}", b"") for i in range(50))
    with pytest.raises(TooLarge):
        read(body + b"--xyz--\r\n", step=1_000)


@pytest.mark.parametrize(
    "content_type",
    ["", "text/csv", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 400],
)
def test_other_bodies_are_refused(content_type: str) -> None:
    with pytest.raises(BadRequest, match="form with a file"):
        read(b"", content_type=content_type)


@pytest.mark.parametrize("body", [b"", b"garbage", b"--abc\r\n\r\n", b"--xyz\r\n:::\r\n\r\n"])
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body)

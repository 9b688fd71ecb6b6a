"""A file out of a form: `multipart/form-data` taken apart while it arrives, nothing buffered."""

from __future__ import annotations

from starlette.types import Message, Receive

from calibrant.errors import BadRequest, TooLarge

_MAX_FIELD = 64 * 1024
_MAX_FIELDS = 20


class FilePart:
    """The one file of a form, as a body of its own.

    Parameters
    ----------
    receive : ASGI receive callable
        Of the request whose body is the form.
    content_type : str
        Of that request; it names the boundary.

    Attributes
    ----------
    file_name, media_type : str
        As the browser says; empty before `receive` has come to the file.
    fields : dict of str
        The other fields that have come.

    Raises
    ------
    BadRequest
        If the request is not such a form.
    """

    def __init__(self, receive: Receive, content_type: str) -> None:
        from python_multipart.multipart import MultipartParser, parse_options_header

        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary or len(boundary) > 70:
            raise BadRequest("This takes a form with a file (`multipart/form-data`).")
        self.file_name = self.media_type = ""
        self.fields: dict[str, str] = {}
        self._receive = receive
        self._pieces: list[bytes] = []
        self._header = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._value = b""
        self._files = 0
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_end": self._finish,
            },
        )

    async def receive(self) -> Message:
        """Return the next piece of the file as the message of a plain body.

        Raises
        ------
        BadRequest
            If the form is damaged or holds no file, or more than one.
        TooLarge
            If another field is too long.
        """
        from python_multipart.exceptions import FormParserError

        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            more = message.get("more_body", False)
            try:
                self._parser.write(message.get("body", b""))
            except FormParserError:
                raise BadRequest("The form is damaged.") from None
            if not more and not self._complete:
                raise BadRequest("The form is damaged or was cut off.")
            if not more and not self._files:
                raise BadRequest("Choose a file first.")
            body, self._pieces = b"".join(self._pieces), []
            if body or not more:
                return {"type": "http.request", "body": body, "more_body": more}

    def _begin(self) -> None:
        self._headers, self._value = {}, b""
        if len(self.fields) + self._files > _MAX_FIELDS:
            raise TooLarge("The form has too many fields.")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = (b"", b"")

    def _headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"filename" not in options:
            self._field = _text(options.get(b"name", b""))
            return
        self._field = None
        self._files += 1
        self.file_name = _text(options[b"filename"])
        self.media_type = _text(self._headers.get(b"content-type", b""))
        # a form whose file input is empty sends a nameless file
        if not self.file_name:
            raise BadRequest("Choose a file first.")
        if self._files > 1:
            raise BadRequest("One file at a time.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._pieces.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _MAX_FIELD:
            raise TooLarge("A field of the form is too long.")

    def _end(self) -> None:
        if self._field is not None:
            self.fields[self._field] = _text(self._value)

    def _finish(self) -> None:
        self._complete = True


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")

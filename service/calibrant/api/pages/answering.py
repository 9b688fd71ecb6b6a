"""Pages as responses, failures included: a person who opens a page is answered with a page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from calibrant import __version__
from calibrant.api.answers import PAGE_SECURITY, failure_headers
from calibrant.api.pages.rendering import STYLE, render
from calibrant.errors import CalibrantError, Unusable

_HEADERS = {name.decode(): value.decode() for name, value in PAGE_SECURITY}


@cache
def style() -> tuple[bytes, str]:
    """Return the style sheet and its digest, by which its address changes with it."""
    content = STYLE.read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:16]


def page(
    template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> Response:
    """Render a page with the headers that all pages carry."""
    html = render(template, version=__version__, style_digest=style()[1], **values)
    return Response(html, status, {**_HEADERS, **(headers or {})}, "text/html")


def see(path: str) -> Response:
    """Send the browser to another page."""
    return RedirectResponse(path, 303, _HEADERS)


def failed(error: CalibrantError, request: Request) -> Response:
    """Show a failure."""
    extra = failure_headers(error, request.url.path)
    return page(
        "error.html",
        status=error.status,
        headers={name.decode(): value.decode() for name, value in extra},
        number=error.status,
        title=error.title,
        detail=error.detail,
        errors=error.errors,
        code=error.code,
        request_id=request.state.request_id,
    )


class PageRoute(APIRoute):
    """A route whose expected failures are pages, those of its dependencies included."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with failures turned into pages."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                return failed(Unusable("A parameter in the address is not as it must be."), request)
            except CalibrantError as error:
                return failed(error, request)

        return guarded

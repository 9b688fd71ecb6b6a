"""The outermost callable: hot routes at once, everything else through FastAPI."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from calibrant.api import hot
from calibrant.api.answers import SECURITY, Answer, failure, request_id, send_answer
from calibrant.api.body import Disconnected
from calibrant.api.metrics import CONTENT_TYPE
from calibrant.api.service import Service
from calibrant.errors import CalibrantError, Forbidden, MethodNotAllowed, Unusable
from calibrant.operations.context import Caller

log = logging.getLogger("calibrant.api")

Work = Callable[[Caller, Receive, Mapping[bytes, bytes]], Awaitable[Answer]]
_CALIBRATE = "/v1/calibrators/{ref}/calibrate"
_INFER = "/v2/models/{model}/infer"
_INFER_VERSION = "/v2/models/{model}/versions/{version}/infer"
_UNMATCHED = "__unmatched__"  # paths are never labels: they would have no bound
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _SAFE | {"POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"}


class Front:
    """Dispatch by path; count, guard and finish every answer.

    Parameters
    ----------
    service : Service
    inner : ASGI application
        Takes what is not hot, and the lifespan.
    """

    def __init__(self, service: Service, inner: ASGIApp) -> None:
        self._service, self._inner = service, inner

    @property
    def inner(self) -> ASGIApp:
        """The FastAPI application behind the hot routes."""
        return self._inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        start = time.perf_counter()
        headers = dict(scope["headers"])
        request = request_id(headers)
        found = self._hot(scope["path"])
        if found is None:
            await self._slow(scope, receive, send, headers, request, start)
            return
        route, method, work = found
        answer = await self._answer(scope, receive, headers, request, method, work)
        if answer is not None:
            await send_answer(send, answer, request)
            seconds = time.perf_counter() - start
            self._service.metrics.observe(_method(scope), route, answer.status, seconds)

    def _hot(self, path: str) -> tuple[str, str, Work] | None:
        head, _, verb = path.rpartition("/")
        service = self._service
        if verb == "calibrate":
            base, _, ref = head.rpartition("/")
            if base == "/v1/calibrators" and ref:
                return _CALIBRATE, "POST", partial(hot.calibrate, service, ref)
        elif verb == "infer":
            parts = head.split("/")
            if parts[:3] == ["", "v2", "models"]:
                if len(parts) == 4:
                    return _INFER, "POST", partial(hot.infer, service, parts[3], None)
                if len(parts) == 6 and parts[4] == "versions":
                    return _INFER_VERSION, "POST", partial(hot.infer, service, parts[3], parts[5])
        elif path == "/metrics":
            return path, "GET", self._metrics
        return None

    async def _metrics(
        self, caller: Caller, _receive: Receive, _headers: Mapping[bytes, bytes]
    ) -> Answer:
        caller.need("read")
        return Answer(self._service.metrics.render(), 200, CONTENT_TYPE.encode())

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        request: str,
        method: str,
        work: Work,
    ) -> Answer | None:
        path = scope["path"]
        try:
            if scope["method"] != method:
                return not_allowed(request, path, [method])
            check_site(scope["method"], headers)
            auth = self._service.auth
            caller = auth.remembered(headers) or await auth.caller(headers, request)
            return await work(caller, receive, headers)
        except Disconnected:
            return None
        except CalibrantError as error:
            return failure(error, request, path=path)
        except Exception:
            log.exception("request %s failed", request)
            return failure(unexpected(), request, path=path)

    async def _slow(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
        request: str,
        start: float,
    ) -> None:
        status = 0
        extra = [(b"x-request-id", request.encode("ascii")), *SECURITY]

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message.get("headers", ())}
                message["headers"] = [
                    *message.get("headers", ()),
                    *(pair for pair in extra if pair[0] not in present),
                ]
            await send(message)

        scope.setdefault("state", {})["request_id"] = request
        try:
            check_site(scope["method"], headers)
            check_query(scope["path"], scope["query_string"])
            await self._inner(scope, receive, finish)
        except Disconnected:
            return
        except CalibrantError as error:
            await send_answer(finish, failure(error, request, path=scope["path"]), request)
        except Exception:
            log.exception("request %s failed", request)
            if not status:
                answer = failure(unexpected(), request, path=scope["path"])
                await send_answer(finish, answer, request)
        route: Any = getattr(scope.get("route"), "path", _UNMATCHED)
        self._service.metrics.observe(_method(scope), route, status, time.perf_counter() - start)


def check_site(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Raise `Forbidden` where a browser changes something on behalf of another site."""
    site = headers.get(b"sec-fetch-site")
    if site is not None and method not in _SAFE and site not in {b"same-origin", b"none"}:
        raise Forbidden("A page of another site may not do this.")


def check_query(path: str, query: bytes) -> None:
    """Raise `Unusable` where a parameter is given twice: which one counts would be a guess."""
    if query and path.startswith("/v1/"):
        names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
        if len(set(names)) < len(names):
            raise Unusable("A parameter of the address is given twice.")


def not_allowed(request: str, path: str, methods: list[str]) -> Answer:
    """Return 405 with the methods that there are."""
    error = MethodNotAllowed(f"This answers to {', '.join(methods)}.")
    answer = failure(error, request, path=path)
    allow = (b"allow", ", ".join(methods).encode("ascii"))
    return Answer(answer.body, answer.status, answer.content_type, (*answer.headers, allow))


def unexpected() -> CalibrantError:
    """Return the failure that says nothing: what happened stands in the log."""
    return CalibrantError("Something unexpected happened; the log has it under this request id.")


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "OTHER"

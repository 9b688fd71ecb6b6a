"""What can go wrong, and how each failure is named.

CalibrantError                  500 internal
├── BadRequest                  400 bad_request        not readable as what it claims to be
├── Unauthorized                401 unauthorized       no or unknown credential
├── Forbidden                   403 forbidden          the credential lacks a scope
├── NotFound                    404 not_found
├── MethodNotAllowed            405 method_not_allowed
├── NotAcceptable               406 not_acceptable     none of the accepted media types is made here
├── TooSlow                     408 too_slow           the request did not arrive in time
├── Conflict                    409 conflict
│   ├── AlreadyExists           409 already_exists
│   ├── InUse                   409 in_use             something still refers to it
│   ├── NoChampion              409 no_champion        a bare name is served but nothing is promoted
│   ├── NotServable             409 not_servable       a fit whose status forbids serving
│   ├── FittedOnTheseRows       409 overlap            rows the calibrator was fitted on
│   └── StillRunning            409 still_running      same idempotency key, first call not done
├── TooLarge                    413 too_large
├── UnsupportedMedia            415 unsupported_media_type
├── Unusable                    422 unusable           well formed, but cannot be used
│   ├── BadBatch                422 bad_batch          rows that cannot be used, counted
│   └── KeyReused               422 idempotency_key_reused
├── TooBusy                     429 too_busy           no permit free; retry later
├── Stop                        499 stopped            cancelled, timed out, or no longer the owner
│   └── TimedOut                499 timed_out          ran longer than it was allowed to
├── Unavailable                 503 unavailable        a part this needs is down
└── NotInstalled                501 not_installed      an optional extra is missing

Each class owns `status`, `code` and `title`; nothing here knows the web.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detail:
    """One finding inside a failure.

    Attributes
    ----------
    pointer : str
        JSON pointer (`/scores/3`), column or parameter the finding is about.
    message : str
        A sentence without any of the offending input in it.
    """

    pointer: str
    message: str


class CalibrantError(Exception):
    """Base of every expected failure.

    Parameters
    ----------
    detail : str
        What went wrong and what to do, for a person. Never contains input values.
    errors : sequence of Detail
        Findings per field; at most 20 are kept.
    """

    status = 500
    code = "internal"
    title = "Internal error"
    max_errors = 20

    def __init__(self, detail: str, errors: Sequence[Detail] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors[: self.max_errors])


class BadRequest(CalibrantError):
    """The bytes are not what they claim to be."""

    status, code, title = 400, "bad_request", "Bad request"


class Unauthorized(CalibrantError):
    """No credential, or one that is not known."""

    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(CalibrantError):
    """The credential is known but lacks a scope."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(CalibrantError):
    """No such thing for this tenant."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(CalibrantError):
    """The thing is there, but does not answer to this method."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class NotAcceptable(CalibrantError):
    """None of the media types that the caller accepts is made here."""

    status, code, title = 406, "not_acceptable", "Not acceptable"


class TooSlow(CalibrantError):
    """The request did not arrive within its deadline."""

    status, code, title = 408, "too_slow", "Request timeout"


class Conflict(CalibrantError):
    """The request contradicts what is there."""

    status, code, title = 409, "conflict", "Conflict"


class AlreadyExists(Conflict):
    """A thing of that name exists."""

    code, title = "already_exists", "Already exists"


class InUse(Conflict):
    """Something still refers to the thing to be removed."""

    code, title = "in_use", "In use"


class NoChampion(Conflict):
    """A bare name is to be served, but nothing has been promoted yet."""

    code, title = "no_champion", "No champion"


class NotServable(Conflict):
    """The status of this fit forbids serving it."""

    code, title = "not_servable", "Not servable"


class FittedOnTheseRows(Conflict):
    """Rows to report on were used to fit the calibrator."""

    code, title = "overlap", "Rows were used for fitting"


class StillRunning(Conflict):
    """The first call with this idempotency key has not finished."""

    code, title = "still_running", "Still running"


class TooLarge(CalibrantError):
    """A limit on bytes, rows, columns or slices is exceeded."""

    status, code, title = 413, "too_large", "Too large"


class UnsupportedMedia(CalibrantError):
    """A media type or content coding nobody here reads."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class Unusable(CalibrantError):
    """Well formed, but it cannot be used."""

    status, code, title = 422, "unusable", "Unusable"


class BadBatch(Unusable):
    """Rows that cannot be used; `errors` counts them per field."""

    code, title = "bad_batch", "Bad batch"


class KeyReused(Unusable):
    """An idempotency key came again with another body."""

    code, title = "idempotency_key_reused", "Idempotency key reused"


class TooBusy(CalibrantError):
    """No permit is free; try again after `retry_after` seconds."""

    status, code, title = 429, "too_busy", "Too busy"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Stop(CalibrantError):
    """Work was cancelled, ran out of time, or has a new owner."""

    status, code, title = 499, "stopped", "Stopped"


class TimedOut(Stop):
    """A job ran longer than its timeout."""

    code, title = "timed_out", "Timed out"


class NotInstalled(CalibrantError):
    """An optional extra is needed and missing."""

    status, code, title = 501, "not_installed", "Not installed"


class Unavailable(CalibrantError):
    """A part this request needs is down."""

    status, code, title = 503, "unavailable", "Unavailable"

"""What things may be called, and the identifiers the server makes."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

from calibrant.errors import Unusable

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
"""Names of calibrators, models, data sets, monitors and tenants (match it in full)."""

CALIBRATOR_SUFFIX: Final = ".calibrator"
"""Under `/v2` a calibrator answers to its name with this suffix, so no name may carry it."""

CHAMPION: Final = "champion"
"""The alias that a bare name means where something is served."""

DEFAULT_TENANT: Final = "default"
"""The tenant of every caller while keys are switched off."""

MAX_ALIAS: Final = 255

_NAME = re.compile(NAME_PATTERN)
_ALIAS = re.compile(r"[\w\-]+")  # the rule of MLflow, so that its references can be used here
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)

# Crockford's base 32 keeps the order of what it encodes and has no look-alikes.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS, _RANDOM_CHARS = 10, 16


def check_name(name: str, *, what: str = "name") -> str:
    """Return `name` if things may be called so, else raise `Unusable`."""
    if not _NAME.fullmatch(name):
        raise Unusable(
            f"`{what}` must be 1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, "
            "and begin with a letter or a digit."
        )
    if name.endswith(CALIBRATOR_SUFFIX):
        raise Unusable(f"`{what}` must not end in `{CALIBRATOR_SUFFIX}`: that suffix is reserved.")
    return name


def check_alias(alias: str) -> str:
    """Return `alias` if versions may be called so, else raise `Unusable`."""
    if len(alias) > MAX_ALIAS or not _ALIAS.fullmatch(alias):
        raise Unusable(f"`alias` must be 1 to {MAX_ALIAS} letters, digits, underscores and dashes.")
    if _RESERVED_ALIAS.fullmatch(alias):
        raise Unusable("`alias` must be neither `latest` nor look like a version (`v3`).")
    return alias


def new_id(prefix: str) -> str:
    """Return a fresh identifier whose text order follows the time it was made, to the millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}_{_encode(milliseconds, _TIME_CHARS)}{_encode(secrets.randbits(80), _RANDOM_CHARS)}"


def _encode(number: int, length: int) -> str:
    """Write a number in `length` characters of base 32, most significant first."""
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in range(length - 1, -1, -1))

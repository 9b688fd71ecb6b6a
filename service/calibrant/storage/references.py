"""References to a version of something: `name`, `name@alias`, `name:3` and MLflow's URIs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from calibrant.errors import Unusable
from calibrant.storage.names import check_alias, check_name

MAX_VERSION = 2**31 - 1
_SCHEME = "models:/"
_VERSION = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A version by name: of `alias`, `version` and `newest` at most one is set.

    Attributes
    ----------
    name : str
    alias : str, or None
    version : int of at least 1, or None
    newest : bool
        The newest version is asked for in so many words (`models:/name/latest`). With none of
        the three set, the reference is a bare name: the champion where something is served,
        the newest version where things are only read.
    """

    name: str
    alias: str | None = None
    version: int | None = None
    newest: bool = False

    def __str__(self) -> str:
        if self.alias is not None:
            return f"{self.name}@{self.alias}"
        if self.version is not None:
            return f"{self.name}:{self.version}"
        return self.name


def parse_ref(text: str) -> Reference:
    """Read a reference.

    Parameters
    ----------
    text : str
        `name`, `name@alias`, `name:3`, `models:/name@alias`, `models:/name/3` or
        `models:/name/latest`.

    Returns
    -------
    Reference

    Raises
    ------
    Unusable
        If it has none of these forms, or the name or the alias is not allowed.
    """
    if text.startswith(_SCHEME):
        return _parse_uri(text.removeprefix(_SCHEME))
    if "@" in text:
        return _with_alias(text)
    name, colon, version = text.partition(":")
    return Reference(check_name(name), version=_version(version) if colon else None)


def _parse_uri(path: str) -> Reference:
    """Read what follows `models:/`."""
    name, slash, version = path.partition("/")
    if not slash:
        if "@" not in path:
            raise Unusable("A `models:/` reference ends in `@alias`, `/3` or `/latest`.")
        return _with_alias(path)
    if version.lower() == "latest":
        return Reference(check_name(name), newest=True)
    return Reference(check_name(name), version=_version(version))


def _with_alias(text: str) -> Reference:
    """Split at the last `@`."""
    name, _, alias = text.rpartition("@")
    return Reference(check_name(name), alias=check_alias(alias))


def _version(digits: str) -> int:
    """Read a version number."""
    if not _VERSION.fullmatch(digits) or int(digits) > MAX_VERSION:
        raise Unusable(f"A version is a whole number from 1 to {MAX_VERSION}.")
    return int(digits)

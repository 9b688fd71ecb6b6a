"""JSON bytes to typed requests: strict, bounded, and never echoing what was sent.

msgspec's typed decoders refuse `"0.5"` and `true` as numbers, unknown fields, numbers beyond
range and broken UTF-8. Added here: NUL in strings, deep nesting, and messages without input. Of
duplicate keys in an object the last one wins.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import inspect

from calibrant.errors import BadRequest, CalibrantError, Detail, Unusable

T = TypeVar("T")

_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_NOT_A_NUMBER = re.compile(rb"-?(?:NaN|Infinity|inf|nan)")
_LONE_SURROGATE = re.compile(rb"(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]")
_OFFSET = re.compile(r"\(byte (\d+)\)$")
_PLACE = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_QUOTED_INPUT = ("Invalid enum value", "Object contains unknown field", "Invalid value")


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}  # one a request type, so bounded


def decode(kind: type[T], body: bytes) -> T:
    """Decode a JSON body.

    Raises
    ------
    BadRequest
        If the bytes are not JSON.
    Unusable
        If they are JSON, but not what `kind` describes; `errors` points at the place.
    """
    try:
        decoder = _DECODERS.get(kind) or _DECODERS.setdefault(kind, msgspec.json.Decoder(kind))
        value: T = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        _refuse(kind, body, error)
    if b"\\u0000" in body and _ESCAPED_NUL.search(body):
        raise Unusable("A text in the body holds the character NUL, which nothing here can keep.")
    return value


def _refuse(kind: Any, body: bytes, error: Exception) -> NoReturn:
    if isinstance(error, msgspec.ValidationError):
        raise _misfit(kind, str(error)) from None
    if isinstance(error, RecursionError):
        raise BadRequest("The JSON is nested too deeply.") from None
    if isinstance(error, UnicodeError):
        raise BadRequest("The body is not UTF-8.") from None
    raise _malformed(body, str(error)) from None


def _malformed(body: bytes, message: str) -> CalibrantError:
    found = _OFFSET.search(message)
    place = int(found.group(1)) if found else len(body)
    # msgspec stops at the letter; the sign stands before it
    if _NOT_A_NUMBER.match(body, max(0, place - 1)) or _NOT_A_NUMBER.match(body, place):
        return Unusable(
            f"NaN and Infinity are not JSON (byte {place}); a row without a label takes `null`, "
            "a row without a score cannot be used."
        )
    if "surrogate" in message or _LONE_SURROGATE.search(body, max(0, place - 24)):
        return Unusable(f"A text near byte {place} holds half of a surrogate pair.")
    if "truncated" in message:
        return BadRequest("The JSON ends early.")
    return BadRequest(f"The body is not JSON: it breaks off at byte {place}.")


def _misfit(kind: Any, message: str) -> Unusable:
    found = _PLACE.search(message)
    path = found.group("path") if found else ""
    text = message[: found.start()] if found else message
    steps = [name or index for name, index in _STEP.findall(path)]
    pointer = "".join("/*" if step == "..." else f"/{step}" for step in steps)
    if found and "`key` in" in found.group(0):
        text = f"A name in this object: {text}"
    if text.startswith(_QUOTED_INPUT):
        text = _without_input(kind, steps, text)
    return Unusable(
        "The body does not have the expected form.", [Detail(pointer or "/", f"{text}.")]
    )


def _without_input(kind: Any, steps: list[str], text: str) -> str:
    choices = _choices(inspect.type_info(kind), steps)
    if "field" in text:
        return "A field here is not known; known are " + ", ".join(choices)
    return "Must be one of " + ", ".join(choices)


def _choices(info: inspect.Type, steps: list[str]) -> list[str]:
    """Name what may stand at a place: literal values, or the fields of an object."""
    if isinstance(info, inspect.UnionType):
        return [name for option in info.types for name in _choices(option, steps)]
    if not steps:
        if isinstance(info, inspect.LiteralType):
            return [f"`{value}`" for value in info.values]
        if isinstance(info, inspect.StructType):
            return [f"`{field.encode_name}`" for field in info.fields]
        return []
    inner = _inside(info, steps[0])
    return _choices(inner, steps[1:]) if inner is not None else []


def _inside(info: inspect.Type, step: str) -> inspect.Type | None:
    if isinstance(info, inspect.StructType):
        return next((field.type for field in info.fields if field.encode_name == step), None)
    if isinstance(info, inspect.ListType):
        return info.item_type
    if isinstance(info, inspect.DictType):
        return info.value_type
    return None

"""Strict reading of stored calibrators: every field, shape and range is checked by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import Detail, Unusable

BINARY_KINDS = ("platt", "beta", "isotonic", "isotonic_centered", "histogram", "venn_abers")
"""Kinds that map one probability; on more classes they run one against the rest."""

MULTICLASS_KINDS = ("vector", "svs", "sms", "dirichlet")
"""Kinds that need more than two classes."""

KINDS = ("identity", "temperature", "ets", *BINARY_KINDS, *MULTICLASS_KINDS)
"""Every kind that can be stored and served."""

MAX_CLASSES = 10_000
MAX_TEXT = 1_000

Value = float | str | NDArray[np.float64]


def bad(pointer: str, message: str) -> Unusable:
    """Return the error for one field; the offending value is never repeated."""
    return Unusable(
        f"The stored calibrator is not valid: `{pointer}` {message}.", [Detail(pointer, message)]
    )


def mapping(value: object, pointer: str) -> Mapping[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, Mapping):
        raise bad(pointer, "must be an object")
    return value


def listing(value: object, pointer: str) -> list[Any] | tuple[Any, ...]:
    """Return a JSON array."""
    if not isinstance(value, list | tuple):
        raise bad(pointer, "must be an array")
    return value


def fields(value: Mapping[str, Any], wanted: set[str], pointer: str) -> None:
    """Refuse missing and unknown fields."""
    if missing := sorted(wanted - set(value)):
        raise bad(f"{pointer}/{missing[0]}", "is missing")
    if set(value) - wanted:
        raise bad(pointer or "/", "has an unknown field")


def texts(value: object, pointer: str) -> tuple[str, ...]:
    """Return an array of strings."""
    items = listing(value, pointer)
    if not all(type(item) is str and len(item) <= MAX_TEXT for item in items):
        raise bad(pointer, "must hold short strings")
    return tuple(items)


def choice(value: object, allowed: tuple[str, ...], pointer: str) -> str:
    """Return one of the allowed words."""
    if type(value) is not str or value not in allowed:
        raise bad(pointer, f"must be one of {', '.join(allowed)}")
    return value


def class_count(value: object, task: str, pointer: str) -> int:
    """Return the number of classes."""
    if type(value) is not int or not 2 <= value <= MAX_CLASSES:
        raise bad(pointer, f"must be a whole number from 2 to {MAX_CLASSES}")
    if task == "binary" and value != 2:
        raise bad(pointer, "must be 2 when binary")
    return value


def number(value: object, pointer: str) -> float:
    """Return a finite number; `true` and `"1"` are not numbers."""
    if type(value) is not float and type(value) is not int:
        raise bad(pointer, "must be a number")
    try:
        found = float(value)
    except OverflowError:
        found = np.inf
    if not np.isfinite(found):
        raise bad(pointer, "must be finite")
    return found


def array(value: object, shape: tuple[int | None, ...], pointer: str) -> NDArray[np.float64]:
    """Return a read-only float64 array of finite numbers; `None` in `shape` is any length."""
    items = listing(value, pointer)
    rows = [items] if len(shape) == 1 else [listing(row, pointer) for row in items]
    if len(shape) == 2 and (len(rows) != shape[0] or any(len(row) != shape[1] for row in rows)):
        raise bad(pointer, f"must have shape ({shape[0]}, {shape[1]})")
    if not all(type(item) is float or type(item) is int for row in rows for item in row):
        raise bad(pointer, "must hold numbers")
    try:
        found = np.array(items, dtype=np.float64)
    except OverflowError:
        raise bad(pointer, "must be finite") from None
    if len(shape) == 1 and shape[0] is not None and len(found) != shape[0]:
        raise bad(pointer, f"must have {shape[0]} entries")
    if not np.isfinite(found).all():
        raise bad(pointer, "must be finite")
    found.flags.writeable = False
    return found


def params(kind: str, k: int, given: Mapping[str, Any], pointer: str) -> dict[str, Value]:
    """Return the checked parameters of one kind; see the table in `model`."""
    readers: dict[str, Callable[[object, str], Value]] = {
        name: _reader(shape, k) for name, shape in SHAPES[kind].items()
    }
    fields(given, set(readers), pointer)
    found = {name: read(given[name], f"{pointer}/{name}") for name, read in readers.items()}
    if (problem := broken_rule(kind, found)) is not None:
        raise bad(f"{pointer}/{problem[0]}", problem[1])
    return found


SHAPES: dict[str, dict[str, str]] = {
    "identity": {},
    "temperature": {"temperature": "number"},
    "platt": {"a": "number", "b": "number"},
    "beta": {"a": "number", "b": "number", "c": "number"},
    "isotonic": {"x": "m", "y": "m", "interpolation": "linear|step"},
    "isotonic_centered": {"x": "m", "y": "m"},
    "histogram": {"edges": "m", "values": "m", "binning": "width|mass"},
    "ets": {"temperature": "number", "weights": "3"},
    "vector": {"scale": "k", "bias": "k"},
    "svs": {"temperature": "number", "smoothing": "number", "scale": "k", "bias": "k"},
    "sms": {
        "temperature": "number",
        "smoothing": "number",
        "scale": "k",
        "bias": "k",
        "matrix": "kk",
    },
    "dirichlet": {"matrix": "kk", "bias": "k"},
    "venn_abers": {"x0": "m", "p0": "m", "x1": "m", "p1": "m"},
}
"""Parameters of each kind: `number`, a choice of words, or an array (`m` any length, `3`, `k`, `kk`)."""


def _reader(shape: str, k: int) -> Callable[[object, str], Value]:
    """Return the reader for one entry of `SHAPES`."""
    if shape == "number":
        return number
    if "|" in shape:
        return lambda value, pointer: choice(value, tuple(shape.split("|")), pointer)
    lengths: dict[str, tuple[int | None, ...]] = {"m": (None,), "3": (3,), "k": (k,), "kk": (k, k)}
    return lambda value, pointer: array(value, lengths[shape], pointer)


def broken_rule(kind: str, found: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the parameter that breaks a rule of its kind and what the rule is, or None."""
    rules: list[tuple[str, str, Callable[[], bool]]] = []
    if "temperature" in found:
        rules.append(("temperature", "must be positive", lambda: found["temperature"] > 0))
    if "smoothing" in found:
        rules.append(("smoothing", "must lie in [0, 1)", lambda: 0 <= found["smoothing"] < 1))
    rules += _RULES[kind](found) if kind in _RULES else []
    return next(((name, text) for name, text, holds in rules if not holds()), None)


def _increasing(x: NDArray[np.float64]) -> bool:
    return bool(len(x) and (np.diff(x) > 0).all())


def _rising_in_unit(y: NDArray[np.float64], length: int) -> bool:
    return bool(len(y) == length and (np.diff(y) >= 0).all() and (y >= 0).all() and (y <= 1).all())


def _curve_rules(p: Mapping[str, Any]) -> list[tuple[str, str, Callable[[], bool]]]:
    return [
        ("x", "must be strictly increasing and not empty", lambda: _increasing(p["x"])),
        (
            "y",
            "must rise within [0, 1], one for each x",
            lambda: _rising_in_unit(p["y"], len(p["x"])),
        ),
    ]


def _histogram_rules(p: Mapping[str, Any]) -> list[tuple[str, str, Callable[[], bool]]]:
    values = p["values"]
    return [
        ("edges", "must be strictly increasing", lambda: _increasing(p["edges"])),
        (
            "values",
            "must lie in [0, 1], one less than edges",
            lambda: (
                0 < len(values) == len(p["edges"]) - 1
                and bool((values >= 0).all() and (values <= 1).all())
            ),
        ),
    ]


def _venn_abers_rules(p: Mapping[str, Any]) -> list[tuple[str, str, Callable[[], bool]]]:
    grid, steps = "must be strictly increasing", "must rise within [0, 1], one more than its grid"
    return [
        ("x0", grid, lambda: bool((np.diff(p["x0"]) > 0).all())),
        ("x1", grid, lambda: bool((np.diff(p["x1"]) > 0).all())),
        ("p0", steps, lambda: _rising_in_unit(p["p0"], len(p["x0"]) + 1)),
        ("p1", steps, lambda: _rising_in_unit(p["p1"], len(p["x1"]) + 1)),
    ]


_RULES: dict[str, Callable[[Mapping[str, Any]], list[tuple[str, str, Callable[[], bool]]]]] = {
    "platt": lambda p: [("a", "must not be negative", lambda: p["a"] >= 0)],
    "beta": lambda p: [
        ("a", "must not be negative", lambda: p["a"] >= 0),
        ("b", "must not be negative", lambda: p["b"] >= 0),
    ],
    "isotonic": _curve_rules,
    "isotonic_centered": _curve_rules,
    "histogram": _histogram_rules,
    "ets": lambda p: [
        (
            "weights",
            "must be non-negative with sum 1",
            lambda: bool((p["weights"] >= 0).all() and abs(p["weights"].sum() - 1) <= 1e-9),
        )
    ],
    "sms": lambda p: [
        ("matrix", "must have a zero diagonal", lambda: not bool(np.any(np.diagonal(p["matrix"]))))
    ],
    "venn_abers": _venn_abers_rules,
}

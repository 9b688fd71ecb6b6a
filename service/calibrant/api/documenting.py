"""What routes say of themselves in the OpenAPI document; msgspec types become schemas there."""

from __future__ import annotations

from typing import Any

KINDS: dict[str, type] = {}
"""Types that the document needs a schema of, by name."""


def ref(kind: type) -> dict[str, Any]:
    """Refer to the schema of a msgspec type or dataclass."""
    KINDS[kind.__name__] = kind
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def page_of(kind: type) -> dict[str, Any]:
    """Describe some of a list."""
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": ref(kind)},
            "next": {
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "description": "Give it as `cursor` for what follows; null at the end.",
            },
        },
    }


def takes(kind: type) -> dict[str, Any]:
    """Describe a JSON body, for `openapi_extra`."""
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(kind)}}}
    }


def gives(
    schema: dict[str, Any] | None,
    what: str,
    *,
    status: int = 200,
    media: str = "application/json",
    location: bool = False,
) -> dict[int | str, dict[str, Any]]:
    """Describe an answer, for `responses`."""
    described: dict[str, Any] = {"description": what}
    if schema is not None:
        described["content"] = {media: {"schema": schema}}
    if location:
        described["headers"] = {
            "Location": {"description": "Where the thing lies.", "schema": {"type": "string"}}
        }
    return {status: described}


def fails(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare failures beyond those that every route may answer."""
    return {status: {"description": _FAILURES[status]} for status in statuses}


_FAILURES = {
    404: "There is no such thing.",
    406: "None of the accepted media types is made here.",
    408: "The body did not arrive in time.",
    409: "The request contradicts what is there.",
    413: "A limit is exceeded.",
    415: "A media type or content coding nobody here reads.",
    429: "No place is free; see `Retry-After`.",
}
TEXT: dict[str, Any] = {"type": "string"}
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}

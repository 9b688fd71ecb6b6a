"""The OpenAPI document as it is committed."""

from __future__ import annotations

import json

from fastapi import FastAPI

from calibrant.api.app import create_app
from calibrant.api.describing import document
from calibrant.settings import Settings

__all__ = ["document", "rendered"]


def rendered() -> str:
    """Return the document as it is committed: sorted, indented, with a newline at the end."""
    inner = create_app(Settings()).inner
    assert isinstance(inner, FastAPI)
    return json.dumps(document(inner), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

"""A context on a temporary folder: real metadata, real blobs, a real job queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calibrant.operations.context import Caller, Context
from calibrant.runtime import open_context
from calibrant.settings import Settings

SCOPES = frozenset({"read", "ingest", "fit", "promote", "admin"})


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    with open_context(Settings(data_dir=tmp_path)) as opened:
        yield opened


@pytest.fixture
def caller() -> Caller:
    return Caller(tenant="default", actor="test", scopes=SCOPES)

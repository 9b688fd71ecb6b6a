"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

# one cache of compiled kernels for all tests and the processes they start, not one a data folder
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "kernels"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_130_301)


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Give a folder of the verification data, or skip visibly where it is absent."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("CALIBRANT_TEST_SHARED", ROOT.parent / "shared")) / name
        if not folder.exists():
            pytest.skip(f"verification data `{name}` is not here (CALIBRANT_TEST_SHARED)")
        return folder

    return find

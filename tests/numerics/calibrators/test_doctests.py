"""The examples in the docstrings of the calibrators are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import calibrant.numerics.calibrators as package

MODULES = [m.name for m in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), extraglobs={"np": np})
    assert found.failed == 0

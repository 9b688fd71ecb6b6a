"""The examples in the docstrings of the numbers are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import calibrant.numerics

MODULES = [
    module.name
    for module in pkgutil.iter_modules(calibrant.numerics.__path__, "calibrant.numerics.")
    if not module.ispkg
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    module = importlib.import_module(name)
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.failed == 0

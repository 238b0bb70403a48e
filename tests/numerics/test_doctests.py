"""The examples in the docstrings of the numerics say what the functions give."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil

import numpy as np
import pytest
import torch

import grok.numerics

MODULES = sorted(module.name for module in pkgutil.iter_modules(grok.numerics.__path__))
GLOBALS = {"np": np, "torch": torch, "math": math}
PUBLISHED = ("band", "features", "gaps", "linalg", "repulsion", "series", "spectra")
"""Modules whose functions are read by users: each has an example."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    module = importlib.import_module(f"grok.numerics.{name}")
    with np.printoptions(legacy=False):
        found = doctest.testmod(module, extraglobs=GLOBALS, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0
    assert found.attempted > 0 or name not in PUBLISHED


def test_a_wrong_example_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = doctest.DocTestParser().get_examples(">>> 1 + 1\n3\n")
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTest([example], {}, "wrong", None, 0, None))
    assert runner.summarize().failed == 1
    assert "Expected:" in capsys.readouterr().out

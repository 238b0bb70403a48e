"""The monitor's hints of types can be read as a program runs, as dataclass tools and command lines made of signatures do."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import grok.monitor

ADAPTERS = ("lightning", "huggingface", "ignite")
"""Modules whose packages need not be installed."""
MODULES = [one.name for one in pkgutil.iter_modules(grok.monitor.__path__)]


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Functions and classes that a module defines, and the methods of these."""
    for name, one in vars(module).items():
        if name.startswith("_") or getattr(one, "__module__", None) != module.__name__:
            continue
        yield name, one
        for part, member in vars(one).items() if inspect.isclass(one) else ():
            if part == "__init__" or not part.startswith("_"):
                yield f"{name}.{part}", getattr(member, "fget", None) or getattr(member, "__func__", member)


@pytest.mark.parametrize("name", MODULES)
def test_every_hint_can_be_read(name: str) -> None:
    if name in ADAPTERS:
        pytest.importorskip({"huggingface": "transformers"}.get(name, name))
    module = importlib.import_module(f"grok.monitor.{name}")
    unread = {}
    for part, one in public(module):
        if inspect.isclass(one) or inspect.isfunction(one):
            try:
                typing.get_type_hints(one)
            except NameError as error:
                unread[part] = str(error)
    assert not unread

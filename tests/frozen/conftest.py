"""Copies of the frozen store, one for all tests that only read it and one for each test that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frozen.frozen_store import Frozen, named, unpack


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    """To be read only; the environment does not name it."""
    return unpack(tmp_path_factory.mktemp("frozen"))


@pytest.fixture
def frozen(unpacked: Frozen) -> Iterator[Frozen]:
    """The same, named by the environment; a run more or less in it fails the test."""
    before = unpacked.count()
    with named(unpacked):
        yield unpacked
    assert unpacked.count() == before


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Frozen]:
    """A test's own copy, named by the environment."""
    folder = tmp_path / "store"
    folder.mkdir()
    found = unpack(folder)
    with named(found):
        yield found

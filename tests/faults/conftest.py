"""What several files of faults need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundle.conftest import small_bundle


@pytest.fixture(scope="module")
def small(template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three made-up runs."""
    return small_bundle(template_store, tmp_path_factory.mktemp("bundle-small"))

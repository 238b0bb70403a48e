"""What a store knows studies and runs by is as it was: another hash, and finished work would be trained again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.frozen import documents, hashes


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return hashes.study_hashes()


def test_hashes_of_studies_configs_and_sensitivity_studies(found: dict[str, Any]) -> None:
    assert not (difference := documents.difference("study_hashes", found)), difference


@pytest.mark.parametrize("spellings", hashes.EQUAL, ids=lambda names: names[0])
def test_spellings_of_one_run_have_one_hash(found: dict[str, Any], spellings: tuple[str, ...]) -> None:
    assert len({found["configs"][name][0] for name in spellings}) == 1


def test_other_configs_have_other_hashes(found: dict[str, Any]) -> None:
    """The list of odd configs is one of different runs, but for the spellings told to be equal and what is the default."""
    default = found["configs"]["default"][0]
    again = {name for names in hashes.EQUAL for name in names[1:]} | {"optimizer adam", "activation square"}
    rest = [hash for name, (hash, _) in found["configs"].items() if name not in again]
    assert len(rest) == len(set(rest))
    assert all(found["configs"][name][0] == default for name in ("optimizer adam", "activation square"))

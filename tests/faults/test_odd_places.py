"""A run whose place of files is edited in the database to what no place can be: it has no files, and no command ends in it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.reading.files import RunFiles
from grok.store import whole
from grok.store.errors import AstrayError, StoreError
from grok.store.places import folder
from grok.store.tags import StoredRun

pytestmark = pytest.mark.faults
RUN_ID = "7" * 32


def run_at(place: Any) -> StoredRun:
    """A finished run with its files at a place."""
    info = SimpleNamespace(run_id=RUN_ID, artifact_uri=place)
    return StoredRun(RUN_ID, "", "FINISHED", 0, {"grok.state": "complete"}, {}, {}, SimpleNamespace(info=info))


def test_a_name_that_no_folder_can_have_is_a_folder_that_is_gone(tmp_path: Path) -> None:
    why = whole.flaw(run_at(str(tmp_path / ("a" * 300) / RUN_ID / "artifacts")))
    assert why.startswith("no folder can have the name of its folder of files: /")
    assert len(why) < 200


def test_a_place_of_megabytes_is_told_in_one_line() -> None:
    with pytest.raises(AstrayError, match="must be in a folder") as found:
        folder("/a" * 1_000_000, RUN_ID, "artifacts")
    assert len(str(found.value)) < 600


@pytest.mark.parametrize("place", [b"\xff\0", 5, 0.5, None])
def test_a_place_that_is_no_text_is_none(place: Any) -> None:
    """MLflow is asked then, as where the column is empty."""

    def get_run(run_id: str) -> Any:
        raise StoreError(f"MLflow was asked for {run_id}")

    store: Any = SimpleNamespace(client=SimpleNamespace(get_run=get_run))
    files = RunFiles(store, [run_at(place)])
    assert files.load([RUN_ID]) == {RUN_ID: f"MLflow was asked for {RUN_ID}"}

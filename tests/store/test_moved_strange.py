"""Databases that are none of MLflow's, or say nowhere where files are: one line, before anything is made."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from grok.store import moved, sqlite
from grok.store.errors import StoreError


@pytest.mark.parametrize("content", [b"junk" * 300, None])
def test_what_is_no_database_of_mlflow_is_not_rebased(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mlflow.db"
    if content is None:
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE strangers (name TEXT)")
            database.commit()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    words = r"^store must be a database of MLflow, got .*mlflow\.db \(.*\)\. Name another\.$"
    with pytest.raises(StoreError, match=words) as caught:
        moved.rebase(path)
    assert caught.value.exit_status == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", [None, ""])
def test_an_experiment_without_a_place_for_its_files_is_refused(store: Any, place: str | None) -> None:
    path = sqlite.path_of(store.uri)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE experiments SET artifact_location = ?", (place,))
        database.commit()
    with pytest.raises(StoreError, match=r"^experiments must have a place for their files, got none for experiment \d"):
        sqlite.check(store.uri)

"""The frozen store, unpacked where a test wants it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from grok.store import store as tracking

ARCHIVE = Path(__file__).with_name("store.tar.xz")
PLACEHOLDER = "file:///FROZEN_STORE"
"""Stands in the committed database for the folder that the store is in."""
CALLERS = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI")
"""What names a store of the caller's own."""


@dataclass(frozen=True)
class Frozen:
    """The unpacked store.

    Attributes:
        store: open. folder: it is in.
        ids: of its runs, by the name that `configs.py` has, and of `study`, `sensitivity` and `analysis`.
    """

    store: Any
    folder: Path
    ids: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """What makes commands use this store."""
        return {"MLFLOW_TRACKING_URI": f"sqlite:///{self.folder / 'mlflow.db'}", "MLFLOW_EXPERIMENT_NAME": "frozen"}

    def root(self, run_id: str) -> Path:
        """The folder of a run's artifacts."""
        return Path(self.store.get(run_id).info.artifact_uri.removeprefix("file://"))

    def count(self) -> int:
        """Runs of any kind and state."""
        experiments = [experiment.experiment_id for experiment in self.store.client.search_experiments()]
        return len(self.store.client.search_runs(experiments))


def rewrite(database: Path, old: str, new: str) -> None:
    """Replace a text wherever it is in an SQLite file."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info('{table}')").fetchall():
                if "CHAR" in kind or "TEXT" in kind:
                    query = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?) > 0'
                    connection.execute(query, (old, new, old))
        connection.commit()


def unpack(folder: Path) -> Frozen:
    """A copy of the frozen store in an empty folder; the environment does not name it."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    rewrite(folder / "mlflow.db", PLACEHOLDER, folder.as_uri())
    ids = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
    found = Frozen(None, folder, ids)
    with named(found):
        return Frozen(tracking.open_store(), folder, ids)


@contextlib.contextmanager
def named(frozen: Frozen) -> Iterator[None]:
    """Commands inside use this store, whatever the caller's environment says."""
    kept = {name: value for name, value in os.environ.items() if name not in CALLERS}
    with mock.patch.dict(os.environ, kept | frozen.environment, clear=True):
        yield


@contextlib.contextmanager
def temporary() -> Iterator[Frozen]:
    """A copy in a folder that goes again, named by the environment."""
    with tempfile.TemporaryDirectory() as folder:
        found = unpack(Path(folder).resolve())
        with named(found):
            yield found

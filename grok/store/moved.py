"""A store that was moved or copied: MLflow writes down where files are by their whole path, so a copy would use those of the
original. Noticed when a store is opened, mended by one command.

Only the files beside a database are looked after, `mlruns/` in its folder, where the project puts them. What an experiment
keeps elsewhere on purpose stays there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from grok.store.errors import StoreError, brief, step
from grok.store.tags import KIND, tag, word

BESIDE = "mlruns"
"""The folder of files in the folder of the database."""
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where the database has places of files."""
FOREIGN = (
    "EXISTS (SELECT 1 FROM runs r WHERE r.experiment_id = e.experiment_id) AND NOT EXISTS (SELECT 1 FROM runs r JOIN tags t "
    f"ON t.run_uuid = r.run_uuid AND t.key = '{tag(KIND)}' WHERE r.experiment_id = e.experiment_id)"
)
"""Of experiments `e` that hold runs of other tools alone: where their files are is no matter of ours."""
LOOKED_AT = 100
"""Newest runs whose folders are looked for."""
COMMAND = "python -m entry_points.rebase"


def local_path(uri: str) -> Path | None:
    """The path of a place of files; None if it is not in a file system."""
    try:
        parsed = urlparse(uri)
    except ValueError:  # half an address in brackets
        return None
    return Path(url2pathname(parsed.path)) if parsed.scheme in ("", "file") else None


def refuse(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a database whose files are written down as those beside another place, or nowhere.

    Raises:
        StoreError: if so, with the command that mends it.
    """
    query = "SELECT experiment_id FROM experiments e WHERE lifecycle_stage = 'active' AND coalesce(artifact_location, '') = ''"
    if nowhere := database.execute(f"{query} AND NOT ({FOREIGN})").fetchone():
        raise StoreError(
            f"experiments must have a place for their files, got none for experiment {nowhere[0]} in {path}. "
            "Restore the database."
        )
    found = places(database, path)
    if found:
        raise StoreError(
            f"store must have its files beside its database, got {path}, moved or copied, which names those in "
            f"{local_path(found[0])}. Mend it: {COMMAND}."
        )


def places(database: sqlite3.Connection, path: Path) -> list[str]:
    """The beginnings of the places of files, `file:///old/mlruns/`, that a moved database should have in its folder.

    An experiment with runs of other tools alone tells nothing: its files may have been on another machine from the first.
    """
    rows = database.execute("SELECT experiment_id, artifact_location FROM experiments WHERE lifecycle_stage = 'active'")
    found: list[str] = []
    for experiment, location in rows.fetchall():
        place = _beginning(word(location))
        if place and place not in found and _is_strange(database, experiment, place, path):
            query = f"SELECT 1 FROM experiments e WHERE experiment_id = ? AND NOT ({FOREIGN})"
            found += [place] * (database.execute(query, (experiment,)).fetchone() is not None)
    return found


def _beginning(location: str) -> str:
    """A place up to its last `/mlruns/`; empty if it is not such a one."""
    head, mark, _ = location.rpartition(f"/{BESIDE}/")
    return head + mark if mark and local_path(location) is not None else ""


def _is_strange(database: sqlite3.Connection, experiment: int, place: str, path: Path) -> bool:
    """Whether the files are beside another database, in a folder that is gone, or here too."""
    folder = local_path(place)
    if folder is None or not folder.is_absolute():
        return False
    old = folder.parent
    with contextlib.suppress(OSError):
        if os.path.samefile(old, path.parent):
            return False
    if not old.exists():
        return True
    other = old / path.name
    if other.is_file() and not os.path.samefile(other, path):
        return True
    query = "SELECT artifact_uri FROM runs WHERE experiment_id = ? ORDER BY start_time DESC LIMIT ?"
    runs = [uri for (uri,) in database.execute(query, (experiment, LOOKED_AT)) if word(uri).startswith(place)]
    here = (local_path(place + uri.removeprefix(place)) for uri in runs)
    return any((path.parent / BESIDE / run.relative_to(folder)).exists() for run in here if run is not None)


def rebase(path: Path) -> tuple[list[str], int]:
    """Make the files of a moved or copied store those beside its database, all at once or not at all.

    Args:
        path: of the database.

    Returns:
        The old beginnings, and how many places were changed; none where nothing was to be done.

    Raises:
        StoreError: if it is no database of MLflow's, or cannot be written.
    """
    try:
        return _rebased(path)
    except (sqlite3.Error, UnicodeError) as error:
        raise StoreError(
            f"store must be a database of MLflow, got {path} ({brief(error)}). {step(error) or 'Name another'}."
        ) from error


def _rebased(path: Path) -> tuple[list[str], int]:
    with contextlib.closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        found = places(database, path)
        changed = 0
        for old in found:
            new = f"{path.parent.as_uri() if old.startswith('file:') else path.parent}/{BESIDE}/"
            for table, column in COLUMNS:
                known = [row[1] for row in database.execute(f"PRAGMA table_info('{table}')")]
                if column in known:
                    query = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
                    changed += database.execute(query, (new, len(old) + 1, len(old), old)).rowcount
        database.execute("COMMIT")
    return found, changed

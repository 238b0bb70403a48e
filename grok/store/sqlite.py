"""A store in an SQLite file: its path and URI, and the file made whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

from filelock import FileLock
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from grok.store import moved
from grok.store.errors import StoreError, brief, step

SCHEME = "sqlite:///"
PARTIAL = ".new"
"""What the name of a database ends in while its tables are made."""
HALF_MADE = ".half-made"
"""What is added to the name of a database that was found half-made and held no run."""
WAIT_S = 20
"""For the write lock."""


def is_sqlite(uri: str) -> bool:
    """Whether a URI is meant for an SQLite file."""
    return uri.lower().startswith("sqlite")


def uri_of(path: Path) -> str:
    """The URI of a database file, whatever characters its path has: as it is where that can be, else quoted by SQLAlchemy."""
    plain = f"{SCHEME}{path}"
    return plain if make_url(plain).database == str(path) else URL.create("sqlite", database=str(path)).render_as_string()


def tidy(uri: str) -> None:
    """Remove the empty folder that MLflow makes for a database by the quoted name of its folder."""
    quoted = Path(uri.removeprefix(SCHEME)).parent
    if quoted.absolute() != path_of(uri).parent:
        with contextlib.suppress(OSError):  # not there, or not empty
            quoted.rmdir()


def path_of(uri: str) -> Path:
    """The database file of a URI.

    Raises:
        StoreError: if it names none: in memory, say, where each connection would have a store of its own.
    """
    try:
        database = make_url(uri).database or "" if uri.startswith(SCHEME) else ""
    except (ArgumentError, ValueError):
        database = ""
    if not database or database.startswith((":", "file:")) or "\0" in database:
        raise StoreError(
            f"MLFLOW_TRACKING_URI must name a file as sqlite:////folder/mlflow.db where it begins with sqlite, got {uri}. "
            "Write its whole path."
        )
    return Path(database).absolute()


def check(uri: str) -> None:
    """Make sure that a database can be written, and make it if it is not there.

    Raises:
        StoreError: if not; nothing was made then.
    """
    path = path_of(uri)
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.exists() and not path.is_file():
            raise OSError(f"{path} is no file")
        if path.exists() and path.stat().st_size:
            with contextlib.closing(sqlite3.connect(path, timeout=WAIT_S)) as database:
                database.execute("BEGIN IMMEDIATE")  # asks for the write lock, and reads the header
                whole = _is_whole(database)
                if whole:
                    moved.refuse(database, path)
            if whole:
                return
        make(path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"MLFLOW_TRACKING_URI must name a database in a folder that can be written, got {uri} ({brief(error)}). "
            f"{step(error) or 'Name another'}."
        ) from error


def make(path: Path) -> None:
    """Make a store's database beside its place and rename it: whatever stops the process, it is there whole or not at all.

    Of several first commands at once, one makes it. A file that an earlier version left half-made, with no run in it, is put
    aside under another name.

    Raises:
        StoreError: if there is a database that is not MLflow's.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with FileLock(f"{path}.lock"):
        if path.exists() and path.stat().st_size:
            with contextlib.closing(sqlite3.connect(path, timeout=WAIT_S)) as database:
                if _is_whole(database):
                    return  # another command was first
                _refuse_strangers(database, path)
            os.replace(path, f"{path}{HALF_MADE}")
        partial = path.with_name(f".{path.name}{PARTIAL}")
        partial.unlink(missing_ok=True)  # of a process that was killed here
        for ending in ("-journal", "-wal", "-shm"):
            Path(f"{path}{ending}").unlink(missing_ok=True)  # of a first transaction that was never made: not to be played
            Path(f"{partial}{ending}").unlink(missing_ok=True)
        try:
            made = SqlAlchemyStore(uri_of(partial), (path.parent / "mlruns").as_uri())  # beside the database, whatever the cwd
            made.engine.dispose()
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def move_run(path: Path, run_id: str, experiment_id: str) -> None:
    """Put a run that has nothing yet into another experiment, with the place of its files; MLflow itself has no call for it.

    Args:
        path: of the database. run_id: of a run that `mlflow run` has just made. experiment_id: of the experiment.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        (place,) = database.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = ?", (int(experiment_id),)
        ).fetchone()
        database.execute(
            "UPDATE runs SET experiment_id = ?, artifact_uri = ? WHERE run_uuid = ?",
            (int(experiment_id), f"{place.rstrip('/')}/{run_id}/artifacts", run_id),
        )
        database.execute("COMMIT")


def _is_whole(database: sqlite3.Connection) -> bool:
    """Whether the tables were made to the end: the experiment `Default` is the last thing that MLflow puts there."""
    try:
        return database.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:
        return False


def _refuse_strangers(database: sqlite3.Connection, path: Path) -> None:
    """A half-made store has MLflow's tables only, and no run."""
    from mlflow.store.db.base_sql_model import Base

    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    strange = {name for name in tables if not name.startswith(("alembic", "_alembic", "sqlite_"))} - set(Base.metadata.tables)
    runs = "runs" in tables and database.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is not None
    if strange or runs:
        what = f"tables of another program ({', '.join(sorted(strange))[:100]})" if strange else "runs without an experiment"
        raise StoreError(f"MLFLOW_TRACKING_URI must name a database of MLflow, got {path} with {what}. Name another file.")

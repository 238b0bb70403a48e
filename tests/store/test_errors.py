"""Errors of others as one line: the rule, what was said, and the next step once; nothing of a finished line is changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from grok.store import sqlite
from grok.store.errors import StoreError, brief, one_line, step

ROOM = "Make room, then repeat the command"


def test_a_full_database_is_named_and_the_librarys_advice_is_left_out(store: Any) -> None:
    """The database is full in truth: SQLite may add no page to it."""
    path = sqlite.path_of(store.uri)
    with store.client._tracking_client.store.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OperationalError) as caught:
            connection.exec_driver_sql("INSERT INTO experiment_tags VALUES ('k', ?, 0)", ("x" * 10**6,))
    caught.value.add_detail(
        "raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block if this flush is occurring "
        "prematurely"
    )
    said = "(sqlite3.OperationalError) database or disk is full"
    assert one_line(caught.value) == f"the store's database {path} must have room, got: {said}. {ROOM}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "(sqlite3.OperationalError) disk I/O error",
            "be readable and writable to its end, got: {}. Make room, raise the limit of ",
        ),
        (
            "(sqlite3.OperationalError) attempt to write a readonly database",
            "be writable, got: {}. Make it and its folder writable,",
        ),
        ("(sqlite3.OperationalError) unable to open database file", "be writable, got: {}. Make it and its folder writable,"),
        ("(sqlite3.DatabaseError) database disk image is malformed", "be whole, got: {}. Put a copy of it back,"),
        ("(sqlite3.OperationalError) database is locked", "be free within a while, got: {}. Wait for who writes it,"),
        (
            '(psycopg2.errors.DiskFull) could not extend file "base/1": No space left on device',
            "have room, got: {}. Make room,",
        ),
        ("(pymysql.err.OperationalError) (1114, \"The table 'metrics' is full\")", "have room, got: {}. Make room,"),
    ],
)
def test_each_word_of_a_database_has_its_own_step(said: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg2://ann:secret@host/runs")
    line = one_line(RuntimeError(f"{said}\n[SQL: INSERT INTO metrics VALUES (?)]\n[parameters: (1,)]"))
    assert line.startswith(f"the store's database postgresql+psycopg2://ann:***@host/runs must {told.format(said)}")
    assert line.endswith(", then repeat the command")
    assert line.count(". ") == 1


def test_a_store_that_nobody_has_named_yet_is_told_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert one_line(RuntimeError("database or disk is full")).startswith("the store's database must have room, got: ")


@pytest.mark.parametrize(
    "line",
    [
        "standard output must take the result line, got [Errno 28] No space left on device. Make room",
        "out must be a folder that can be had, got x (disk I/O error). Name another.",
        "the store's database must have room, got: database or disk is full. Make room, then repeat the command",
    ],
)
def test_a_finished_line_is_handed_over_as_it_is(line: str) -> None:
    assert one_line(line) == one_line(StoreError(line)) == line
    assert one_line(one_line(RuntimeError("database or disk is full"))) == one_line(RuntimeError("database or disk is full"))


def test_a_full_disk_is_no_full_database() -> None:
    assert one_line(OSError(28, "No space left on device", "/store/x")).startswith(
        "[Errno 28] No space left on device: '/store/x'."
    )
    assert one_line(RuntimeError("writing x.png failed: No space left on device")).endswith("No space left on device")


def test_words_of_others_are_cut_between_words() -> None:
    text = "Setting the tracking URI to a Unity Catalog backend is not supported in the current version of the client."
    assert brief(RuntimeError(text), 60) == "Setting the tracking URI to a Unity Catalog backend is not …"
    assert brief(RuntimeError("x" * 80), 60) == "x" * 60 + " …"
    assert (brief(RuntimeError(text)), step(RuntimeError(text))) == (text, "")


def test_what_is_told_within_another_line_brings_no_step_of_its_own(tmp_path: Path) -> None:
    """A file that is no database, and one that cannot be written to its end."""
    (tmp_path / "no.db").write_text("text, long enough for the header of a database that it has not" * 4)
    with pytest.raises(StoreError) as caught:
        sqlite.check(f"sqlite:///{tmp_path / 'no.db'}")
    assert str(caught.value).endswith("(file is not a database). Name another.")
    with closing(sqlite3.connect(tmp_path / "m.db")) as database, pytest.MonkeyPatch.context() as patch:
        database.execute("CREATE TABLE experiments (name)")
        database.commit()
        patch.setattr(sqlite, "_is_whole", lambda _: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error")))
        with pytest.raises(StoreError) as caught:
            sqlite.check(f"sqlite:///{tmp_path / 'm.db'}")
    assert str(caught.value).endswith(
        "(disk I/O error). Make room, raise the limit of a file's size (ulimit -f), or look at the disk."
    )

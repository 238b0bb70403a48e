"""Stores that are half-made, moved, foreign, away or misnamed: made whole, or refused in one line."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from analysis.sensitivity.settings import shown_storage
from entry_points import rebase as rebase_command
from grok.runs import study as studies
from grok.runs.fanout import Fanout
from grok.spec.studies import Cell, Study
from grok.store import sqlite
from grok.store.errors import StoreError, masked, one_line
from grok.store.moved import rebase
from grok.store.run import TrackedRun
from grok.store.store import open_store, tracking_uri
from tests.conftest import PROJECT, Answer

pytestmark = pytest.mark.faults
KILLED = """
import os, sys
from pathlib import Path
import mlflow.store.db.utils as utils
from grok.store import sqlite
right = utils._upgrade_db
utils._upgrade_db = lambda engine: os._exit(9)  # in the middle: the first tables are there
sqlite.make(Path(sys.argv[1]))
"""


def one(answer: Answer, status: int, *words: str) -> None:
    """A refusal in one line."""
    assert (answer.status, answer.out) == (status, ""), answer
    assert answer.err.count("\n") == 1
    for word in words:
        assert word in answer.err
    for raw in ("Traceback", "[SQL", "sqlalche.me"):
        assert raw not in answer.err


# made whole or not at all


def test_a_database_whose_making_was_killed_is_made_anew_beside_its_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=PROJECT, check=False)
    assert done.returncode == 9
    assert not path.exists()
    assert list(tmp_path.glob(f".mlflow.db*{sqlite.PARTIAL}*"))
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    run = open_store().create("first", {})
    assert Path(run.stored.artifact_uri.removeprefix("file://")).is_relative_to(tmp_path / "mlruns")
    assert not list(tmp_path.glob(f".mlflow.db*{sqlite.PARTIAL}*"))


def test_a_half_made_database_of_earlier_code_is_put_aside_and_one_with_something_in_it_is_not(
    template_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    shutil.copy(template_store, path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM experiments")
        database.commit()
    made: list[Path] = []
    monkeypatch.setattr(sqlite.os, "replace", lambda old, new: made.append(Path(new)))  # making takes seconds: not here
    monkeypatch.setattr("mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore", lambda *words: _Made(Path(words[0][10:])))
    sqlite.check(f"sqlite:///{path}")
    assert made == [Path(f"{path}{sqlite.HALF_MADE}"), path]
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE customers (name TEXT)")
    with pytest.raises(
        StoreError, match=r"must name a database of MLflow, got .* with tables of another program \(customers\)"
    ):
        sqlite.check(f"sqlite:///{path}")


class _Made:
    """Stands for MLflow's store: it leaves a file."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(b"x")
        self.engine = self

    def dispose(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("name", ["a%41b", "c?d", "e#f", "g%25h", "sp ace", "ünï"])
def test_a_project_may_be_in_a_folder_of_any_name(name: str, template_store: Path, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(template_store, folder / "mlflow.db")
    rebase(folder / "mlflow.db")
    uri = sqlite.uri_of(folder / "mlflow.db")
    assert sqlite.path_of(uri) == folder / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        store = open_store()
        run = store.create("here", {"kind": "train"})
        run.put_text("note.txt", "text")
        assert [found.run_id for found in store.find({"kind": "train"})] == [run.run_id]
    assert len(list((folder / "mlruns").rglob("note.txt"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


# refused in one line


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("sqlite://", "must name a file as sqlite:////folder/mlflow.db"),
        ("sqlite:///:memory:", "must name a file as sqlite:////folder/mlflow.db"),
        ("sqlite:///file:x?mode=memory&uri=true", "must name a file as sqlite:////folder/mlflow.db"),
        ("SQLITE://", "must name a file as sqlite:////folder/mlflow.db"),
        ("HTTP://127.0.0.1:1", "must name a server that answers, got http://127.0.0.1:1"),
        ("http://user:secret@127.0.0.1:1", "got http://user:***@127.0.0.1:1 (ConnectionError)"),
        ("http://user:se secret@127.0.0.1:1", "got http://user:***@127.0.0.1:1"),
        ("mssql+pyodbc://h/d?UID=u&PWD=secret", "got mssql+pyodbc://h/d?UID=u&PWD=***"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Dsecret%3BUID%3Du", "got mssql+pyodbc:///?odbc_connect=PWD%3D***"),
        ("http://127.0.0.1:1/?access_token=secret", "got http://127.0.0.1:1/?access_token=***"),
        ("http://[::1", "must name a server that answers"),
        ("postgresql+no_such_driver://user:secret@127.0.0.1:1/x", "got postgresql+no_such_driver://user:***@127.0.0.1:1/x"),
        ("mysql://user:secret@127.0.0.1:1/x?password=secret", "got mysql://user:***@127.0.0.1:1/x?password=***"),
        ("databricks", "pip install 'mlflow[databricks]'"),
        ("nonsense://x", "got nonsense://x (a scheme that is not known). Correct it."),
        ("file:///nowhere", "got file:///nowhere, a path. Write sqlite:////nowhere/mlflow.db."),
    ],
)
def test_a_store_that_cannot_be_is_one_line_without_the_password(
    uri: str, words: str, command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    answer = command("--epochs", "1")
    one(answer, 2, words)
    assert "secret" not in answer.err
    assert list(tmp_path.iterdir()) == []


def test_passwords_are_masked_wherever_an_error_is_kept(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter22")
    error = RuntimeError(
        "API request to http://ann:secret@host/api failed: hunter22\nat line 2 [SQL: SELECT 1] [parameters: x]"
    )
    assert one_line(error) == "API request to http://ann:***@host/api failed: *** at line 2"
    assert masked("sqlite:///a.db") == "sqlite:///a.db"
    run = store.create("failed", {})
    run.end_by(error)
    run.set_tags({"mlflow.note.content": str(error)})
    told = " ".join(store.get(run.run_id).tags.values())
    assert "secret" not in told
    assert "hunter22" not in told
    assert "ann:***@host" in told


MASKED = {
    "http://user:se cret@127.0.0.1:1": "http://user:***@127.0.0.1:1",
    "at http://user:se cret x@host/a b": "at http://user:***@host/a b",
    "http://u%3Asecret@h": "http://u%3A***@h",
    "http://a'b:secret'@h": "http://a'b:***@h",
    "postgresql://u:80/secret@h/d": "postgresql://u:***@h/d",
    "mssql+pyodbc://h/d?UID=u&PWD=secret": "mssql+pyodbc://h/d?UID=u&PWD=***",
    "mssql+pyodbc:///?odbc_connect=A%3D1%3BPWD%3Dsecret%3BUID%3Du": "mssql+pyodbc:///?odbc_connect=A%3D1%3BPWD%3D***%3BUID%3Du",
    "http://h/?access_token=secret&x=1": "http://h/?access_token=***&x=1",
    "http://h/?api_key=secret": "http://h/?api_key=***",
    "http://h/?x=1&key=secret": "http://h/?x=1&key=***",
    "host=h password='se cret' user=u": "host=h password=*** user=u",
    "AccountKey=secret;EndpointSuffix=x": "AccountKey=***;EndpointSuffix=x",
    "{'password': 'se cret', 'user': 'u'}": "{'password': ***, 'user': 'u'}",
    "Authorization: Bearer secret": "Authorization: Bearer ***",
    "https://ghp_0123456789secret0123@github.com/a": "https://***@github.com/a",
}
"""What is told in place of each."""
PLAIN = (
    "http://127.0.0.1:5000 does not answer; mail ann@example.org",
    "http://127.0.0.1:5000/api failed for ann@host",
    "http://[::1]:5000/a@b",
    "sqlite:////data/mlflow.db",
    "s3://bucket/a:b",
    "passed=3 tokens=5 tag key=grok.kind, unexpected token: x",
)


def test_passwords_are_masked_in_every_form_and_nothing_else() -> None:
    for text, told in MASKED.items():
        assert masked(text) == told
        assert one_line(RuntimeError(f"got\n{text}")) == f"got {told}"
    for text in PLAIN:
        assert masked(text) == text
    for url in ("mssql+pyodbc://h/d?PWD=secret", "postgresql://u:secret@h/d?access_token=secret"):
        assert "secret" not in shown_storage(url)


PIECES = ("://:", "://a:b ", "://:@", "://u:1 ", "://a%3A", "token=", "password='", "password={", "pass", "'", "shared-access-")


@pytest.mark.parametrize("piece", PIECES)
def test_masking_takes_a_time_in_proportion_to_the_text(piece: str) -> None:
    """400,000 characters: by a form that is quadratic it takes minutes or hours."""
    begun = time.process_time()
    masked(piece * (400_000 // len(piece)))
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("run_id", ["'; drop table runs; --", "../../etc/passwd", "", "x" * 300, "ü"])
@pytest.mark.parametrize("flag", ["--resume", "--replay", "--branch-from"])
def test_no_id_of_a_run_is_one_line(run_id: str, flag: str, store: Any, command: Any) -> None:
    if run_id or flag == "--resume":
        more = ["--at", "1"] if flag == "--branch-from" else []
        one(command(f"{flag}={run_id or ' '}", *more), 2, "run must be named by its id, 32 hex digits")


def test_a_missing_package_of_a_store_is_named_with_what_has_it(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of a database whose driver is not there; none of the project's extras has it."""
    for driver, package in (("mysql+pymysql", "pymysql"), ("postgresql+psycopg", "'psycopg[binary]'")):
        monkeypatch.setitem(sys.modules, driver.partition("+")[2], None)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{driver}://user:secret@127.0.0.1:1/x")
        one(command("--epochs", "1"), 2, f"pip install {package}.", f"(no {driver.partition('+')[2]})")


def test_a_database_whose_name_is_a_pattern_leaves_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`m[1].db` is made anew, and what a process makes of `m1.db` or `m[1].db2` at that moment stays."""
    others = [tmp_path / f".{name}{sqlite.PARTIAL}" for name in ("m1.db", "m[1].db2")]
    own = tmp_path / f".m[1].db{sqlite.PARTIAL}-journal"
    for left in (*others, own):
        left.write_text("of another process")
    monkeypatch.setattr(
        "mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore", lambda *words: _Made(tmp_path / f".m[1].db{sqlite.PARTIAL}")
    )
    sqlite.make(tmp_path / "m[1].db")
    assert (tmp_path / "m[1].db").exists()
    assert all(other.exists() for other in others)
    assert not own.exists()


@pytest.mark.parametrize("name", ["..", ".", ". .", "a\nb"])
def test_an_experiment_that_would_leave_its_folder_is_refused(name: str, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    with pytest.raises(StoreError, match="MLFLOW_EXPERIMENT_NAME must be a printable name with more in it than dots, got"):
        open_store()


# moved and copied


@pytest.mark.parametrize("keep", [True, False], ids=["copied", "moved"])
def test_a_moved_store_says_how_to_mend_it_and_one_command_does(
    keep: bool, template_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    shutil.copy(template_store, old / "mlflow.db")
    rebase(old / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{old}/mlflow.db")
    run = open_store().create("one", {"kind": "train"})
    run.put_text("note.txt", "before")
    (shutil.copytree if keep else shutil.move)(old, new)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{new}/mlflow.db")
    for existing in ("", "Run one first"):
        with pytest.raises(
            StoreError, match=rf"got {new}/mlflow.db, moved or copied, .*Mend it: python -m entry_points.rebase"
        ):
            open_store(existing)
    assert rebase_command.main([]) == 0
    assert "changed=" in capsys.readouterr().out
    found = TrackedRun(open_store().client, run.run_id)
    assert found.get_file("note.txt", tmp_path) == new / "mlruns" / "grok" / run.run_id / "artifacts" / "note.txt"
    found.put_text("after.txt", "after")
    assert not list(old.rglob("after.txt"))
    assert rebase(new / "mlflow.db") == ([], 0)


def test_files_kept_elsewhere_on_purpose_and_a_link_to_the_folder_are_no_move(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "big").mkdir()
    store.client.create_experiment("big", (tmp_path / "big" / "mlruns" / "7").as_uri())
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/link/mlflow.db")
    assert open_store().experiment_id == store.experiment_id


# foreign runs, and places outside


def test_runs_of_other_tools_are_passed_over(store: Any, tiny: Any) -> None:
    """Without tags, with the tag of the identity deleted by hand, with tags that hold nonsense."""
    client = store.client
    client.create_run(store.experiment_id, tags={"mlflow.runName": "somebody's"})
    for tags in (
        {"grok.kind": "train", "grok.protocol": "1"},
        {"grok.kind": "train", "grok.protocol": "1", "grok.config_hash": "", "grok.state": "running", "grok.heartbeat": "soon"},
        {"grok.kind": "study", "grok.wall_s": "long"},
    ):
        client.create_run(store.experiment_id, tags=tags)
    config = tiny(epochs=8, checkpoint_epochs=(8,), save_every=0)
    study = Study("own/one", "One.", "ours", (Cell("grok", config),))
    parent = studies.open_parent(store, study, force=False)
    (result,) = studies.run_study(study, store, Fanout("sequential"), parent=parent)
    assert (result.state, result.error) == ("complete", "")


@pytest.mark.parametrize("place", ["file:///etc", "file:///", "file:///tmp/../etc/artifacts", "/etc"])
def test_files_of_a_run_are_in_a_folder_of_its_own(place: str, store: Any) -> None:
    run = store.create("astray", {"kind": "train"})
    with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
        database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (place, run.run_id))
        database.commit()
    with pytest.raises(StoreError, match=f"artifacts of a run must be in a folder {run.run_id}/artifacts"):
        TrackedRun(store.client, run.run_id)


def test_no_name_and_no_link_leads_out_of_a_runs_folder(store: Any, tmp_path: Path) -> None:
    run = store.create("linked", {})
    run.put_text("note.txt", "text")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (run._root / "resume").symlink_to(outside)
    (run._root / "linked.txt").symlink_to(outside / "secret.txt")
    for path in ("../../x.txt", "/etc/passwd", "resume/secret.txt", "linked.txt"):
        with pytest.raises(StoreError, match="artifact must be in the folder of run"):
            run.get_file(path, tmp_path)
        with pytest.raises(StoreError, match="artifact must be in the folder of run"):
            run.delete(path)
        with pytest.raises(StoreError, match="artifact must be in the folder of run"):
            run.put_text(path, "over")
    assert (outside / "secret.txt").read_text() == "secret"


def test_a_file_is_there_whole_or_not_at_all(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.create("copy", {})
    (tmp_path / "table.csv").write_text("whole")

    def full(source: Path, partial: Path) -> None:
        Path(partial).write_text("wh")
        raise OSError(28, "No space left on device", str(partial))

    monkeypatch.setattr("grok.store.files.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left") as caught:
        run.put_file(tmp_path / "table.csv")
    assert list(run._root.iterdir()) == []
    assert "Make room, then repeat the command" in one_line(caught.value)
    assert str(run._root) in one_line(caught.value)


def test_the_project_is_the_store_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", " ")
    assert sqlite.path_of(tracking_uri()) == PROJECT / "mlflow.db"
    assert os.environ["MLFLOW_TRACKING_URI"] == " "

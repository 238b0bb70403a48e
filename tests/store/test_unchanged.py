"""A study that is asked for again: told at once where nothing has changed, and looked through where anything has."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grok.spec.studies import Cell, Study, load_file
from grok.store import sqlite, unchanged
from grok.store.moved import local_path
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import CONFIG_HASH, FORCED, FOUND, GRID_HASH, KIND, LEFT, PROTOCOL, STUDY_NAME, study_tag
from tests.helpers.left import leave_files

NO_TEXT = os.fsdecode(b"\xff")
"""The name of a file that is not UTF-8."""
RUNS = "{condition: a, modulus: 7, width: 16, epochs: 30, top_pairs: 20, seed: 0..1}"
OWN = f"two:\n  sentence: Two.\n  source: ours\n  runs: [{RUNS}]\n"
TELLING = """
import sys
from entry_points.study import main
status = main(sys.argv[1:])
sys.exit(status + len({"torch", "mlflow", "pandas", "matplotlib"} & set(sys.modules)))
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    return load_file(path)["two"]


def nothing(*_: Any) -> None:
    pass


def leave_run(store: Store, study: Study, cell: Cell, state: str = "complete") -> TrackedRun:
    """A run of a cell, a member of the study."""
    run = store.create("cell", {KIND: "train", CONFIG_HASH: cell.config.hash, PROTOCOL: "1"})
    run.set_tags({study_tag(study.name): cell.condition})
    leave_files(run, cell.config)
    run.end(state)
    return run


Meanwhile = Callable[[Store, list[TrackedRun]], Any]


def leave(
    store: Store, study: Study, meanwhile: Meanwhile = nothing, *, used: int = 2, code: str = ""
) -> tuple[TrackedRun, list[TrackedRun]]:
    """A study as a command leaves it: a failed run, two finished ones, and the parent with a table.

    Args:
        meanwhile: what is done while the tables are made. used: how many runs are in the tables. code: at the beginning.
    """
    leave_run(store, study, study.cells[0], "failed")
    runs = [leave_run(store, study, cell) for cell in study.cells]
    return leave_parent(store, study, runs, meanwhile, used, code), runs


def leave_parent(
    store: Store, study: Study, runs: list[TrackedRun], meanwhile: Meanwhile = nothing, used: int = 2, code: str = ""
) -> TrackedRun:
    told = {"code": code or unchanged.code_digest(), "before": unchanged.members(study)}
    meanwhile(store, runs)
    tags = {KIND: "study", STUDY_NAME: study.name, GRID_HASH: study.hash, PROTOCOL: "1", FOUND: "It is so."}
    parent = store.create("study", tags)
    parent.put_json("grid.json", {"cells": 2})
    (root_of(parent) / NO_TEXT).write_bytes(b"x")
    ids = [run.run_id for run in runs[:used]]
    parent.set_tags({LEFT: unchanged.left(study, "It is so.", parent.run_id, **told, used=ids)})
    parent.end("complete")
    return parent


def root_of(run: TrackedRun) -> Path:
    root = local_path(run.stored.artifact_uri)
    assert root is not None
    return root


def done(study: Study) -> bool:
    """Whether it is told again."""
    return unchanged.done(study, unchanged.code_digest()) is not None


def edit(store: Store, run: TrackedRun, name: str, text: str) -> None:
    """A param is changed, as MLflow itself lets nobody."""
    with sqlite3.connect(sqlite.path_of(store.uri)) as database:
        database.execute("UPDATE params SET value = ? WHERE run_uuid = ? AND key = ?", (text, run.run_id, name))
    database.close()


def test_it_is_told_without_torch_mlflow_pandas_and_matplotlib(store: Store, study: Study, tmp_path: Path) -> None:
    assert not done(study)  # not yet
    parent, _ = leave(store, study)
    words = ["--study", str(tmp_path / "own.yaml")]
    told = subprocess.run([sys.executable, "-c", TELLING, *words], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    line = f"run={parent.run_id} study=own/two state=complete cells=2 trained=0 reused=2 open=0"
    assert told.stdout.rpartition(" seconds=")[0] == line
    assert "2 runs were complete already and reused\nIt is so.\nLook: mlflow ui" in told.stderr
    assert "All studies: " in told.stderr


def broken(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


Change = Callable[[Store, TrackedRun, list[TrackedRun]], Any]
CHANGES: dict[str, Change] = {
    "a bit of the parent's file": lambda store, parent, runs: broken(root_of(parent) / "grid.json"),
    "the parent's file gone": lambda store, parent, runs: (root_of(parent) / "grid.json").unlink(),
    "another file of the parent": lambda store, parent, runs: (root_of(parent) / "more.txt").write_text("x"),
    "a bit of the parent's file whose name is no text": lambda store, parent, runs: broken(root_of(parent) / NO_TEXT),
    "a run's file whose name is no text": lambda store, parent, runs: (root_of(runs[0]) / NO_TEXT).write_bytes(b"x"),
    "a link": lambda store, parent, runs: (root_of(parent) / "more").symlink_to("/etc"),
    "the parent at work": lambda store, parent, runs: store.client.update_run(parent.run_id, status="RUNNING"),
    "the parent deleted": lambda store, parent, runs: store.client.delete_run(parent.run_id),
    "the parent forced": lambda store, parent, runs: parent.set_tags({FORCED: "1"}),
    "what was found": lambda store, parent, runs: parent.set_tags({FOUND: "It is not so."}),
    "nothing left": lambda store, parent, runs: parent.set_tags({LEFT: ""}),
    "a run deleted": lambda store, parent, runs: store.client.delete_run(runs[1].run_id),
    "a run at work": lambda store, parent, runs: store.client.update_run(runs[1].run_id, status="RUNNING"),
    "a run of no study": lambda store, parent, runs: store.client.delete_tag(runs[1].run_id, study_tag("own/two")),
    "a run's file gone": lambda store, parent, runs: (root_of(runs[0]) / "history.parquet").unlink(),
    "a run's file altered": lambda store, parent, runs: os.utime(root_of(runs[1]) / "history.parquet"),
    "a run's identity": lambda store, parent, runs: runs[0].set_tags({CONFIG_HASH: runs[1].stored.config_hash}),
    "a run's new file": lambda store, parent, runs: (root_of(runs[0]) / "onset.parquet").write_bytes(b"x"),
    "a run's new file in a folder": lambda store, parent, runs: (root_of(runs[0]) / "delta_w" / "more.npz").write_bytes(b"x"),
    "a run's tag": lambda store, parent, runs: runs[0].set_tags({"threads": "7"}),
    "a run's metric": lambda store, parent, runs: store.client.log_metric(runs[0].run_id, "rho_epoch", 7),
    "a run's new param": lambda store, parent, runs: store.client.log_param(runs[0].run_id, "more", "7"),
    "a run's param": lambda store, parent, runs: edit(store, runs[0], "seed", "7"),
    "a run's place": lambda store, parent, runs: edit(store, runs[0], "threads", "7"),
    "the failed run deleted": lambda store, parent, runs: store.client.delete_run(failed(store)),
    "the failed run's state": lambda store, parent, runs: store.client.set_tag(failed(store), "grok.state", "interrupted"),
    "the failed run's status": lambda store, parent, runs: store.client.update_run(failed(store), status="KILLED"),
}


def failed(store: Store) -> str:
    (run,) = store.find({"state": "failed"})
    return run.run_id


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_has_changed_is_looked_through(store: Store, study: Study, change: Change) -> None:
    parent, runs = leave(store, study)
    assert done(study)
    change(store, parent, runs)
    assert not done(study)


def test_that_a_run_counts_in_another_study_changes_nothing(store: Store, study: Study) -> None:
    _, runs = leave(store, study)
    runs[0].set_tags({study_tag("another"): "b"})
    assert done(study)
    runs[0].set_tags({study_tag(study.name): "b"})
    assert not done(study)


@pytest.mark.parametrize("state", ["complete", "failed"])
def test_so_is_another_run_of_a_cell(store: Store, study: Study, state: str) -> None:
    leave(store, study)
    leave_run(store, study, study.cells[0], state)
    assert not done(study)


def test_so_is_what_other_words_made(store: Store, study: Study) -> None:
    leave(store, study)
    assert not done(replace(study, sentence="Others."))
    assert not done(replace(study, windows=(5,)))
    assert not done(replace(study, cells=study.cells[::-1]))
    cells = [replace(cell, config=replace(cell.config, threads=3)) for cell in study.cells]
    assert [cell.config.hash for cell in cells] == [cell.config.hash for cell in study.cells]
    assert not done(replace(study, cells=tuple(cells)))
    assert done(study)


def test_so_is_what_other_code_made(store: Store, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it changed while the command was at work."""
    code = unchanged.code_digest()
    leave(store, study)
    assert unchanged.done(study, code) is not None
    for other in ("", "0" * 64):
        assert unchanged.done(study, other) is None
    leave(store, study, code="0" * 64)
    assert unchanged.done(study, "0" * 64) is unchanged.done(study, code) is None
    monkeypatch.setattr(unchanged, "code_digest", lambda: "")  # as where a file cannot be read
    leave(store, study)
    assert unchanged.done(study, "") is None


def test_nor_is_a_study_told_again_that_names_code_of_ones_own(store: Store, study: Study) -> None:
    own = [replace(cell, config=replace(cell.config, activation="torch.nn.functional:gelu")) for cell in study.cells]
    named = replace(study, cells=tuple(own))
    leave(store, named)
    assert not done(named)


MEANWHILE: dict[str, Meanwhile] = {
    "a measurement": lambda store, runs: (root_of(runs[0]) / "onset.parquet").write_bytes(b"x"),
    "a metric": lambda store, runs: store.client.log_metric(runs[0].run_id, "rho_epoch", 7),
    "a run deleted": lambda store, runs: store.client.delete_run(failed(store)),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE.keys())
def test_what_changed_while_the_tables_were_made_is_looked_through(store: Store, study: Study, meanwhile: Meanwhile) -> None:
    leave(store, study, meanwhile)
    assert not done(study)


def test_so_is_what_has_tables_of_other_runs(store: Store, study: Study) -> None:
    leave(store, study, used=1)
    assert not done(study)


def test_a_run_that_was_changed_or_broken_before_is_looked_through(store: Store, study: Study) -> None:
    """Of what the store and the file system say, nothing has changed since."""
    _, runs = leave(store, study)
    path = root_of(runs[0]) / "delta_w" / "band.npz"
    before = path.stat()
    broken(path, 80)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert not done(study)
    broken(path, 80)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert done(study)


def test_so_is_a_run_whose_params_were_changed_before_the_tables_were_made(store: Store, study: Study) -> None:
    wrong = replace(study.cells[0].config, seed=7)
    run = leave_run(store, study, replace(study.cells[0], config=wrong))
    run.set_tags({CONFIG_HASH: study.cells[0].config.hash})
    assert store.get(run.run_id).edited
    parent = leave_parent(store, study, [run, leave_run(store, study, study.cells[1])])
    assert store.get(parent.run_id).get(LEFT)
    assert not done(study)


@pytest.mark.parametrize(
    "flag", [["--force"], ["--register", "m"], ["--backend", "dask"], ["--workers", "-1"], ["--system-metrics"]], ids=" ".join
)
def test_flags_that_ask_for_more_are_heard(
    store: Store, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: list[str]
) -> None:
    from entry_points import found
    from entry_points import study as command

    leave(store, study)
    monkeypatch.setattr(command, "_train", lambda flags, study, code: 7)
    monkeypatch.setattr(found, "check_store_flags", lambda flags: None)
    words = ["--study", str(tmp_path / "own.yaml")]
    assert command.main(words) == 0
    assert command.main([*words, *flag]) == 7

"""A study that is asked for again: told at once where nothing has changed, and looked through where anything has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grok.spec.studies import Study, load_file
from grok.store import unchanged
from grok.store.moved import local_path
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import (
    CODE_DIRTY,
    CODE_VERSION,
    CONFIG_HASH,
    FORCED,
    FOUND,
    GRID_HASH,
    KIND,
    LEFT,
    PROTOCOL,
    STUDY_NAME,
    study_tag,
)
from tests.helpers.left import leave_files

RUNS = "{condition: a, modulus: 7, width: 16, epochs: 30, top_pairs: 20, seed: 0..1}"
OWN = f"two:\n  sentence: Two.\n  source: ours\n  runs: [{RUNS}]\n"
TELLING = """
import sys
from grok.store import unchanged
unchanged.code_tags = lambda: {"code_version": "1", "code_dirty": "false"}
from entry_points.study import main
status = main(sys.argv[1:])
sys.exit(status + len({"torch", "mlflow", "pandas", "matplotlib"} & set(sys.modules)))
"""


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The version of the code, to be changed."""
    tags = {CODE_VERSION: "1", CODE_DIRTY: "false"}
    monkeypatch.setattr(unchanged, "code_tags", lambda: dict(tags))
    return tags


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    return load_file(path)["two"]


def leave(store: Store, study: Study) -> tuple[TrackedRun, list[TrackedRun]]:
    """A study as a command leaves it: two finished runs, and the parent with a table."""
    runs = []
    for cell in study.cells:
        run = store.create("cell", {KIND: "train", CONFIG_HASH: cell.config.hash, PROTOCOL: "1"})
        run.set_tags({study_tag(study.name): cell.condition})
        leave_files(run, cell.config)
        run.end("complete")
        runs.append(run)
    tags = {KIND: "study", STUDY_NAME: study.name, GRID_HASH: study.hash, PROTOCOL: "1", FOUND: "It is so."}
    parent = store.create("study", tags)
    parent.put_json("grid.json", {"cells": 2})
    parent.set_tags({LEFT: unchanged.left(study, "It is so.", parent.run_id)})
    parent.end("complete")
    return parent, runs


def root_of(run: TrackedRun) -> Path:
    root = local_path(run.stored.artifact_uri)
    assert root is not None
    return root


def test_it_is_told_without_torch_mlflow_pandas_and_matplotlib(
    store: Store, study: Study, code: dict[str, str], tmp_path: Path
) -> None:
    assert unchanged.done(study) is None  # not yet
    parent, _ = leave(store, study)
    words = ["--study", str(tmp_path / "own.yaml")]
    told = subprocess.run([sys.executable, "-c", TELLING, *words], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    line = f"run={parent.run_id} study=own/two state=complete cells=2 trained=0 reused=2 open=0 seconds=0"
    assert told.stdout.splitlines() == [line]
    assert "2 runs were complete already and reused\nIt is so.\nLook: mlflow ui" in told.stderr
    assert "All studies: " in told.stderr


def broken(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


Change = Callable[[Store, TrackedRun, list[TrackedRun]], Any]
CHANGES: dict[str, Change] = {
    "a bit of the parent's file": lambda store, parent, runs: broken(root_of(parent) / "grid.json"),
    "the parent's file gone": lambda store, parent, runs: (root_of(parent) / "grid.json").unlink(),
    "another file of the parent": lambda store, parent, runs: (root_of(parent) / "more.txt").write_text("x"),
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
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_has_changed_is_looked_through(store: Store, study: Study, code: dict[str, str], change: Change) -> None:
    parent, runs = leave(store, study)
    assert unchanged.done(study) is not None
    change(store, parent, runs)
    assert unchanged.done(study) is None


def test_so_is_a_newer_run_of_a_cell(store: Store, study: Study, code: dict[str, str]) -> None:
    leave(store, study)
    run = store.create("again", {KIND: "train", CONFIG_HASH: study.cells[0].config.hash, PROTOCOL: "1"})
    run.set_tags({study_tag(study.name): "a"})
    leave_files(run, study.cells[0].config)
    run.end("complete")
    assert unchanged.done(study) is None


def test_so_is_what_other_code_or_other_words_made(store: Store, study: Study, code: dict[str, str]) -> None:
    leave(store, study)
    assert unchanged.done(replace(study, sentence="Others.")) is None
    assert unchanged.done(replace(study, windows=(5,))) is None
    code[CODE_VERSION] = "2"
    assert unchanged.done(study) is None
    code |= {CODE_VERSION: "1", CODE_DIRTY: "true"}
    assert unchanged.done(study) is None
    code[CODE_DIRTY] = "false"
    assert unchanged.done(study) is not None


@pytest.mark.parametrize(
    "flag", [["--force"], ["--register", "m"], ["--backend", "dask"], ["--workers", "-1"], ["--system-metrics"]], ids=" ".join
)
def test_flags_that_ask_for_more_are_heard(
    store: Store, study: Study, code: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: list[str]
) -> None:
    from entry_points import found
    from entry_points import study as command

    leave(store, study)
    monkeypatch.setattr(command, "_train", lambda flags, study: 7)
    monkeypatch.setattr(found, "check_store_flags", lambda flags: None)
    words = ["--study", str(tmp_path / "own.yaml")]
    assert command.main(words) == 0
    assert command.main([*words, *flag]) == 7

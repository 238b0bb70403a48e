"""Studies on tiny grids: what is done is reused, what stopped goes on, and the parent run says what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grok.numerics.series import fire_epoch
from grok.numerics.spectra import gap, rolling_eigenvalues
from grok.runs import stopping, train
from grok.runs import study as study_runs
from grok.runs.cells import Result
from grok.runs.fanout import Fanout
from grok.spec.artifacts import HISTORY
from grok.spec.config import PROTOCOL_VERSION
from grok.spec.studies import Study, load_study
from grok.store import glance, unchanged
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import CONFIG_HASH, KIND, PROTOCOL, STATE, TRAIN, study_tag
from tests.conftest import TINY
from tests.helpers.left import leave_files
from tests.runs.conftest import GRID, training_runs


def must_not_train(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("trained")


def test_a_study_from_start_to_reuse(store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write()
    first = study(path)
    assert first.status == 0
    assert {k: first.words[k] for k in ("study", "state", "cells", "trained", "reused", "open")} == {
        "study": "own/tiny",
        "state": "complete",
        "cells": "3",
        "trained": "3",
        "reused": "0",
        "open": "0",
    }
    parent = store.get(first.words["run"])
    runs = training_runs(store)
    assert len(runs) == 3
    for run in runs:
        assert run.tags["mlflow.parentRunId"] == parent.run_id
        condition = "eta0" if float(run.params["weight_decay"]) == 0 else "grok"
        assert run.tags["grok.study.own/tiny"] == condition

    monkeypatch.setattr(train, "train_tracked", must_not_train)
    look = unchanged.done
    monkeypatch.setattr(unchanged, "done", lambda study, code: None)  # it is looked through
    second = study(path)
    assert second.status == 0
    assert second.words["run"] == parent.run_id
    before, after = (dict(run.tags) for run in (parent, store.get(parent.run_id)))
    assert float(before["grok.wall_s"]) == float(before["grok.wall_last_s"]) > float(after["grok.wall_last_s"])
    assert after["grok.wall_s"] == before["grok.wall_s"]  # what the study took, whatever looking at it again takes
    assert (second.words["trained"], second.words["reused"], second.words["open"]) == ("0", "3", "0")
    assert "3 runs were complete already and reused" in second.err
    assert {r.run_id for r in training_runs(store)} == {r.run_id for r in runs}

    monkeypatch.setattr(unchanged, "done", look)
    third = study(path)
    assert third.words | {"seconds": ""} == second.words | {"seconds": ""}
    assert [line for line in second.err.splitlines() if line not in third.err] == []
    assert dict(store.get(parent.run_id).tags) == after  # nothing was written


def test_parent_run_has_the_studys_results(store: Any, write: Any, study: Any, tmp_path: Path) -> None:
    answer = study(write(windows=[5, 10]))
    parent = store.get(answer.words["run"])
    tags = parent.tags
    assert {k: tags[f"grok.{k}"] for k in ("kind", "study", "state", "progress_cells", "progress_done", "progress_failed")} == {
        "kind": "study",
        "study": "own/tiny",
        "state": "complete",
        "progress_cells": "3",
        "progress_done": "3",
        "progress_failed": "0",
    }
    assert parent.status == "FINISHED"
    tracked = TrackedRun(store.client, parent.run_id)
    assert set(tracked.list_files("")) == {
        "conditions.csv",
        "grid.json",
        "repulsion.csv",
        "runs.csv",
        "runs.parquet",
        "summary.md",
    }
    series = tracked.get_file("figures/series.png", tmp_path)
    assert series.read_bytes().startswith(b"\x89PNG")
    assert tracked.list_files("figures") == ["figures/repulsion.png", "figures/series.png"]
    runs = pd.read_csv(tracked.get_file("runs.csv", tmp_path))
    pd.testing.assert_frame_equal(
        runs[["run_id", "window", "fire_epoch"]],
        pd.read_parquet(tracked.get_file("runs.parquet", tmp_path))[["run_id", "window", "fire_epoch"]],
        check_dtype=False,
    )
    assert len(runs) == 6  # three runs, two windows
    conditions = pd.read_csv(tracked.get_file("conditions.csv", tmp_path))
    rows = set(zip(conditions["condition"], conditions["window"], conditions["runs"], strict=True))
    assert rows == {("grok", 5, 2), ("grok", 10, 2), ("eta0", 5, 1), ("eta0", 10, 1)}
    summary = tracked.get_file("summary.md", tmp_path).read_text(encoding="utf-8")
    assert summary == tags["mlflow.note.content"].replace("&emsp;", "")  # which keeps columns apart in the UI
    assert summary.startswith("**The detector fires in: grok 2 of 2 (median epoch 43), eta0 0 of 1.**\n\nTiny.")
    assert "Source: ours. 3 of 3 runs are complete (3 trained, 0 reused" in summary
    assert "| condition | weight_decay | w = 5 | w = 10 |" in summary
    assert "| grok | rate | " in summary
    assert "nan" not in summary.lower()


def test_windows_table_is_detection_on_the_bands(store: Any, write: Any, study: Any, tmp_path: Path) -> None:
    answer = study(write([("grok", {"seed": "0..1"})], windows=[4, 6, 12]))
    tracked = TrackedRun(store.client, answer.words["run"])
    table = pd.read_parquet(tracked.get_file("runs.parquet", tmp_path))
    fired: dict[int, list[float]] = {}
    for row in table.to_dict("records"):
        run = TrackedRun(store.client, row["run_id"])
        with np.load(run.get_file("delta_w/band.npz", tmp_path)) as band:
            series = gap(rolling_eigenvalues(band["w"], row["window"], 3), 2, row["window"])
        found = fire_epoch(series, TINY.slope_lag, TINY.slope_threshold, TINY.first_epoch)
        assert row["fired"] == (found is not None)
        assert np.array_equal(row["fire_epoch"], np.nan if found is None else found, equal_nan=True)
        fired.setdefault(row["window"], []).append(row["fire_epoch"])
        if row["window"] == TINY.window:  # what the run itself measured
            assert store.get(row["run_id"]).metrics.get("fire_epoch") == found
    assert set(fired) == {4, 6, 12}
    assert len({str(epochs) for epochs in fired.values()}) > 1  # the window matters


def test_force_trains_anew_and_the_summary_counts_the_new(store: Any, write: Any, study: Any) -> None:
    path = write([("grok", {"seed": "0..1"})])
    study(path)
    before = {run.run_id for run in training_runs(store)}
    answer = study(path, "--force")
    assert (answer.words["trained"], answer.words["reused"]) == ("2", "0")
    after = {run.run_id for run in training_runs(store)}
    assert before < after
    assert len(after) == 4
    note = store.get(answer.words["run"]).tags["mlflow.note.content"].replace("&emsp;", "")
    assert "Not counted: 2 × an older run of the same config." in note
    assert "| grok | 2 |" in note


def test_force_that_was_stopped_is_finished_by_the_same_command(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, step, asked = write([("grok", {"seed": "0..1"})]), stopping.Poll.__call__, [0]
    study(path)
    before = {run.run_id for run in training_runs(store)}

    def stop_in_the_second(self: Any) -> bool:
        asked[0] += 1
        self.stopped = self.stopped or asked[0] > 100
        return step(self)

    monkeypatch.setattr(stopping.Poll, "__call__", stop_in_the_second)
    first = study(path, "--force")
    assert (first.status, first.words["trained"], first.words["open"]) == (130, "1", "1")
    monkeypatch.setattr(stopping.Poll, "__call__", step)
    made = {run.run_id for run in training_runs(store)} - before
    second = study(path, "--force")
    assert (second.status, second.words["trained"], second.words["reused"]) == (0, "1", "1")
    assert second.words["run"] == first.words["run"]
    assert {run.run_id for run in training_runs(store)} - before == made  # went on with its own, and left the older
    parent = study_runs.open_parent(store, load_study(path), force=True)
    assert parent.run_id != first.words["run"]  # that one is complete: a new order


def test_a_study_whose_networks_cannot_be_registered_is_ended(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("grok.store.register.register", refuse)
    path = write([("grok", {"seed": 0})])
    assert study(path, "--register", "networks").status == 1
    (parent,) = store.find({KIND: "study"})
    assert (parent.state, parent.status) == ("failed", "FAILED")


def test_cells_of_a_worker_that_died_are_told_before_they_are_tried_again(
    store: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, told, rounds = load_study(write([("grok", {"seed": "0..1"})])), [], []

    def work(self: Fanout, task: Any, payloads: Any) -> Any:
        rounds.append(len(payloads))
        cells = [cell for payload in payloads for cell in payload.cells]
        yield [Result(cell, "complete", "r") for cell in cells if cell.config.seed == 1 or len(rounds) == 2]

    monkeypatch.setattr(Fanout, "map", work)
    parent = study_runs.open_parent(store, loaded, force=False)
    study_runs.run_study(
        loaded, store, Fanout("sequential"), parent=parent, report=lambda r: told.append((r.cell.config.seed, r.state))
    )
    assert told == [(1, "complete"), (0, "worker died, tried again"), (0, "complete")]
    assert rounds == [2, 1]


def test_grid_of_the_parent_follows_its_words(store: Any, write: Any) -> None:
    first = study_runs.open_parent(store, load_study(write()), force=False)
    second = study_runs.open_parent(store, load_study(write(sentence="Other.", windows=[5])), force=False)
    assert second.run_id == first.run_id
    stored = study_runs._stored(second, "grid.json")
    assert (stored["sentence"], stored["windows"]) == ("Other.", [5])


def test_longest_groups_come_first(write: Any) -> None:
    path = write([("a", {"seed": "0..2"}), ("b", {"epochs": 640, "seed": 3}), ("c", {"seed": 4})])
    groups = study_runs._groups(load_study(path).cells, 3)
    assert [[cell.config.seed for cell in group] for group in groups] == [[3], [0, 1, 2], [4]]


def test_reused_run_of_another_study_joins_this_one(store: Any, write: Any, study: Any, finish: Any, tiny: Any) -> None:
    run_id = finish(store, tiny(seed=0)).outcome.run_id
    answer = study(write([("grok", {"seed": "0..1"})]))
    assert (answer.words["trained"], answer.words["reused"]) == ("1", "1")
    assert store.get(run_id).tags["grok.study.own/tiny"] == "grok"
    assert "| grok | 2 |" in store.get(answer.words["run"]).tags["mlflow.note.content"].replace("&emsp;", "")


def test_groups_differ_in_the_seed_only(write: Any) -> None:
    path = write([("a", {"seed": "0..4"}), ("b", {"seed": "5..6"}), ("a", {"seed": "7..8", "save_every": 0})])
    cells = load_study(path).cells
    groups = study_runs._groups(cells, 3)
    seeds = [[cell.config.seed for cell in group] for group in groups]
    assert seeds == [[0, 1, 2], [3, 4], [5, 6], [7, 8]]
    assert [len(group) for group in study_runs._groups(cells, 1)] == [1] * 9


def test_plan_shows_the_grid_and_makes_nothing(store: Any, write: Any, study: Any) -> None:
    answer = study(write(), "--plan")
    lines = answer.out.splitlines()
    assert answer.status == 0
    assert [line.split(":")[0] for line in lines[:-1]] == ["grok", "grok", "eta0"]
    assert lines[-1].startswith("study=own/tiny cells=3 cost=0.0 runs")
    assert not store.client.search_runs([e.experiment_id for e in store.client.search_experiments()])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--study", "headlin"], "study must be a known name, got headlin. Did you mean headline? Known: quick, headline"),
        (["--backend", "ray"], "backend must be one of loky, dask, sequential, got ray"),
        (["--backend", "dask"], "scheduler must be given with backend dask"),
        (["--scheduler", "tcp://127.0.0.1:1"], "scheduler must be given with backend dask and only then"),
        (["--backend", "dask", "--scheduler", "nonsense"], "scheduler must be the address of a Dask scheduler"),
        (["--workers", "-1"], "workers must be a whole number ≥ 0, got -1"),
        (["--workers", "two"], "workers must be a whole number, got 'two'"),
        (["--seeds-at-once", "-1"], "seeds_at_once must be a whole number ≥ 0, got -1"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_run(store: Any, write: Any, study: Any, flags: list[str], said: str) -> None:
    answer = study(write(), *flags)
    assert answer.status == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not store.client.search_runs([e.experiment_id for e in store.client.search_experiments()])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"activation": "nowhere:f"}, "activation must name an importable function"),
        ({"seed": 9, "device": "cuda:7"}, "device must be"),
    ],
)
def test_cell_that_cannot_be_trained_makes_no_run(
    store: Any, write: Any, study: Any, changes: dict[str, str], said: str
) -> None:
    answer = study(write([*GRID, ("x", changes)]))
    assert answer.status == 2
    assert said in answer.err
    assert not store.find({"kind": "study"})


@pytest.mark.slow
def test_scheduler_that_does_not_answer(store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    answer = study(write(), "--backend", "dask", "--scheduler", "tcp://127.0.0.1:1")
    assert answer.status == 2
    assert "scheduler must be the address of a Dask scheduler that answers, got tcp://127.0.0.1:1" in answer.err
    assert not store.find({"kind": "study"})


def test_study_of_a_mlflow_run_is_its_run(store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write([("grok", {"seed": 0})])
    made = [store.client.create_run(store.experiment_id).info.run_id for _ in range(2)]
    monkeypatch.setenv("MLFLOW_RUN_ID", made[0])
    assert study(path).words["run"] == made[0]
    monkeypatch.setenv("MLFLOW_RUN_ID", made[1])
    assert study(path).words["run"] == made[0]
    assert store.get(made[1]).tags["grok.points_to"] == made[0]
    (run,) = training_runs(store)
    assert run.run_id not in made


def test_whole_study_type_is_picklable(write: Any) -> None:
    import pickle

    loaded: Study = load_study(write())
    assert pickle.loads(pickle.dumps(loaded)) == loaded


@pytest.mark.parametrize("server", [False, True])
def test_of_finished_runs_of_a_cell_a_study_takes_its_own_and_else_the_newest(
    store: Store, monkeypatch: pytest.MonkeyPatch, server: bool
) -> None:
    study = load_study("quick")
    own = {KIND: TRAIN, CONFIG_HASH: study.cells[0].config.hash, PROTOCOL: PROTOCOL_VERSION}
    made = []
    for name, state, more in (
        ("member", "complete", {study_tag("quick"): "grok"}),
        ("newer", "complete", {}),
        ("stopped", "interrupted", {study_tag("quick"): "grok"}),
    ):
        run = store.create(name, own | {STATE: state} | more)
        leave_files(run, study.cells[0].config)
        run.end(state)
        made.append(run.run_id)
    if server:
        monkeypatch.setattr(glance, "find", lambda *given, **named: None)
    config_hash = study.cells[0].config.hash
    for but in range(2):
        found, unsound = study_runs._prior(store, study, made[:but])
        assert (found[config_hash].run_id, unsound) == (made[but], frozenset())
    assert study_runs._prior(store, study, made[:2]) == ({}, frozenset())
    (Path(str(TrackedRun(store.client, made[0])._root)) / HISTORY).unlink()
    found, unsound = study_runs._prior(store, study, ())
    assert unsound == {made[0]}
    assert [run.run_id for run in found.values()] == ([] if server else [made[1]])  # which a server gives to the cell's worker

"""Studies on tiny grids: what is done is reused, what stopped goes on, and the parent run says what became of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from entry_points import cli
from grok.numerics.series import fire_epoch
from grok.numerics.spectra import gap, rolling_eigenvalues
from grok.runs import stopping, train
from grok.runs import study as study_runs
from grok.runs.cells import Result
from grok.runs.fanout import Fanout
from grok.spec.config import RunConfig
from grok.spec.studies import Study, load_study
from grok.store.errors import BusyError
from grok.store.prior import find_prior
from grok.store.run import TrackedRun
from grok.store.tags import PREFIX, STOP
from grok.training.loop import Training
from tests.conftest import TINY, Answer

GRID = [("grok", {"seed": "0..1"}), ("eta0", {"weight_decay": "0.0", "seed": 0})]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """`write(blocks, **keys)`: a study file of tiny runs; returns its path."""

    def make(blocks: list[tuple[str, dict[str, Any]]] = GRID, **keys: Any) -> str:
        base = {k: v for k, v in TINY.to_strings().items() if v != RunConfig().to_strings()[k]}
        runs = [{"condition": condition, **base, **changes} for condition, changes in blocks]
        text = {"tiny": {"sentence": "Tiny.", "source": "ours", "runs": runs, **keys}}
        path = tmp_path / "own.yaml"
        path.write_text(repr(text), encoding="utf-8")
        return str(path)

    return make


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`study(path, *flags)`: the study command line in this process, sequential unless said otherwise."""
    from entry_points import study

    monkeypatch.setattr("analysis.figures.run_figures", lambda *tables: {})  # tested elsewhere; half of a tiny run's time

    def run(path: str, *flags: str) -> Answer:
        backend = () if "--backend" in flags else ("--backend", "sequential")
        monkeypatch.setattr(sys, "argv", ["study", "--study", path, *backend, *flags])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.run_main(study.main)
        text = capsys.readouterr()
        return Answer(left.value.code if isinstance(left.value.code, int) else 1, text.out, text.err)

    return run


def training_runs(store: Any) -> list[Any]:
    return store.find({"kind": "train"})


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
    second = study(path)
    assert second.status == 0
    assert second.words["run"] == parent.run_id
    before, after = (dict(run.tags) for run in (parent, store.get(parent.run_id)))
    assert float(before["grok.wall_s"]) == float(before["grok.wall_last_s"]) > float(after["grok.wall_last_s"])
    assert after["grok.wall_s"] == before["grok.wall_s"]  # what the study took, whatever looking at it again takes
    assert (second.words["trained"], second.words["reused"], second.words["open"]) == ("0", "3", "0")
    assert "3 runs were complete already and are reused" in second.err
    assert {r.run_id for r in training_runs(store)} == {r.run_id for r in runs}


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
    assert summary == tags["mlflow.note.content"]
    assert summary.startswith("**Tiny.**\n\nSource: ours. 3 of 3 runs are complete (3 trained, 0 reused")
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
    note = store.get(answer.words["run"]).tags["mlflow.note.content"]
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


def test_failed_cell_is_retried_and_the_others_stay(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = write(), train.train_tracked
    tries = []

    def failing(configs: Any, *args: Any, **kwargs: Any) -> Any:
        if configs[0].seed == 1:
            tries.append(1)
            raise RuntimeError("no space left\non device")
        return whole(configs, *args, **kwargs)

    monkeypatch.setattr(train, "train_tracked", failing)
    first = study(path)
    assert first.status == 1
    assert (first.words["state"], first.words["trained"], first.words["open"]) == ("failed", "2", "1")
    assert len(tries) == study_runs.ROUNDS
    assert "RuntimeError: no space left on device" in first.err
    parent = store.get(first.words["run"])
    assert (parent.status, parent.tags["grok.progress_failed"]) == ("FAILED", "1")
    assert "no space left on device" in parent.tags["mlflow.note.content"]
    monkeypatch.setattr(train, "train_tracked", whole)
    second = study(path)
    assert (second.status, second.words["trained"], second.words["reused"]) == (0, "1", "2")
    assert store.get(first.words["run"]).tags["grok.progress_failed"] == "0"


def test_failure_in_mid_run_goes_on_from_the_save(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch, contents: Any, tiny: Any
) -> None:
    (reference,) = train.train_tracked([tiny(seed=1)], store)
    store.client.set_tag(reference.run_id, "grok.kind", "hidden")  # only here to compare with
    save, calls = train._Loop._save, []

    def failing(self: Any) -> None:
        save(self)
        calls.append(self.training.epoch)
        if len(calls) == 2:
            self.background.wait()
            raise OSError("once")

    monkeypatch.setattr(train._Loop, "_save", failing)
    answer = study(write([("grok", {"seed": 1})]))
    assert (answer.status, answer.words["trained"]) == (0, "1")
    assert calls == [16, 32, 48]  # not from the start: nothing was done twice
    (run,) = training_runs(store)
    assert run.tags["grok.state"] == "complete"
    contents(store, run.run_id).assert_same(contents(store, reference.run_id))


def test_stopped_study_is_finished_by_the_same_command(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, step = write(), stopping.Poll.__call__
    asked = []

    def stop_at_40(self: Any) -> bool:
        asked.append(1)
        self.stopped = self.stopped or len(asked) > 40 + 66  # in the second run
        return step(self)

    monkeypatch.setattr(stopping.Poll, "__call__", stop_at_40)
    monkeypatch.setattr(study_runs, "ROUNDS", 1)
    first = study(path)
    assert (first.status, first.words["state"], first.words["trained"]) == (130, "interrupted", "1")
    states = sorted(run.tags["grok.state"] for run in training_runs(store))
    assert states[0] == "complete"
    assert set(states[1:]) == {"interrupted"}
    assert store.get(first.words["run"]).info.status == "KILLED"
    asked.clear()
    monkeypatch.setattr(stopping.Poll, "__call__", step)
    second = study(path)
    assert (second.status, second.words["trained"], second.words["reused"]) == (0, "2", "1")
    assert {run.tags["grok.state"] for run in training_runs(store)} == {"complete"}
    assert len(training_runs(store)) == 3


def test_a_stop_reaches_the_workers_by_a_tag_which_then_goes(store: Any, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "POLL_S", 0.0)
    loaded = load_study(write())
    parent = study_runs.open_parent(store, loaded, force=False)
    seen: list[str] = []

    def report(result: Result) -> None:
        seen.append(result.state)

    results = study_runs.run_study(
        loaded, store, Fanout("sequential"), parent=parent, report=report, should_stop=lambda: bool(seen)
    )
    states = [result.state for result in results]
    assert states[0] == "complete"
    assert states[1] == "interrupted"  # the tag came while it trained
    assert states[2:] == ["missing"]
    assert not any(result.failed for result in results)
    assert not [tag for tag in store.get(parent.run_id).tags if tag.startswith(PREFIX + STOP)]


def test_stop_of_another_command_is_not_ours(store: Any, write: Any) -> None:
    loaded = load_study(write([("grok", {"seed": 0})]))
    parent = study_runs.open_parent(store, loaded, force=False)
    parent.set_tags({STOP + "other": "1"})
    (result,) = study_runs.run_study(loaded, store, Fanout("sequential"), parent=parent)
    assert result.state == "complete"


VOLATILE = (
    "heartbeat",
    "process",
    "session",
    "claim",
    "resumed_with",
    "mlflow.note.content",
    "mlflow.parentRunId",
    "code_version",
    "code_dirty",
)


def test_study_stopped_at_random_moments_ends_as_one_that_was_not(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch, contents: Any, tmp_path: Path
) -> None:
    path, step = write([("grok", {"seed": 0}), ("eta0", {"weight_decay": "0.0", "seed": 0})]), stopping.Poll.__call__
    left, rng, statuses = [0], np.random.default_rng(), []

    def stop(self: Any) -> bool:
        left[0] -= 1
        self.stopped = self.stopped or left[0] < 0
        return step(self)

    def kept(answer: Answer) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the store has of the runs and of the parent, without ids, times and who trained them."""
        runs = {}
        for run in training_runs(store):
            tags = {k: v for k, v in run.tags.items() if k.removeprefix("grok.") not in VOLATILE}
            runs[run.tags["grok.config_hash"]] = (tags, run.params, run.status, contents(store, run.run_id))
        tracked = TrackedRun(store.client, answer.words["run"])
        files = [*tracked.list_files(""), *tracked.list_files("figures")]
        tables = {
            name: pd.read_csv(tracked.get_file(name, tmp_path)).drop(columns=["run_id", "elapsed_s"], errors="ignore")
            for name in files
            if name.endswith(".csv")
        }
        tags = {k: v for k, v in store.get(tracked.run_id).tags.items() if "progress" in k or k == "grok.state"}
        return runs, {"files": files, "tables": tables, "tags": tags | {"grok.progress_reused": ""}}

    monkeypatch.setattr(stopping.Poll, "__call__", stop)
    while not statuses or statuses[-1] == 130:
        left[0] = int(rng.integers(20, 90))
        answer = study(path)
        statuses.append(answer.status)
        assert len(statuses) < 60
    assert (statuses[-1], set(statuses[:-1])) == (0, {130})
    runs, parent = kept(answer)
    monkeypatch.setattr(stopping.Poll, "__call__", step)
    for run in (*training_runs(store), *store.find({"kind": "study"})):
        store.client.delete_run(run.run_id)
    other_runs, other_parent = kept(study(path))
    assert runs.keys() == other_runs.keys()
    for key, (*facts, content) in runs.items():
        *other_facts, other_content = other_runs[key]
        assert facts == other_facts
        content.assert_same(other_content)
    assert {k: parent[k] for k in ("files", "tags")} == {k: other_parent[k] for k in ("files", "tags")}
    for name, table in parent["tables"].items():
        pd.testing.assert_frame_equal(table, other_parent["tables"][name], check_exact=True, obj=name)


def test_diverged_cell_is_done_and_has_its_epoch(store: Any, write: Any, study: Any, tmp_path: Path) -> None:
    path = write([("calm", {"seed": "0..1"}), ("wild", {"optimizer": "sgd", "learning_rate": "1e9", "seed": "0..1"})])
    first = study(path)
    assert (first.status, first.words["state"], first.words["trained"]) == (0, "complete", "4")
    wild = [run for run in training_runs(store) if run.tags["grok.state"] == "diverged"]
    assert len(wild) == 2
    epochs = sorted(run.metrics["diverged_epoch"] for run in wild)
    tracked = TrackedRun(store.client, first.words["run"])
    summary = tracked.get_file("summary.md", tmp_path).read_text(encoding="utf-8")
    assert f"| 2 (epoch {epochs[0]:.0f}) |" in summary
    assert "nan" not in summary.lower()
    for name in ("runs.csv", "conditions.csv"):
        assert "nan" not in tracked.get_file(name, tmp_path).read_text(encoding="utf-8").lower()
    assert study(path).words["reused"] == "4"


def test_cell_whose_run_ends_before_the_window_is_full(store: Any, write: Any, study: Any) -> None:
    answer = study(write([("short", {"epochs": 3, "checkpoint_epochs": "3", "seed": 0})]))
    assert (answer.status, answer.words["state"]) == (0, "complete")
    note = store.get(answer.words["run"]).tags["mlflow.note.content"]
    assert "| short | 1 | 0/1 | " in note
    assert "nan" not in note


def test_reused_run_of_another_study_joins_this_one(store: Any, write: Any, study: Any, finish: Any, tiny: Any) -> None:
    run_id = finish(store, tiny(seed=0)).outcome.run_id
    answer = study(write([("grok", {"seed": "0..1"})]))
    assert (answer.words["trained"], answer.words["reused"]) == ("1", "1")
    assert store.get(run_id).tags["grok.study.own/tiny"] == "grok"
    assert "| grok | 2 |" in store.get(answer.words["run"]).tags["mlflow.note.content"]


def test_lockstep_seeds_agree_with_single_runs(store: Any, write: Any, study: Any, contents: Any) -> None:
    path = write([("grok", {"seed": "0..2"})])
    assert study(path).status == 0
    single = {run.params["seed"]: run for run in training_runs(store)}
    answer = study(path, "--force", "--seeds-at-once", "2")
    assert (answer.status, answer.words["trained"]) == (0, "3")
    old = {run.run_id for run in single.values()}
    grouped = {run.params["seed"]: run for run in training_runs(store) if run.run_id not in old}
    assert grouped.keys() == single.keys()
    for seed, run in grouped.items():
        assert run.tags["mlflow.parentRunId"] == answer.words["run"]
        assert run.metrics.get("fire_epoch") == single[seed].metrics.get("fire_epoch")
        ours, theirs = (contents(store, r.run_id).tables["history.parquet"] for r in (run, single[seed]))
        assert list(ours.columns) == list(theirs.columns)
        for name in ("loss/train", "loss/test", "accuracy/test", "norm/w"):
            # float32 sums in another order: 2⁻²⁴ a term, grown by 64 steps of training
            np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-3, err_msg=f"{name}, seed {seed}")
    assert single["0"].metrics["loss/test"] != single["1"].metrics["loss/test"]  # seeds are told apart


def test_group_that_stopped_goes_on_as_a_group(
    store: Any, write: Any, study: Any, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, step, work = write([("grok", {"seed": "0..2"})]), stopping.Poll.__call__, train.train_tracked
    assert study(path, "--seeds-at-once", "2").status == 0
    whole = {run.params["seed"]: contents(store, run.run_id) for run in training_runs(store)}
    for run in training_runs(store):
        store.client.delete_run(run.run_id)
    groups: list[list[str]] = []

    def counted(configs: Any, *args: Any, **kwargs: Any) -> Any:
        groups.append([config.seed for config in configs])
        return work(configs, *args, **kwargs)

    def stop_at_40(self: Any) -> bool:
        asked.append(1)
        self.stopped = len(asked) > 40
        return step(self)

    asked: list[int] = []
    monkeypatch.setattr(train, "train_tracked", counted)
    monkeypatch.setattr(stopping.Poll, "__call__", stop_at_40)
    assert study(path, "--seeds-at-once", "2").status == 130
    ids = {run.run_id for run in training_runs(store)}
    assert len(ids) == 2
    monkeypatch.setattr(stopping.Poll, "__call__", step)
    assert study(path, "--seeds-at-once", "3").status == 0
    assert groups == [[0, 1], [0, 1], [2]]  # the third has no saved state, and trains on its own
    runs = training_runs(store)
    assert ids < {run.run_id for run in runs}
    for run in runs:
        contents(store, run.run_id).assert_same(whole[run.params["seed"]])


def test_cells_that_another_command_trains_come_last_and_are_adopted(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "POLL_S", 0.0)
    whole = train.train_tracked
    trained: list[int] = []

    def find(store: Any, config: RunConfig, *args: Any) -> Any:
        if config.seed == 0 and len(trained) < 3:
            if len(trained) == 2 and config.weight_decay:
                trained.append(0)
                whole([config], store)  # the other command gets there in the meantime
            raise BusyError("held")
        return find_prior(store, config, *args)

    def counted(configs: Any, *args: Any, **kwargs: Any) -> Any:
        trained.extend(config.seed for config in configs)
        return whole(configs, *args, **kwargs)

    monkeypatch.setattr("grok.store.lease.find_prior", find)
    monkeypatch.setattr(train, "train_tracked", counted)
    answer = study(write([("grok", {"seed": "0..2"})]))
    assert (answer.status, answer.words["trained"], answer.words["reused"]) == (0, "2", "1")
    assert trained == [1, 2, 0]
    assert len(training_runs(store)) == 3


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
        (["--study", "headlin"], "study must be one of quick, headline"),
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


def test_scheduler_that_does_not_answer(store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    answer = study(write(), "--backend", "dask", "--scheduler", "tcp://127.0.0.1:1")
    assert answer.status == 2
    assert "scheduler must be the address of a Dask scheduler that answers, got tcp://127.0.0.1:1" in answer.err
    assert not store.find({"kind": "study"})


def test_threads_of_a_cell_are_kept(store: Any, write: Any, study: Any) -> None:
    study(write([("grok", {"threads": 2, "seed": 0})]))
    (run,) = training_runs(store)
    assert run.params["threads"] == "2"


@pytest.mark.parametrize("stop", [10, 30])  # before its first save, and after
def test_run_goes_on_with_the_threads_it_began_with(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    path, step = write([("grok", {"threads": "auto", "seed": "0..1"})]), stopping.Poll.__call__
    used, asked = [], []
    init = Training.__init__

    def stopped(self: Any) -> bool:
        asked.append(1)
        self.stopped = len(asked) > stop
        return step(self)

    def noted(self: Any, *arguments: Any) -> None:
        init(self, *arguments)
        used.append((self.problems[0].train_pairs.sum().item(), torch.get_num_threads()))

    monkeypatch.setattr(Training, "__init__", noted)
    monkeypatch.setattr(stopping.Poll, "__call__", stopped)
    monkeypatch.setattr(Fanout, "threads", lambda self: 1)
    assert study(path).status == 130
    monkeypatch.setattr(stopping.Poll, "__call__", step)
    monkeypatch.setattr(Fanout, "threads", lambda self: 2)
    try:
        assert study(path, "--seeds-at-once", "2").status == 0
    finally:
        torch.set_num_threads(1)
    assert [threads for _, threads in used] == [1, 1, 2]  # stopped, gone on with; the other seed is new
    assert used[0] == used[1]
    assert not any("threads" in run.tags.get("grok.resumed_with", "") for run in training_runs(store))


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

"""What a worker makes of a study's cells: alone, in lockstep, after a failure, with the threads that a run began with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grok.runs import group, stopping, train
from grok.runs import study as study_runs
from grok.runs.fanout import Fanout
from grok.spec.config import RunConfig
from grok.store.errors import BusyError
from grok.store.prior import find_prior
from grok.store.run import TrackedRun
from grok.training.loop import Training
from tests.runs.conftest import training_runs


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
    save, calls = group.Group._save, []

    def failing(self: Any) -> None:
        save(self)
        calls.append(self.training.epoch)
        if len(calls) == 2:
            self.background.wait()
            raise OSError("once")

    monkeypatch.setattr(group.Group, "_save", failing)
    answer = study(write([("grok", {"seed": 1})]))
    assert (answer.status, answer.words["trained"]) == (0, "1")
    assert calls == [16, 32, 48]  # not from the start: nothing was done twice
    (run,) = training_runs(store)
    assert run.tags["grok.state"] == "complete"
    contents(store, run.run_id).assert_same(contents(store, reference.run_id))


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
    note = store.get(answer.words["run"]).tags["mlflow.note.content"].replace("&emsp;", "")
    assert "| short | 1 | 0/1 | " in note
    assert "nan" not in note


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


@pytest.mark.slow
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

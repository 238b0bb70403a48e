"""What every recorder must hold, the project's and one of a file outside it: resumed bit for bit, files read back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.figures import run_figures
from analysis.reading.files import RunFiles
from analysis.reading.runs import select, training_runs
from grok.recorders.base import File
from grok.runs.member import OWN, Member
from grok.runs.saving import get, put
from grok.runs.train import train_tracked
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import RECORDERS, USUAL_RECORDERS
from grok.spec.summary import SUMMARY, in_order
from grok.store import files
from grok.store.store import Store, TrackedRun
from grok.training.loop import Training
from tests.contracts.own import CONFIG, own  # noqa: F401

DETECTOR = {"slope_lag": 2, "first_epoch": 5, "slope_threshold": 1e-3}
FULL = dataclasses.replace(CONFIG, delta_w="full", spectrum_methods=("gram", "svd"), **DETECTOR)
CONFIGS = {"full": FULL, "windows": dataclasses.replace(FULL, delta_w="windows")}


class Recorded:
    """A run without a store: its files by path as they are asked for, and what its recorders know at the end."""

    def __init__(self, config: RunConfig, saved: tuple[Any, Any] | None = None, stop: int | None = None) -> None:
        self.training = training = Training(config)
        self.member = member = Member(training, 0)
        self.files: dict[str, tuple[str, File]] = {}
        self.state: tuple[Any, Any] | None = None
        if saved is not None:
            training.load([member.restore(*saved)])
            member.resume()
        for step in training:
            if step.epoch == stop:
                self.state = member.state()
                return
            member.add(step, step.scores[0].numpy())
            if step.epoch in config.checkpoint_epochs:
                self._ask("checkpoint", step.epoch)
            if training.block_complete or step.epoch == config.epochs:
                member.extend()
                self._ask("block", step.epoch)
        self._ask("end", config.epochs)

    def _ask(self, when: Any, epoch: int) -> None:
        moment = self.member.moment(when, epoch)
        for name, recording in self.member.run.recordings.items():
            for file in recording.files(moment):
                assert file.path not in self.files
                self.files[file.path] = name, file


def plain(file: File) -> dict[str, np.ndarray]:
    """A file's content as arrays."""
    if isinstance(file.content, pd.DataFrame):
        return {str(name): file.content[name].to_numpy() for name in file.content}
    return {name: np.asarray(value) for name, value in file.content.items()}


def assert_same(mine: File, other: File) -> None:
    assert (mine.path, dict(mine.facts)) == (other.path, dict(other.facts))
    first, second = plain(mine), plain(other)
    assert first.keys() == second.keys()
    if mine.path.endswith(".parquet"):
        assert list(first) == list(second)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=f"{mine.path}: {name}", strict=True)


@pytest.fixture
def with_own(own: str) -> str:  # noqa: F811
    """The name of a recorder of one's own."""
    return f"{own}:RECORDER"


def having(config: RunConfig, recorder: str) -> RunConfig:
    """The config with one more recorder."""
    return dataclasses.replace(config, recorders=(recorder,))


def test_every_file_of_the_room_is_a_recorder_and_the_usual_ones_are_there() -> None:
    assert set(USUAL_RECORDERS) <= set(RECORDERS.names)
    for name in RECORDERS.names:
        assert RECORDERS.find(name).title
        assert RECORDERS.find(name).cost
    with pytest.raises(ConfigError, match=r"recorder must be one of .*Did you mean history"):
        RECORDERS.find("histroy")


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stop", [1, 6, 16, 17, 24])
def test_it_goes_on_bit_for_bit(with_own: str, name: str, stop: int, tmp_path: Path) -> None:
    """Stopped before an epoch, stored, read and gone on: the same files, rows and summary as straight through."""
    config = having(CONFIGS[name], with_own)
    straight = Recorded(config)
    first = Recorded(config, stop=stop)
    assert first.state is not None
    files.save(tmp_path / "state.safetensors", *first.state)
    tensors, facts = files.load(tmp_path / "state.safetensors")
    second = Recorded(config, saved=(tensors, facts))
    found = first.files | second.files
    assert found.keys() == straight.files.keys()
    for path, (owner, file) in found.items():
        assert owner == straight.files[path][0]
        assert_same(file, straight.files[path][1])
    assert second.member.run.rows == straight.member.run.rows
    assert second.member.summary() == straight.member.summary()
    for mine, other in zip(second.member.state(), straight.member.state(), strict=True):
        assert mine.keys() == other.keys()
        for key in mine:
            if isinstance(mine[key], torch.Tensor):
                np.testing.assert_array_equal(mine[key], other[key], err_msg=key)
            else:
                assert mine[key] == other[key], key


def test_states_keep_their_old_names_and_ones_own_has_a_prefix(with_own: str) -> None:
    state = Recorded(having(dataclasses.replace(FULL, epochs=20, checkpoint_epochs=(6,)), with_own), stop=18).state
    assert state is not None
    tensors, facts = state
    heads = {name.partition("/")[0] for name in tensors}
    assert heads == {"network", "optimizer", "updates", "epoch", "history", "factors", "modes", "recorders"}
    assert {name for name in tensors if name.startswith(OWN)} == {f"{OWN}{with_own}/total"}
    assert set(facts) == {"config_hash", "epoch", "elapsed_s", "columns", "pairs", "fire_epoch", "recorders"}
    assert facts["recorders"] == {with_own: {"count": 9, "blocks": [0, 16]}}
    json.dumps(facts)


def test_files_are_where_the_recorder_says_and_are_read_back(with_own: str, store: Store) -> None:
    run = store.create("files", {"kind": "test"})
    seen = set()
    for config in CONFIGS.values():
        for path, (owner, file) in Recorded(having(config, with_own)).files.items():
            assert any(PurePath(path).match(pattern) for pattern in RECORDERS.find(owner).artifacts), path
            put(run, file)
            assert_same(get(run, path), file)
            seen.add(owner)
    assert seen == {name for name in (*USUAL_RECORDERS, with_own) if RECORDERS.find(name).artifacts}


def test_rows_are_finite_and_say_what_was_observed_only(with_own: str) -> None:
    run = Recorded(having(FULL, with_own)).member.run
    assert all(np.isfinite(value) for row in run.rows for value in row.values())
    own_rows = [epoch for epoch, row in enumerate(run.rows) if "own/mean_loss" in row]
    assert own_rows == list(range(0, 25, 2))
    frame = run.frame()
    assert frame["own/mean_loss"].notna().sum() == 13
    assert frame["own/mean_loss"][2] == pytest.approx((frame["loss/train"][0] + frame["loss/train"][2]) / 2)
    assert frame["own/block"].dropna().to_dict() == {0: 0.0, 16: 16.0, 24: 24.0}


def test_summary_metrics_are_listed_once() -> None:
    summary = Recorded(FULL).member.summary()
    assert set(summary) <= set(SUMMARY)
    assert list(summary) == [name for name in SUMMARY if name in summary]
    assert list(in_order({"own": 1.0, "elapsed_s": 2.0, "fired": 0.0})) == ["fired", "elapsed_s", "own"]


def test_a_network_without_features_is_measured_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    from grok.networks import two_layer

    bare = dataclasses.replace(two_layer.NETWORK, gives=("labels", "seed", "weights", "gradients"))
    monkeypatch.setattr(two_layer, "NETWORK", bare)
    recorded = Recorded(FULL)
    assert not any(name.startswith(("features", "gradient", "repulsion")) for row in recorded.member.run.rows for name in row)
    assert "repulsion_pairs.parquet" not in recorded.files


def test_a_run_of_ones_own_task_network_and_recorder(own: str, store: Store) -> None:  # noqa: F811
    """In a store, stopped once, with everything that other runs have: words, datasets, artifacts, metrics, the served form."""
    parts = {"task": f"{own}:TASK", "network": f"{own}:NETWORK", "recorders": (f"{own}:RECORDER",)}
    config = dataclasses.replace(FULL, save_every=10, **parts)
    calls = iter(range(100))
    (stopped,) = train_tracked([config], store, should_stop=lambda: next(calls) == 13)
    assert stopped.state == "interrupted"
    (outcome,) = train_tracked([config], store, resume=[stopped.run_id], figures=run_figures)
    assert (outcome.state, outcome.summary["own_count"], outcome.summary["test_60_epoch"]) == ("complete", 13.0, 0.0)
    found = store.get(outcome.run_id)
    told = "A halved network (K = 16) on parity of three symbols: 80 of 125 train, adam, learning rate 0.001"
    assert told in found.data.tags["mlflow.note.content"]
    assert "λ₂/λ₃ of ΔINTO" in found.data.tags["mlflow.note.content"]
    assert {entry.dataset.name for entry in found.inputs.dataset_inputs} == {"parity of three, train", "parity of three, test"}
    assert {"own/mean_loss", "delta_into/gap_23", "norm/out", "features/rho"} <= set(found.data.metrics)
    run = TrackedRun(store.client, outcome.run_id)
    kept = ("checkpoint-00006", "checkpoint-00024", "end-00024")
    assert run.list_files("own") == [f"own/{name}.safetensors" for name in kept]
    assert get(run, "own/checkpoint-00006.safetensors").facts == {"count": 4}
    assert "figures/spectrum.png" in run.list_files("figures")
    reread = select(training_runs(store), files=RunFiles(store))
    assert (list(reread.table["run_id"]), len(reread.left_out)) == ([outcome.run_id], 0)
    kept_there = RunFiles(store).file(outcome.run_id, "own/checkpoint-00006.safetensors")
    assert_same(kept_there, get(run, "own/checkpoint-00006.safetensors"))
    assert run.list_files("code") == [f"code/{own}.py"]
    assert set(get(run, "delta_w/band.npz").content) == {"into", "out"}
    straight = Recorded(config).files["history.parquet"][1]
    assert_same(get(run, "history.parquet"), straight)
    model = store.client.get_logged_model(found.outputs.model_outputs[0].model_id)
    assert model.model_type == "halved network"

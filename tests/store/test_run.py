"""One run, open to be written."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from grok.spec.config import EXECUTION_FIELDS, RunConfig
from grok.store import alive
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.tags import DONE, STATES

PROJECT = Path(__file__).resolve().parent.parent.parent


# params under a run that `mlflow run` has made


def make_run(store, monkeypatch, params):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    for name, value in params.items():
        store.client.log_param(run_id, name, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    return run_id


def test_the_run_that_mlflow_made_is_taken_and_its_raw_params_stay(store, tiny, monkeypatch):
    raw = {
        "activation": "x2",
        "weight_decay": "2e-4",
        "labels": "'true'",
        "n_train": "auto",
        "learning_rate": "0.0010",
        "seed": "00",
    }
    run_id = make_run(store, monkeypatch, raw)
    run = store.create("named", {"kind": "train"})
    assert run.run_id == run_id
    assert "MLFLOW_RUN_ID" not in os.environ
    run.log_config(tiny())
    run.log_config(tiny())
    found = store.get(run_id)
    assert found.params == tiny().resolved().to_strings() | raw
    assert RunConfig.from_strings(found.params).hash == tiny().hash
    assert found.name == "named"


def test_states_on_a_server_go_with_what_it_had_half_received(store, monkeypatch):
    run = TrackedRun(store.client, make_run(store, monkeypatch, {}))
    folder = run._root / "resume"
    run._artifacts, run._root = LocalArtifactRepository(str(run._root)), None  # as the server has it
    for name in ("epoch-00025.safetensors", "epoch-00050.safetensors", ".artifact.uploading.x"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    run.drop_states("resume/epoch-00050.safetensors")
    assert sorted(path.name for path in folder.iterdir()) == [".artifact.uploading.x", "epoch-00050.safetensors"]
    run.drop_states()
    assert not folder.exists()
    run.drop_states()


class Refusing(LocalArtifactRepository):
    """Files of a server whose client may write and not delete."""

    def delete_artifacts(self, artifact_path=None):
        raise requests.HTTPError("403 Client Error: FORBIDDEN for url: http://server/api/2.0/mlflow-artifacts/artifacts/resume")


@pytest.mark.parametrize("states", [0, 2])
def test_a_run_ends_where_a_server_lets_nobody_delete(store, monkeypatch, states):
    run = TrackedRun(store.client, make_run(store, monkeypatch, {}))
    folder = run._root / "resume"
    folder.mkdir(parents=True)
    for number in range(states):
        (folder / f"epoch-{number:05}.safetensors").write_bytes(b"")
    run._artifacts, run._root = Refusing(str(run._root)), None
    run.end("complete")
    assert store.get(run.run_id).status == "FINISHED"
    assert len(list(folder.iterdir())) == states


@pytest.mark.parametrize(
    ("name", "value"), [("weight_decay", "3e-4"), ("activation", "relu"), ("n_train", "50"), ("seed", "1")]
)
def test_a_param_that_means_another_run_is_refused(store, tiny, monkeypatch, name, value):
    run = TrackedRun(store.client, make_run(store, monkeypatch, {name: value}))
    with pytest.raises(StoreError, match=f"params must stay as logged, got {name} {value}"):
        run.log_config(tiny())
    assert store.get(run.run_id).params == {name: value}


def test_how_a_run_is_executed_may_change(store, tiny, monkeypatch):
    other = {"threads": "7", "save_every": "5", "device": "cuda", "keep_states": "3", "log_every": "7"}
    other |= {"signal_every": "10", "costly_every": "2"}
    run = TrackedRun(store.client, make_run(store, monkeypatch, other))
    assert set(other) == set(EXECUTION_FIELDS)
    run.log_config(tiny())
    assert store.get(run.run_id).params["threads"] == "7"


# points


def test_points_are_logged_once_and_in_batches(store, monkeypatch):
    run = store.create("points", {})
    sizes = []
    log_batch = store.client.log_batch
    monkeypatch.setattr(
        store.client, "log_batch", lambda *a, **k: (sizes.append(len(k.get("metrics", ()))), log_batch(*a, **k))
    )
    points = [(step, f"family/{name}", step / 3) for step in range(800) for name in "abc"]
    run.log_points(points[:1200])
    assert max(sizes) == 1000
    assert len(sizes) == 2
    again = store.reopen(run.run_id)
    again.log_points(points)
    for name in "abc":
        history = store.client.get_metric_history(run.run_id, f"family/{name}")
        assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [(s, s / 3) for s in range(800)]


# ends


@pytest.mark.parametrize("state", sorted(STATES))
def test_the_state_and_the_status_of_mlflow_go_together(store, state):
    run = store.create("ends", {"kind": "train"})
    run.end(state, "why" if state == "failed" else "")
    found = store.get(run.run_id)
    assert found.tags["grok.state"] == state
    assert found.status == STATES[state]
    assert alive.is_alive(found) == (state == "running")


# files, tags, datasets


@pytest.mark.parametrize("state", STATES)
def test_a_run_that_is_done_has_no_heartbeat_any_more(store, state):
    run = store.create("beats", {"kind": "train"})
    run.set_tags(alive.process_tags())
    run.end(state)
    tags = store.get(run.run_id).tags
    assert ("grok.heartbeat" in tags) == (state not in DONE)
    assert tags["grok.process"]
    run.end(state)  # again: nothing to drop, and no error
    assert store.get(run.run_id).state == state


def test_files_still_being_written_are_not_listed_and_go_when_the_run_is_reopened(store, tmp_path):
    run = store.create("cut", {})
    run.put_tensors("resume/epoch-00016.safetensors", {"x": torch.zeros(2)}, {})
    (half,) = tmp_path.rglob("epoch-00016.safetensors")
    left = half.with_name(".epoch-00032.safetensors.abc123")
    left.write_bytes(half.read_bytes()[:50])
    assert run.list_files("resume") == ["resume/epoch-00016.safetensors"]
    again = store.reopen(run.run_id)
    assert not left.exists()
    assert again.get_file("resume/epoch-00016.safetensors", tmp_path).exists()


def test_a_missing_artifact_is_named(store, tmp_path):
    run = store.create("empty", {})
    with pytest.raises(StoreError, match="artifact must exist in run"):
        run.get_file("checkpoints/epoch-00001.safetensors", tmp_path)


def test_own_tags_are_prefixed_and_cut_to_what_mlflow_takes(store):
    run = store.create("tags", {"kind": "train"})
    run.set_tags({"error": "x" * 9000, "mlflow.note.content": "words"})
    tags = store.get(run.run_id).tags
    assert tags["grok.error"] == "x" * 7900
    assert tags["mlflow.note.content"] == "words"


def test_one_dataset_logged_by_many_runs_at_once_fails_none(store):
    runs = [store.create(f"run {i}", {"kind": "train"}) for i in range(8)]
    barrier = threading.Barrier(len(runs))

    def log(run):
        barrier.wait()
        run.log_dataset(np.arange(6).reshape(3, 2), np.arange(3), "pairs", "ours", "training")

    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(log, runs))
    assert all(len(store.get(run.run_id).raw.inputs.dataset_inputs) == 1 for run in runs)

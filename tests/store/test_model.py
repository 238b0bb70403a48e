"""A stored network is a model that MLflow loads, whatever code wrote it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from grok.store import files as checkpoint
from grok.store.model import log_network, logged_network
from grok.store.run import TrackedRun
from grok.tasks.modular import modular_addition
from tests.frozen import networks
from tests.frozen.configs import CONFIGS
from tests.frozen.frozen_store import named, unpack

PROJECT = Path(__file__).resolve().parent.parent.parent

NETWORK = {"model_type": "two-layer network", "example": (np.empty((1, 2), dtype=np.int64), np.empty((0, 3)))}
"""How a network calls itself, and what its signature is read from."""


# the logged network


@pytest.fixture
def model_uri(finished, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.store.uri)
    mlflow.set_tracking_uri(finished.store.uri)
    ((output,)) = finished.run.raw.outputs.model_outputs
    assert output.step == 64
    return f"models:/{output.model_id}"


def test_the_logged_network_loads_and_answers_as_the_network_does(finished, model_uri):
    tensors, _ = checkpoint.load(finished.root / "checkpoints" / "epoch-00064.safetensors")
    pairs = modular_addition(11, 48, 0).test_pairs.numpy()
    hidden = (tensors["w"][pairs[:, 0]] + tensors["w"][11 + pairs[:, 1]]) ** 2
    expected = (hidden @ tensors["v"]).numpy()
    model = mlflow.pyfunc.load_model(model_uri)
    scores = model.predict(pairs)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())  # order of float32 sums
    np.testing.assert_array_equal(model.predict(pd.DataFrame(pairs)), scores)
    accuracy = (scores.argmax(axis=1) == pairs.sum(axis=1) % 11).mean()
    assert accuracy == pytest.approx(finished.run.metrics["accuracy/test"], abs=1e-12)


def test_the_logged_network_says_what_it_is_and_brings_an_example(finished, model_uri):
    model = mlflow.pyfunc.load_model(model_uri)
    ((output,)) = finished.run.raw.outputs.model_outputs
    logged = finished.store.client.get_logged_model(output.model_id)
    assert logged.name == f"network of {finished.run.name}".replace("0.06", "0_06")
    assert (logged.params["activation"], logged.params["seed"], logged.params["epochs"]) == ("square", "0", "64")
    example = model.metadata.load_input_example(model_uri)
    assert (example.shape, example.dtype) == ((2, 2), np.int64)
    np.testing.assert_array_equal(example, modular_addition(11, 48, 0).train_pairs.numpy()[:2])
    assert model.predict(example).shape == (2, 11)
    assert [column.type.name for column in model.metadata.signature.inputs.inputs] == ["int64"]


def test_the_logged_network_needs_no_project_folder_and_no_pickle(finished, model_uri, tmp_path):
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=str(tmp_path / "model")))
    endings = {path.suffix for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert endings <= {".py", ".typed", ".safetensors", ".yaml", ".yml", ".txt", ".json", ""}
    assert (folder / "MLmodel").is_file()
    assert not any(b"\x80\x04\x95" in path.read_bytes() for path in folder.rglob("*") if path.is_file())  # a pickle's head
    script = (
        f"import mlflow, numpy as np; m = mlflow.pyfunc.load_model({str(folder)!r});"
        "print(m.predict(np.array([[1, 2]])).shape); import grok; print(grok.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    shape, code = done.stdout.split("\n")[:2]
    assert shape == "(1, 11)", done.stderr
    assert Path(code).is_relative_to(folder)
    assert done.stderr == ""


def test_one_network_is_logged_however_often_the_end_is_repeated(store, tiny, finish):
    run = finish(store, tiny())
    client, run_id = store.client, run.outcome.run_id
    again = store.reopen(run_id)
    weights, _ = checkpoint.load(run.root / "checkpoints" / "epoch-00064.safetensors")
    client.create_logged_model(run.run.experiment_id, name="network", source_run_id=run_id)
    log_network(again, weights, {"activation": "square"}, 64, **NETWORK)
    (output,) = store.get(run_id).raw.outputs.model_outputs
    assert output.model_id == run.run.raw.outputs.model_outputs[0].model_id


def test_a_network_that_a_killed_process_was_logging_is_replaced(store):
    run = store.create("half", {"kind": "train"})
    left = store.client.create_logged_model(store.experiment_id, name="network", source_run_id=run.run_id)
    log_network(
        store.reopen(run.run_id), {"w": torch.zeros(6, 4), "v": torch.zeros(4, 3)}, {"activation": "relu"}, 1, **NETWORK
    )
    (found,) = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run.run_id}'")
    assert found.model_id != left.model_id
    assert found.status == "READY"


@pytest.mark.parametrize("lost", ["files", "a file", "model"])
def test_a_network_whose_files_went_before_the_runs_end_is_there_again_once(store, lost, tmp_path):
    """A process was killed between the last two calls of a run: its model is an output, and is looked at by nobody."""
    run = store.create("half", {"kind": "train"})
    weights = {"w": torch.arange(24.0).reshape(6, 4), "v": torch.zeros(4, 3)}
    log_network(run, weights, {"activation": "relu"}, 1, **NETWORK)
    (output,) = store.get(run.run_id).outputs.model_outputs
    place = Path(store.client.get_logged_model(output.model_id).artifact_location.removeprefix("file://"))
    if lost == "files":
        shutil.rmtree(place)
    elif lost == "a file":
        (place / "MLmodel").unlink()
    else:
        store.client.delete_logged_model(output.model_id)
    log_network(store.reopen(run.run_id), weights, {"activation": "relu"}, 1, **NETWORK)
    found = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run.run_id}'")
    assert [(model.status, model.model_id == output.model_id) for model in found] == [("READY", lost != "model")]
    assert len(store.get(run.run_id).outputs.model_outputs) == 1 + (lost == "model")
    there = Path(found[0].artifact_location.removeprefix("file://"))
    assert (there / "MLmodel").is_file()
    tensors, _ = logged_network(TrackedRun(store.client, run.run_id), tmp_path)
    assert torch.equal(tensors["w"], weights["w"])


def test_a_network_that_a_server_made_twice_by_one_request_is_one(store, monkeypatch):
    right = mlflow.MlflowClient.create_logged_model
    monkeypatch.setattr("grok.store.model.is_sqlite", lambda uri: False)
    monkeypatch.setattr(
        mlflow.MlflowClient, "create_logged_model", lambda *words, **named: right(*words, **named) and right(*words, **named)
    )
    run = store.create("twice", {"kind": "train"})
    log_network(run, {"w": torch.zeros(6, 4), "v": torch.zeros(4, 3)}, {"activation": "relu"}, 1, **NETWORK)
    (found,) = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run.run_id}'")
    (output,) = store.get(run.run_id).outputs.model_outputs
    assert (found.model_id, found.status) == (output.model_id, "READY")


ANSWER = """
import sys
import numpy as np
import grok.networks.two_layer
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.predict(np.array([[1, 2]])).round(3).tolist(), grok.__file__)
"""


@pytest.fixture
def frozen(tmp_path):
    """A store that older code wrote, named by the environment."""
    found = unpack(tmp_path)
    with named(found):
        yield found


@pytest.mark.slow
def test_a_network_of_older_code_loads_where_this_code_is_imported_already(frozen):
    """Its own code is of another layout, and names modules that are elsewhere now."""
    (output,) = frozen.store.get(frozen.ids["complete"]).raw.outputs.model_outputs
    where = frozen.store.client.get_logged_model(output.model_id).artifact_location
    done = subprocess.run([sys.executable, "-c", ANSWER, where], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scores, _, code = done.stdout.strip().rpartition(" ")
    assert Path(code).is_relative_to(PROJECT)
    stored = networks.predicted(frozen)["scores"][CONFIGS["complete"].modulus + 2]
    np.testing.assert_allclose(json.loads(scores)[0], stored, rtol=0, atol=1e-3)

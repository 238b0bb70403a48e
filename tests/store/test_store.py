"""What a run leaves in the store, and the store's own rules."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from grok.numerics.series import cosine_distance
from grok.runs import train as runner
from grok.runs.member import Member
from grok.runs.train import train_tracked
from grok.spec.config import EXECUTION_FIELDS, PROTOCOL_VERSION, RunConfig
from grok.store import files as checkpoint
from grok.store import prior as existing
from grok.store import store as tracking
from grok.store.store import StoreError, TrackedRun
from grok.tasks.modular import modular_addition
from grok.training.loop import train

PROJECT = Path(__file__).resolve().parent.parent.parent
NETWORK = {"model_type": "two-layer network", "example": (np.empty((1, 2), dtype=np.int64), np.empty((0, 3)))}
"""How a network calls itself, and what its signature is read from."""
SPECTRAL = [f"lambda_{k}" for k in range(1, 6)] + ["gap_12", "gap_23", "slope_23", "cosine_distance"]
EVERY_EPOCH = ["accuracy/train", "accuracy/test", "loss/train", "loss/test", "norm/w", "norm/v"]
OBSERVED = ["features/rho", "features/offdiag_ratio", "gradient/norm", "gradient/cos_median", "gradient/cos_p95"]
REPULSION = [
    f"repulsion/{name}" for name in ("rate", "null_rate", "theorem6", "theorem6_error", "published_estimator", "median_cos")
]
FIRST_EPOCHS = {"cosine_distance": 2, "gap_12": 2, "gap_23": 3, "slope_23": 3 + 5} | {
    f"lambda_{k}": max(k, 2) for k in range(1, 6)
}
"""Epoch of the first value with slope_lag 5: λ_k needs k updates, a window at least two, the slope two gaps."""


@pytest.fixture(scope="module")
def silent(session_store, finish, tiny):
    """A run that never fires, groks or is measured anywhere but at its end."""
    return finish(session_store, tiny(slope_threshold=1e9, checkpoint_epochs=(64,), labels="random", seed=3))


def steps(finished, name):
    return [m.step for m in finished.store.client.get_metric_history(finished.outcome.run_id, name)]


# metrics


def test_metrics_by_epoch_have_a_point_at_every_epoch_where_they_are_known(finished):
    expected = dict.fromkeys(EVERY_EPOCH, range(65))
    expected |= dict.fromkeys(OBSERVED, (0, 16, 20, 32, 40, 48, 64))
    expected |= dict.fromkeys(REPULSION, (0, 20, 40, 64))
    expected |= {f"delta_{layer}/{name}": range(FIRST_EPOCHS[name], 65) for layer in "wv" for name in SPECTRAL}
    assert {name: sorted(steps(finished, name)) for name in expected} == {name: list(at) for name, at in expected.items()}


def test_logged_metrics_are_those_of_the_training_itself(finished):
    rows = [record.metrics() for record in train(finished.config)]
    for name in (*EVERY_EPOCH, *OBSERVED, *REPULSION):
        history = finished.store.client.get_metric_history(finished.outcome.run_id, name)
        assert {m.step: m.value for m in history} == {epoch: row[name] for epoch, row in enumerate(rows) if name in row}


def test_summary_metrics_say_what_the_history_says(finished):
    metrics = finished.run.data.metrics
    table = pd.read_parquet(finished.root / "history.parquet")
    after = table[(table["epoch"] >= finished.config.first_epoch)]
    fire = after.loc[after["delta_w/slope_23"] > finished.config.slope_threshold, "epoch"].min()
    assert metrics["fired"] == 1
    assert metrics["fire_epoch"] == fire == 46
    assert metrics["elapsed_s"] > 0
    assert set(metrics) - set(table.columns) == {"fired", "fire_epoch", "elapsed_s"}
    assert [steps(finished, name) for name in ("fired", "fire_epoch", "elapsed_s")] == [[0]] * 3
    assert finished.outcome.summary == {name: metrics[name] for name in ("fired", "fire_epoch", "elapsed_s")}


def test_crossings_and_the_late_gap_appear_where_they_happen(store, finish, tiny):
    run = finish(store, tiny(n_train=110, epochs=400, observe_every=0, checkpoint_epochs=(400,), learning_rate=0.003, width=64))
    metrics, table = run.run.data.metrics, pd.read_parquet(run.root / "history.parquet")
    for name, column, level in (
        ("test_50_epoch", "test", 0.5),
        ("test_99_epoch", "test", 0.99),
        ("train_99_epoch", "train", 0.99),
    ):
        over = table.loc[table[f"accuracy/{column}"] >= level, "epoch"]
        assert metrics.get(name) == (over.min() if len(over) else None)
    assert {"test_50_epoch", "train_99_epoch"} <= set(metrics)
    assert metrics["late_gap_23"] == table.loc[200:400, "delta_w/gap_23"].median()


def test_what_never_happens_is_absent(silent):
    metrics = silent.run.data.metrics
    assert metrics["fired"] == 0
    assert not {"fire_epoch", "test_50_epoch", "test_99_epoch", "late_gap_23", "diverged_epoch"} & set(metrics)
    assert "never fires" in silent.run.data.tags["mlflow.note.content"]
    assert steps(silent, "repulsion/rate") == [64]


# params, tags, description, datasets


def test_params_are_the_resolved_config(finished):
    params = finished.run.data.params
    assert params == finished.config.resolved().to_strings()
    assert RunConfig.from_strings(params).hash == finished.config.hash


def test_tags_say_what_it_is_and_what_made_it(finished):
    tags = finished.run.data.tags
    assert tags["grok.kind"] == "train"
    assert tags["grok.state"] == "complete"
    assert tags["grok.config_hash"] == finished.config.hash
    assert tags["grok.protocol"] == PROTOCOL_VERSION
    assert tags["grok.torch"] == torch.__version__
    assert tags["grok.numpy"] == np.__version__
    assert tags["grok.threads"] == "1"
    assert tags["grok.blas"]
    assert tags["grok.device"]
    git = subprocess.run(["git", "-C", PROJECT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert tags["grok.code_version"] == (git.stdout.strip() if git.returncode == 0 else "unknown")
    assert tags["grok.code_dirty"] in ("true", "false", "unknown")
    assert tags["mlflow.user"]
    assert finished.run.info.run_name == finished.config.display_name()
    assert finished.run.info.status == "FINISHED"


def test_the_description_tells_the_experiment_and_its_end(finished):
    text = finished.run.data.tags["mlflow.note.content"]
    for words in (
        "σ = square",
        "K = 32",
        "addition mod 11",
        "48 of 121 pairs",
        "seed 0",
        "**fires at epoch 46**",
        "never",
        "48 of",
    ):
        assert words in text
    assert "Training" not in text


def test_both_datasets_are_inputs_of_the_run(finished):
    inputs = {
        next(t.value for t in i.tags if t.key == "mlflow.data.context"): i.dataset for i in finished.run.inputs.dataset_inputs
    }
    assert {context: d.name for context, d in inputs.items()} == {
        "training": "addition mod 11, train",
        "evaluation": "addition mod 11, test",
    }
    problem = modular_addition(11, 48, 0)
    for context, pairs in (("training", problem.train_pairs), ("evaluation", problem.test_pairs)):
        features = json.loads(inputs[context].profile)["features_shape"]
        assert features == list(pairs.shape)
        assert "modular_addition(11, 48, seed=0" in inputs[context].source


def test_other_labels_are_another_dataset(finished, silent):
    digests = [{i.dataset.digest for i in run.run.inputs.dataset_inputs} for run in (finished, silent)]
    assert not digests[0] & digests[1]
    assert all("random labels" in i.dataset.name for i in silent.run.inputs.dataset_inputs)


# the logged network


@pytest.fixture
def model_uri(finished, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.store.uri)
    mlflow.set_tracking_uri(finished.store.uri)
    ((output,)) = finished.run.outputs.model_outputs
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
    assert accuracy == pytest.approx(finished.run.data.metrics["accuracy/test"], abs=1e-12)


def test_the_logged_network_needs_no_project_folder_and_no_pickle(finished, model_uri, tmp_path):
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=str(tmp_path / "model")))
    endings = {path.suffix for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert endings <= {".py", ".safetensors", ".yaml", ".yml", ".txt", ""}
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
    client.create_logged_model(run.run.info.experiment_id, name="network", source_run_id=run_id)
    again.log_network(weights, {"activation": "square"}, 64, **NETWORK)
    (output,) = store.get(run_id).outputs.model_outputs
    assert output.model_id == run.run.outputs.model_outputs[0].model_id


def test_a_network_that_a_killed_process_was_logging_is_replaced(store):
    run = store.create("half", {"kind": "train"})
    left = store.client.create_logged_model(store.experiment_id, name="network", source_run_id=run.run_id)
    weights = {"w": torch.zeros(6, 4), "v": torch.zeros(4, 3)}
    store.reopen(run.run_id).log_network(weights, {"activation": "relu"}, 1, **NETWORK)
    (found,) = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run.run_id}'")
    assert found.model_id != left.model_id
    assert found.status == "READY"


# artifacts


def test_the_artifacts_are_those_that_the_readme_lists(finished):
    files = sorted(str(path.relative_to(finished.root)) for path in finished.root.rglob("*") if path.is_file())
    assert files == [
        "checkpoints/epoch-00000.safetensors",
        "checkpoints/epoch-00020.safetensors",
        "checkpoints/epoch-00040.safetensors",
        "checkpoints/epoch-00064.safetensors",
        "config.json",
        "delta_w/band.npz",
        "delta_w/modes.safetensors",
        "figures/accuracy.png",
        "figures/spectrum.png",
        "figures/top_pairs.png",
        "history.parquet",
        "repulsion_pairs.parquet",
    ]


def test_config_json_makes_the_config_again(finished):
    text = json.loads((finished.root / "config.json").read_text())
    assert text["config_hash"] == finished.config.hash
    assert RunConfig.from_strings(text["config"]) == finished.config.resolved()


def test_history_has_a_row_per_epoch_and_the_metrics_as_columns(finished):
    table = pd.read_parquet(finished.root / "history.parquet")
    assert table["epoch"].tolist() == list(range(65))
    assert set(table.columns) - {"epoch"} == set(finished.run.data.metrics) - {"fired", "fire_epoch", "elapsed_s"}
    for name in table.columns.drop("epoch"):
        points = {m.step: m.value for m in finished.store.client.get_metric_history(finished.outcome.run_id, name)}
        known = table.loc[table[name].notna(), ["epoch", name]]
        assert points == dict(zip(known["epoch"], known[name], strict=True)), name


def test_checkpoints_and_band_are_those_of_the_training(finished):
    weights = {r.epoch: {name: w[0].clone() for name, w in r.weights.items()} for r in train(finished.config)}
    for epoch in (0, 20, 40, 64):
        tensors, facts = checkpoint.load(finished.root / "checkpoints" / f"epoch-{epoch:05d}.safetensors")
        assert facts == {"epoch": epoch, "config_hash": finished.config.hash}
        assert tensors["w"].shape == (22, 32)
        assert tensors["v"].shape == (32, 11)
        assert all(torch.equal(tensors[name], weights[epoch][name]) for name in ("w", "v"))
    with np.load(finished.root / "delta_w" / "band.npz") as file:
        assert sorted(file.files) == ["v", "w"]
        for layer in ("w", "v"):
            band = file[layer]
            assert band.dtype == np.float64
            assert band.shape == (64, 24)
            updates = [(weights[t][layer] - weights[t - 1][layer]).double().flatten() for t in range(1, 65)]
            for t in range(1, 65):
                for lag in range(24):
                    if lag >= t:
                        assert np.isnan(band[t - 1, lag])
                    else:
                        a, b = updates[t - 1], updates[t - 1 - lag]
                        assert abs(band[t - 1, lag] - float(a @ b)) <= 1e-13 * float(a.norm() * b.norm())  # 704 float64 sums


def test_spectra_of_the_history_follow_from_the_band(finished):
    table = pd.read_parquet(finished.root / "history.parquet")
    with np.load(finished.root / "delta_w" / "band.npz") as file:
        for layer in ("w", "v"):
            band, window = file[layer], finished.config.window
            for t in (2, 5, 6, 30, 64):
                size = min(window, t)
                gram = np.array(
                    [[band[max(a, b) - 1, abs(a - b)] for a in range(t - size + 1, t + 1)] for b in range(t - size + 1, t + 1)]
                )
                top = np.sort(np.linalg.eigvalsh(gram))[::-1][:5]
                logged = table.loc[t, [f"delta_{layer}/lambda_{k}" for k in range(1, len(top) + 1)]].to_numpy(dtype=float)
                np.testing.assert_allclose(logged, top, rtol=0, atol=1e-14 * top[0])
            np.testing.assert_array_equal(table[f"delta_{layer}/cosine_distance"], cosine_distance(band))


def test_modes_are_the_top_directions_at_the_fire_epoch_and_the_last(finished):
    weights = {r.epoch: {name: w[0].clone() for name, w in r.weights.items()} for r in train(finished.config)}
    modes, facts = checkpoint.load(finished.root / "delta_w" / "modes.safetensors")
    assert facts["fire_epoch"] == 46
    assert sorted(modes) == sorted(
        f"{when}/{layer}{tail}" for when in ("fire", "last") for layer in "wv" for tail in ("", "_eigenvalues")
    )
    for when, epoch in (("fire", 46), ("last", 64)):
        for layer, shape in (("w", (3, 22, 32)), ("v", (3, 32, 11))):
            directions, eigenvalues = modes[f"{when}/{layer}"], modes[f"{when}/{layer}_eigenvalues"]
            assert directions.shape == shape
            window = torch.stack(
                [(weights[t][layer] - weights[t - 1][layer]).double().flatten() for t in range(epoch - 5, epoch + 1)]
            )
            rows = directions.flatten(1).double()
            # u is a left singular vector of Δ with λ = σ²: ‖Δᵀu‖² = λ; float32 directions
            np.testing.assert_allclose((rows @ window.T).square().sum(dim=1), eigenvalues, rtol=1e-5)
            np.testing.assert_allclose(torch.linalg.svdvals(window)[:3].square(), eigenvalues, rtol=1e-9)
            np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-5)


def test_a_run_that_never_fires_keeps_the_last_modes_only(silent):
    modes, facts = checkpoint.load(silent.root / "delta_w" / "modes.safetensors")
    assert facts["fire_epoch"] is None
    assert {name.split("/")[0] for name in modes} == {"last"}


def test_pairs_of_each_measurement_are_kept(finished):
    table = pd.read_parquet(finished.root / "repulsion_pairs.parquet")
    assert table.columns.tolist() == ["epoch", "j", "l", "cos"]
    assert table.groupby("epoch").size().to_dict() == {0: 20, 20: 20, 40: 20, 64: 20}
    assert (table["j"] < table["l"]).all()
    history = pd.read_parquet(finished.root / "history.parquet").set_index("epoch")
    for epoch, rows in table.groupby("epoch"):
        assert rows["cos"].abs().median() == pytest.approx(history.loc[epoch, "repulsion/median_cos"], rel=1e-12)


@pytest.mark.parametrize("kept", ["windows", "full"])
def test_raw_updates_reproduce_the_band(store, finish, tiny, kept):
    config = tiny(delta_w=kept, epochs=40, checkpoint_epochs=(3, 20, 40))
    run = finish(store, config)
    weights = {r.epoch: {name: w[0].clone() for name, w in r.weights.items()} for r in train(config)}
    updates = {layer: {t: weights[t][layer] - weights[t - 1][layer] for t in range(1, 41)} for layer in ("w", "v")}
    if kept == "windows":
        stored = {path.name: checkpoint.load(path) for path in sorted((run.root / "delta_w").glob("window-*"))}
        assert list(stored) == [f"window-epoch-{e:05d}.safetensors" for e in (3, 20, 40)]
        for tensors, facts in stored.values():
            last = facts["epoch"]
            for layer in ("w", "v"):
                first = last - min(config.window, last) + 1
                assert torch.equal(tensors[layer], torch.stack([updates[layer][t] for t in range(first, last + 1)]))
        return
    paths = sorted((run.root / "delta_w").glob("updates-*"))
    assert [path.name for path in paths] == [f"updates-{a:05d}-{b:05d}.safetensors" for a, b in ((1, 16), (17, 32), (33, 40))]
    chunks = [checkpoint.load(path) for path in paths]
    assert [(f["first_epoch"], f["last_epoch"]) for _, f in chunks] == [(1, 16), (17, 32), (33, 40)]
    with np.load(run.root / "delta_w" / "band.npz") as band:
        for layer in ("w", "v"):
            whole = torch.cat([tensors[layer] for tensors, _ in chunks])
            assert torch.equal(whole, torch.stack(list(updates[layer].values())))
            flat = whole.flatten(1).double().numpy()
            gram = flat @ flat.T
            t, lag = np.nonzero(~np.isnan(band[layer]))
            np.testing.assert_allclose(band[layer][t, lag], gram[t, t - lag], rtol=0, atol=1e-13 * gram.max())


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
    assert found.data.params == tiny().resolved().to_strings() | raw
    assert RunConfig.from_strings(found.data.params).hash == tiny().hash
    assert found.info.run_name == "named"


@pytest.mark.parametrize(
    ("name", "value"), [("weight_decay", "3e-4"), ("activation", "relu"), ("n_train", "50"), ("seed", "1")]
)
def test_a_param_that_means_another_run_is_refused(store, tiny, monkeypatch, name, value):
    run = TrackedRun(store.client, make_run(store, monkeypatch, {name: value}))
    with pytest.raises(StoreError, match=f"params must stay as logged, got {name} {value}"):
        run.log_config(tiny())
    assert store.get(run.run_id).data.params == {name: value}


def test_how_a_run_is_executed_may_change(store, tiny, monkeypatch):
    run = TrackedRun(store.client, make_run(store, monkeypatch, {"threads": "7", "save_every": "5", "device": "cuda"}))
    assert {"threads", "save_every", "device"} == set(EXECUTION_FIELDS)
    run.log_config(tiny())
    assert store.get(run.run_id).data.params["threads"] == "7"


def test_the_experiment_is_that_of_the_made_run(store, monkeypatch):
    other = store.client.create_experiment("other", (Path(store.uri.removeprefix("sqlite:///")).parent / "other").as_uri())
    run_id = store.client.create_run(other).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert tracking.open_store().experiment_id == other


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


# who lives


def test_a_run_lives_as_long_as_its_process(store):
    run = store.create("alive", {"kind": "train"})
    assert tracking.is_alive(store.get(run.run_id))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        born = psutil.Process(child.pid).create_time()
        run.set_tags({"process": f"{child.pid}:{born:.2f}"})
        assert tracking.is_alive(store.get(run.run_id))
        run.set_tags({"process": f"{child.pid}:{born - 50:.2f}"})  # the pid now belongs to another
        assert not tracking.is_alive(store.get(run.run_id))
        run.set_tags({"process": f"{child.pid}:{born:.2f}"})
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked for its status
        assert not tracking.is_alive(store.get(run.run_id))
    finally:
        child.kill()
        child.communicate()
    assert not tracking.is_alive(store.get(run.run_id))


def test_a_run_of_another_host_lives_for_an_hour_after_its_last_sign(store, monkeypatch):
    run = store.create("afar", {"kind": "train"})
    run.set_tags({"host": "elsewhere", "process": "1:1.00"})
    assert tracking.is_alive(store.get(run.run_id))
    now = tracking.time.time()
    monkeypatch.setattr(tracking.time, "time", lambda: now + tracking.STALE_S + 10)
    assert not tracking.is_alive(store.get(run.run_id))


@pytest.mark.parametrize("state", sorted(tracking.STATES))
def test_the_state_and_the_status_of_mlflow_go_together(store, state):
    run = store.create("ends", {"kind": "train"})
    run.end(state, "why" if state == "failed" else "")
    found = store.get(run.run_id)
    assert found.data.tags["grok.state"] == state
    assert found.info.status == tracking.STATES[state]
    assert tracking.is_alive(found) == (state == "running")


# stores


def test_a_new_store_keeps_its_artifacts_beside_the_database(store, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "two words/and more")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    opened = tracking.open_store()
    run = opened.create("here", {})
    run.put_text("note.txt", "text")
    (found,) = tmp_path.rglob("note.txt")
    assert found.is_relative_to(tmp_path / "mlruns")
    assert run.list_files("") == ["note.txt"]


def test_an_experiment_is_found_again(store):
    assert tracking.open_store().experiment_id == store.experiment_id


def test_a_deleted_experiment_is_refused(store):
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(StoreError, match="experiment must be active, got tests"):
        tracking.open_store()


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
    tags = store.get(run.run_id).data.tags
    assert tags["grok.error"] == "x" * 7900
    assert tags["mlflow.note.content"] == "words"


def test_find_looks_at_all_experiments_newest_first_and_exactly(store, monkeypatch):
    ids = []
    for name in ("one", "two"):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
        ids.append(tracking.open_store().create(name, {"kind": "train", "config_hash": "abc"}).run_id)
    store.create("other", {"kind": "train", "config_hash": "abcd"})
    assert [run.info.run_id for run in store.find({"kind": "train", "config_hash": "abc"})] == ids[::-1]


def test_only_tracking_knows_who_logged_what(finished):
    assert existing.run_config(finished.store, finished.outcome.run_id).hash == finished.config.hash


def test_one_dataset_logged_by_many_runs_at_once_fails_none(store):
    runs = [store.create(f"run {i}", {"kind": "train"}) for i in range(8)]
    barrier = threading.Barrier(len(runs))

    def log(run):
        barrier.wait()
        run.log_dataset(np.arange(6).reshape(3, 2), np.arange(3), "pairs", "ours", "training")

    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(log, runs))
    assert all(len(store.get(run.run_id).inputs.dataset_inputs) == 1 for run in runs)


def test_a_run_that_went_on_forgets_its_failure_and_says_what_changed(store, tiny, monkeypatch):
    config = tiny()
    monkeypatch.setattr(Member, "summary", lambda member: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_tracked([config], store)
    (failed,) = store.prior(config)
    assert "Failed: ZeroDivisionError" in failed.data.tags["mlflow.note.content"]
    monkeypatch.undo()
    monkeypatch.setattr(runner, "code_tags", lambda: {"code_version": "another", "code_dirty": "false"})
    train_tracked([config], store, resume=[failed.info.run_id])
    tags = store.get(failed.info.run_id).data.tags
    assert tags["grok.state"] == "complete"
    assert "grok.error" not in tags
    assert "Failed" not in tags["mlflow.note.content"]
    assert "code_version another" in tags["grok.resumed_with"]
    assert "failure.txt" not in TrackedRun(store.client, failed.info.run_id).list_files("")

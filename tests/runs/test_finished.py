"""What a finished run leaves in the store: metrics, params, tags, datasets and files."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from grok.numerics.series import cosine_distance
from grok.runs import train as runner
from grok.runs.member import Member
from grok.runs.train import train_tracked
from grok.spec.config import PROTOCOL_VERSION, RunConfig
from grok.store import files as checkpoint
from grok.store.run import TrackedRun
from grok.store.tags import NOTE, SEARCHED
from grok.tasks.modular import modular_addition
from grok.training.loop import train

PROJECT = Path(__file__).resolve().parent.parent.parent
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
    metrics = finished.run.metrics
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
    metrics, table = run.run.metrics, pd.read_parquet(run.root / "history.parquet")
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
    metrics = silent.run.metrics
    assert metrics["fired"] == 0
    assert not {"fire_epoch", "test_50_epoch", "test_99_epoch", "late_gap_23", "diverged_epoch"} & set(metrics)
    assert "never fires" in silent.run.tags["mlflow.note.content"]
    assert steps(silent, "repulsion/rate") == [64]


# params, tags, description, datasets


def test_params_are_the_resolved_config(finished):
    params = finished.run.params
    assert params == finished.config.resolved().to_strings()
    assert RunConfig.from_strings(params).hash == finished.config.hash


def test_tags_say_what_it_is_and_what_made_it(finished):
    tags = finished.run.tags
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
    assert finished.run.name == finished.config.display_name().replace("seed 0", "seed 00")
    assert finished.run.status == "FINISHED"


def test_what_one_searches_for_is_a_tag_of_its_value(finished):
    fields = finished.config.resolved().to_strings()
    found = {key: text for key, text in finished.run.tags.items() if key.startswith("grok.resolved.")}
    assert found == {f"grok.resolved.{name}": fields[name] for name in SEARCHED}


def test_the_description_begins_with_the_result(finished):
    first = finished.run.tags["mlflow.note.content"].splitlines()[0]
    ended = finished.run.metrics["accuracy/test"]
    assert first == f"**The detector fires at epoch 46; test accuracy ends at {ended:.3f}.**"


def test_the_description_tells_the_experiment_and_its_end(finished):
    text = finished.run.tags["mlflow.note.content"]
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
        next(t.value for t in i.tags if t.key == "mlflow.data.context"): i.dataset
        for i in finished.run.raw.inputs.dataset_inputs
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
    digests = [{i.dataset.digest for i in run.run.raw.inputs.dataset_inputs} for run in (finished, silent)]
    assert not digests[0] & digests[1]
    assert all("random labels" in i.dataset.name for i in silent.run.raw.inputs.dataset_inputs)


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
    assert set(table.columns) - {"epoch"} == set(finished.run.metrics) - {"fired", "fire_epoch", "elapsed_s"}
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


def test_a_run_that_failed_before_its_config_was_written_forgets_its_failure(store, tiny, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TrackedRun, "put_json", full)
    with pytest.raises(OSError, match="No space left"):
        train_tracked([tiny()], store)
    monkeypatch.undo()
    (failed,) = store.prior(tiny())
    assert TrackedRun(store.client, failed.run_id).list_files("") == ["failure.txt"]
    (done,) = train_tracked([tiny()], store, resume=[failed.run_id])
    files = TrackedRun(store.client, failed.run_id).list_files("")
    assert (done.state, "failure.txt" in files, "config.json" in files) == ("complete", False, True)


@pytest.mark.parametrize("broken", [None, "put_text", "set_tags"])
def test_what_is_told_of_a_failure_is_written_before_the_run_is_another_processs(store, tiny, monkeypatch, broken):
    """And where it cannot be written the run is ended all the same."""

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    def end(run, state, error=""):
        there.append((run.look().state, "Failed: ZeroDivisionError" in run.look().tags[NOTE], run.list_files("")))
        with monkeypatch.context() as patch:
            patch.setattr(TrackedRun, "set_tags", set_tags)
            right(run, state, error)

    there, right, set_tags = [], TrackedRun.end, TrackedRun.set_tags
    monkeypatch.setattr(TrackedRun, "end", end)

    def summary(member):
        if broken is not None:
            monkeypatch.setattr(TrackedRun, broken, fail)
        return 1 / 0

    monkeypatch.setattr(Member, "summary", summary)
    with pytest.raises(ZeroDivisionError):
        train_tracked([tiny()], store)
    ((state, told, files),) = there
    assert (state, told, "failure.txt" in files) == ("running", broken != "set_tags", broken != "put_text")
    (run,) = store.prior(tiny())
    assert (run.state, run.status) == ("failed", "FAILED")


def test_a_run_that_went_on_forgets_its_failure_and_says_what_changed(store, tiny, monkeypatch):
    config = tiny()
    monkeypatch.setattr(Member, "summary", lambda member: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_tracked([config], store)
    (failed,) = store.prior(config)
    assert "Failed: ZeroDivisionError" in failed.tags["mlflow.note.content"]
    monkeypatch.undo()
    monkeypatch.setattr(runner, "code_tags", lambda: {"code_version": "another", "code_dirty": "false"})
    train_tracked([config], store, resume=[failed.run_id])
    tags = store.get(failed.run_id).tags
    assert tags["grok.state"] == "complete"
    assert "grok.error" not in tags
    assert "Failed" not in tags["mlflow.note.content"]
    assert "code_version another" in tags["grok.resumed_with"]
    assert "failure.txt" not in TrackedRun(store.client, failed.run_id).list_files("")

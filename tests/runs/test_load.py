"""`grok.load_run`: everything that a run has stored, read when asked for, by id or hash, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import grok
from grok.numerics.spectra import rolling_eigenvalues
from grok.runs.load import LoadedRun
from grok.store.errors import StoreError
from grok.store.tags import StoredRun, tag
from tests.conftest import PROJECT, TINY, Finished

OWN = "def double(h):\n    return 2 * h\n"


@pytest.fixture(scope="module")
def run(finished: Finished) -> LoadedRun:
    return grok.load_run(finished.outcome.run_id, store=finished.store)


def test_a_run_is_found_by_id_hash_and_the_beginning_of_either(finished: Finished, run: LoadedRun) -> None:
    run_id, config_hash = finished.outcome.run_id, TINY.hash
    for name in (run_id[:8], config_hash, config_hash[:6]):
        assert grok.load_run(name, store=finished.store).id == run_id
    assert run.config == TINY.resolved()
    assert run.state == "complete"
    assert repr(run) == f"<run {run_id[:8]}: {run.stored.name}, complete>"
    assert run.metrics["fire_epoch"] == finished.run.metrics["fire_epoch"]


@pytest.mark.parametrize(
    ("name", "why"),
    [("", "4 to 32 hex"), ("abc", "4 to 32 hex"), ("no id at all", "4 to 32 hex"), ("f" * 9, "begins"), ("f" * 32, "exist in")],
)
def test_a_run_that_is_not_there_is_refused(finished: Finished, name: str, why: str) -> None:
    with pytest.raises(StoreError, match=f"run must .*{why}"):
        grok.load_run(name, store=finished.store)


def test_history_band_and_spectra_are_those_of_the_run(finished: Finished, run: LoadedRun) -> None:
    assert list(run.history["epoch"]) == list(range(TINY.epochs + 1))
    assert run.band["w"].shape == run.band["v"].shape == (TINY.epochs, TINY.max_window)
    np.testing.assert_array_equal(run.gap(), run.history["delta_w/gap_23"].to_numpy())
    np.testing.assert_array_equal(run.gap(layer="v", k=1), run.history["delta_v/gap_12"].to_numpy())
    np.testing.assert_array_equal(run.eigenvalues(9, count=2), rolling_eigenvalues(run.band["w"], 9, 2))
    assert not np.array_equal(run.gap(9), run.gap(), equal_nan=True)
    assert run.fire_epoch() == run.metrics["fire_epoch"]
    assert run.fire_epoch(slope_threshold=1e9) is None
    assert run.fire_epoch(first_epoch=47) != run.fire_epoch()


def test_what_the_band_cannot_give_is_refused(run: LoadedRun) -> None:
    with pytest.raises(ValueError, match=rf"window must be .*{TINY.max_window}"):
        run.gap(TINY.max_window + 1)
    with pytest.raises(ValueError, match="layer must be one of w, v, got u"):
        run.eigenvalues(layer="u")
    with pytest.raises(StoreError, match=r"epoch must be one of the run's checkpoints \(0, 20, 40, 64\), got 21"):
        run.weights(21)


def test_the_network_is_the_trained_one_and_that_of_a_checkpoint(run: LoadedRun) -> None:
    assert run.checkpoints == TINY.checkpoint_epochs
    pairs = np.array([(a, b) for a in range(TINY.modulus) for b in range(TINY.modulus)])
    first, last = run.weights(0), run.weights(TINY.epochs)
    hidden = first["w"][pairs[:, 0]] + first["w"][TINY.modulus + pairs[:, 1]]
    np.testing.assert_allclose(run.network(0)(pairs), hidden**2 @ first["v"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(run.network()(pairs), run.network(TINY.epochs)(pairs))
    assert not np.array_equal(first["w"], last["w"])
    problem = grok.modular_addition(TINY.modulus, TINY.resolved().n_train, TINY.seed, TINY.labels)
    right = (run.network()(problem.test_inputs.numpy()).argmax(1) == problem.test_labels.numpy()).mean()
    assert right == run.metrics["accuracy/test"]


def test_nothing_is_read_before_it_is_asked_for(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = LoadedRun.file
    monkeypatch.setattr(LoadedRun, "file", lambda self, path: read.append(path) or original(self, path))
    run = grok.load_run(finished.outcome.run_id, store=finished.store)
    assert run.config.modulus == TINY.modulus
    assert read == []
    assert len(run.history) == len(run.history) == TINY.epochs + 1
    assert read == ["history.parquet"]
    assert {"history.parquet", "delta_w/band.npz", "config.json"} <= set(run.files)


def test_of_one_config_the_run_that_is_done_is_taken_and_of_several_configs_none(store: Any, tiny: Any) -> None:
    def made(state: str, config_hash: str) -> str:
        run = store.create(state, {"kind": "train", "config_hash": config_hash, "protocol": "1"})
        run.end(state)
        return str(run.run_id)

    done, _ = made("complete", "abcd1111"), made("failed", "abcd1111")
    assert grok.load_run("abcd", store=store).id == done
    made("complete", "abcd2222")
    with pytest.raises(StoreError, match="run must be one, got abcd, with which several begin"):
        grok.load_run("abcd", store=store)


def test_a_pointer_leads_to_its_run_and_a_study_is_none(finished: Finished) -> None:
    store = finished.store
    pointer = store.create("see", {"kind": "pointer", "points_to": finished.outcome.run_id})
    study = store.create("study", {"kind": "study"})
    assert grok.load_run(pointer.run_id, store=store).id == finished.outcome.run_id
    with pytest.raises(StoreError, match=r"run must be a training run, got .* \(study\)"):
        grok.load_run(study.run_id, store=store)


def test_code_of_somebodys_own_is_not_run_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished) -> None:
    (tmp_path / "my_load.py").write_text("raise RuntimeError('it ran')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    stored = finished.run
    params = {**stored.params, "activation": "my_load:double"}
    tags = {**stored.tags, tag("config_hash"): replace(TINY, activation="my_load:double").hash}
    run = LoadedRun(StoredRun.of(_with_params(stored, params, tags)), finished.store)
    assert run.config.activation == "my_load:double"
    assert len(run.gap()) == TINY.epochs + 1
    with pytest.raises(StoreError, match=r"activation my_load:double .*trust_code=True"):
        run.network()
    trusted = replace(run, trust_code=True)
    with pytest.raises(grok.ConfigError, match="it ran"):
        trusted.network(0)(np.zeros((1, 2), dtype=np.int64))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("weight_decay", "0.5", "its params are not those that it was trained with: they were changed since"),
        ("window", "9", "its params are not those that it was trained with: they were changed since"),
        ("activation", "gone_away:double", "not verifiable: it names activation gone_away:double"),
    ],
)
def test_a_run_whose_params_were_changed_gives_its_files_and_nothing_that_follows_from_params(
    name: str, text: str, why: str, finished: Finished
) -> None:
    """Whatever else is given: a gap of a window of one's own is told of as of the run's config too."""
    stored = finished.run
    run = LoadedRun(StoredRun.of(_with_params(stored, {**stored.params, name: text})), finished.store)
    reads: list[Callable[[], object]] = [
        lambda: run.config,
        run.gap,
        lambda: run.gap(9, layer="w"),
        run.eigenvalues,
        lambda: run.eigenvalues(9, layer="w"),
        run.fire_epoch,
        lambda: run.fire_epoch(9, layer="w", detector="slope"),
        run.network,
        lambda: run.network(20),
    ]
    for read in reads:
        with pytest.raises(StoreError, match=rf"^run must have the params of its config, got {run.id} \({why}") as caught:
            read()
        assert "\n" not in str(caught.value)
    assert len(run.history) == TINY.epochs + 1
    assert run.band["w"].shape == (TINY.epochs, TINY.max_window)
    assert set(run.weights(20)) == {"w", "v"}


def _with_params(stored: StoredRun, params: dict[str, str], tags: dict[str, str] | None = None) -> Any:
    from types import SimpleNamespace

    data = SimpleNamespace(tags=tags or dict(stored.tags), params=params, metrics=stored.metrics)
    return SimpleNamespace(info=stored.info, data=data, outputs=stored.outputs)


def test_the_library_imports_neither_mlflow_nor_pandas_until_a_run_is_loaded() -> None:
    program = "import sys, grok; assert grok.__version__; print(*({'mlflow', 'pandas', 'torch'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
    assert torch.get_num_threads() >= 1

"""Stores: opened, found, refused."""

from pathlib import Path

import pytest

from grok.store.errors import StoreError
from grok.store.store import open_store


def test_a_new_store_keeps_its_artifacts_beside_the_database(store, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "two words/and more")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    opened = open_store()
    run = opened.create("here", {})
    run.put_text("note.txt", "text")
    (found,) = tmp_path.rglob("note.txt")
    assert found.is_relative_to(tmp_path / "mlruns")
    assert run.list_files("") == ["note.txt"]


def test_an_experiment_is_found_again(store):
    assert open_store().experiment_id == store.experiment_id


def test_a_deleted_experiment_is_refused(store):
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(
        StoreError, match=r"MLFLOW_EXPERIMENT_NAME must name an active experiment, got tests \(deleted\)\. Restore"
    ):
        open_store()


def test_the_experiment_is_that_of_the_made_run(store, monkeypatch):
    other = store.client.create_experiment("other", (Path(store.uri.removeprefix("sqlite:///")).parent / "other").as_uri())
    run_id = store.client.create_run(other).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert open_store().experiment_id == other


def test_find_looks_at_all_experiments_newest_first_and_exactly(store, monkeypatch):
    ids = []
    for name in ("one", "two"):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
        ids.append(open_store().create(name, {"kind": "train", "config_hash": "abc"}).run_id)
    store.create("other", {"kind": "train", "config_hash": "abcd"})
    assert [run.run_id for run in store.find({"kind": "train", "config_hash": "abc"})] == ids[::-1]

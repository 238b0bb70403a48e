"""Runs that are there already: which one has the work, and whether it is free."""

import pytest

from grok.spec.config import PROTOCOL_VERSION
from grok.store.errors import BusyError, StoreError
from grok.store.lease import take
from grok.store.prior import find_prior, named_prior, run_config
from grok.store.run import TrackedRun
from tests.helpers.left import leave_files


def count_runs(store):
    return len(store.client.search_runs([e.experiment_id for e in store.client.search_experiments()]))


def test_a_finished_run_is_found_and_a_new_config_is_not(finished, tiny):
    newest = finished.store.prior(finished.config)[0].info.run_id
    for config in (finished.config, tiny(device="auto", threads=2, save_every=0)):
        found = find_prior(finished.store, config)
        assert (found.run_id, found.state, found.done) == (newest, "complete", True)
    assert find_prior(finished.store, tiny(seed=77)) is None


def test_numbers_of_another_protocol_are_not_this_run(finished, monkeypatch):
    monkeypatch.setattr("grok.store.store.PROTOCOL_VERSION", "0")
    assert find_prior(finished.store, finished.config) is None


def test_a_run_in_training_is_not_trained_twice(store, tiny):
    run = store.create("live", {"kind": "train", "config_hash": tiny().hash, "protocol": PROTOCOL_VERSION})
    before = count_runs(store)
    with pytest.raises(StoreError, match=f"run must not be trained twice at once, got {run.run_id}"):
        find_prior(store, tiny())
    assert count_runs(store) == before
    run.set_tags({"process": "1:1.00"})
    found = find_prior(store, tiny())
    assert (found.run_id, found.done) == (run.run_id, False)


def test_a_deleted_run_and_a_stranger_are_refused(store, tiny):
    run = store.create("gone", {"kind": "train", "config_hash": tiny().hash})
    store.client.delete_run(run.run_id)
    other = store.create("other", {"kind": "analysis"}).run_id
    with pytest.raises(StoreError, match="run must not be deleted"):
        named_prior(store, run.run_id)
    with pytest.raises(StoreError, match="run must exist in"):
        named_prior(store, "0" * 32)
    with pytest.raises(StoreError, match="run must be a training run of this project"):
        run_config(store.get(other))


def test_a_run_that_stopped_before_its_params_is_not_taken_for_the_default(store, tiny):
    run = store.create("cut", {"kind": "train", "config_hash": tiny().hash})
    with pytest.raises(StoreError, match="run must have the params of its config"):
        run_config(store.get(run.run_id))


def test_done_run_is_found_behind_a_newer_one_that_lives(store, tiny):
    done = take(store, tiny(), session="a").run_id
    newer = take(store, tiny(), session="b", but=[done]).run_id
    leave_files(TrackedRun(store.client, done), tiny())
    TrackedRun(store.client, done).end("complete")
    assert store.prior(tiny())[0].run_id == newer
    assert find_prior(store, tiny()).run_id == done
    with pytest.raises(BusyError, match=newer):
        find_prior(store, tiny(), but=[done])
    TrackedRun(store.client, done).set_tags({"state": "interrupted"})
    with pytest.raises(BusyError, match=newer):
        find_prior(store, tiny())


def test_the_config_of_a_run_is_read_from_its_params(finished):
    assert run_config(finished.run).hash == finished.config.hash

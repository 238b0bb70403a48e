"""The registry of models, and system metrics: on request alone."""

import time

import mlflow
import numpy as np
import pytest

from grok.spec.fields import ConfigError
from grok.store import system
from grok.store.register import check_name, register


def test_networks_are_registered_once_with_an_alias_a_condition(finished, monkeypatch):
    store, run_id = finished.store, finished.outcome.run_id
    empty = store.create("without a network", {"kind": "train"}).run_id
    told = {run_id: "grok: square", empty: "diverged"}
    aliases = {"grok": run_id, "data starved": run_id, "none": empty}
    assert register(store, "addition", told, aliases) == {run_id: "1"}
    assert register(store, "addition", told, aliases) == {run_id: "1"}
    (version,) = store.client.search_model_versions("name = 'addition'")
    assert (version.run_id, version.description) == (run_id, "grok: square")
    assert sorted(store.client.get_registered_model("addition").aliases) == ["data-starved", "grok"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    mlflow.set_tracking_uri(store.uri)
    for uri in ("models:/addition@grok", "models:/addition/latest"):
        assert mlflow.pyfunc.load_model(uri).predict(np.array([[1, 2]])).shape == (1, 11)


@pytest.mark.parametrize("name", ["", "a/b", "a:1", "x" * 201, "a@b", " a"])
def test_a_name_that_no_model_can_have_is_refused_before_a_run(name):
    with pytest.raises(ConfigError, match=r"register must be letters.* Name it otherwise\."):
        check_name(name)


def test_system_metrics_are_logged_where_they_are_asked_for(store, monkeypatch):
    run_id = store.create("x", {"kind": "train"}).run_id
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    monkeypatch.delenv(system.VARIABLE, raising=False)
    with system.watched([run_id]):
        assert not system.asked()
    monkeypatch.setenv(system.VARIABLE, "")  # put back after the test, whatever is set meanwhile
    system.ask()
    with system.watched([run_id]):
        for _ in range(200):
            if store.get(run_id).metrics:
                break
            time.sleep(0.05)
    assert {name.partition("/")[0] for name in store.get(run_id).metrics} == {"system"}

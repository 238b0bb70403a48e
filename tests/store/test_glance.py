"""A local store read without MLflow's search: the same runs, and the finished run of a config at once."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grok.store import glance
from grok.store.store import Store
from grok.store.tags import CONFIG_HASH, KIND, PROTOCOL, STATE, study_tag
from tests.helpers.left import leave_files

TELLING = (
    "import sys; from entry_points.train import main; main(sys.argv[1:]); sys.exit(len({'torch', 'mlflow'} & set(sys.modules)))"
)


def filled(store: Store) -> list[str]:
    """Runs of two identities, one of them twice, a deleted one and one of another kind."""
    made = []
    for kind, own, state in (
        ("train", "a", "failed"),
        ("train", "a", "complete"),
        ("train", "b", "complete"),
        ("study", "a", ""),
    ):
        run = store.create(f"{kind} {own}", {KIND: kind, CONFIG_HASH: own, STATE: state, study_tag("mine"): own})
        run.log_params({"seed": own})
        run.log_points([(0, "x", 1.0), (1, "x", math.nan), (0, "late", 2.0), (3, "late", 1.0)])
        run.end(state or "complete")
        made.append(run.run_id)
    store.client.delete_run(store.create("gone", {KIND: "train", CONFIG_HASH: "a"}).run_id)
    return made


def plain(run: Any) -> tuple[Any, ...]:
    """All that is read of a run, with NaN equal to itself."""
    numbers = {name: "nan" if math.isnan(value) else value for name, value in run.metrics.items()}
    places = (run.artifact_uri, run.experiment_id, run.info.end_time, run.info.run_id)
    return run.run_id, run.name, run.status, run.start_time, dict(run.tags), dict(run.params), numbers, places


def test_the_same_runs_as_by_mlflows_search(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(store)
    asked: list[tuple[dict[str, str], str]] = [
        ({KIND: "train"}, ""),
        ({KIND: "train", CONFIG_HASH: "a"}, "study.mine"),
        ({}, "x"),
    ]
    looked = [store.find(filters, has) for filters, has in asked]
    among = store.find_among({KIND: "train"}, CONFIG_HASH, {"a", "c"}, "study.mine", lambda run: run.done)
    assert {run.run_id for run in among} == set(made[:2])
    assert looked[0][0].raw.data.params == {"seed": "b"}  # fetched when it is asked for
    monkeypatch.setattr(glance, "find", lambda *given, **named: None)
    for (filters, has), found in zip(asked, looked, strict=True):
        assert list(map(plain, found)) == list(map(plain, store.find(filters, has)))
    assert [len(found) for found in looked] == [3, 2, 0]
    of_server = store.find_among({KIND: "train"}, CONFIG_HASH, {"a", "c"}, "study.mine", lambda run: run.done)
    assert [run.run_id for run in of_server] == [run.run_id for run in among]


def test_a_server_is_not_asked_for_what_its_members_settle(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(store)
    monkeypatch.setattr(glance, "find", lambda *given, **named: None)
    asked: list[str] = []
    search = store.client.search_runs

    def counted(experiments: list[str], query: str, **named: Any) -> Any:
        asked.append(query)
        return search(experiments, query, **named)

    monkeypatch.setattr(store.client, "search_runs", counted)
    store.find_among({KIND: "train"}, CONFIG_HASH, {"a", "b"}, "study.mine", lambda run: run.done)
    assert len(asked) == 1
    store.find_among({KIND: "train"}, CONFIG_HASH, {"a", "b", "c"}, "study.mine", lambda run: run.done)
    assert len(asked) == 3  # and of c


def test_a_finished_run_is_told_without_torch_and_mlflow(store: Store, tiny: Any, tmp_path: Path) -> None:
    config = tiny().resolved()
    run = store.create("done", {KIND: "train", CONFIG_HASH: config.hash, PROTOCOL: "1"})
    words = [word for name, text in config.to_strings().items() for word in (f"--{name.replace('_', '-')}", text)]
    assert glance.done(config, "grok") is None  # not yet
    leave_files(run, config)
    run.end("complete")
    told = subprocess.run([sys.executable, "-c", TELLING, *words], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout.split()[:3]) == (0, [f"run={run.run_id}", "state=complete", "reused=yes"]), told.stderr
    store.client.update_run(run.run_id, status="RUNNING")  # its process was killed before it came to the end
    assert glance.done(config, "grok") is None


@pytest.mark.parametrize(
    ("name", "value"), [("MLFLOW_RUN_ID", "1"), ("MLFLOW_EXPERIMENT_NAME", "of nobody"), ("MLFLOW_TRACKING_URI", "http://x")]
)
def test_what_takes_more_than_a_look(store: Store, tiny: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    config = tiny().resolved()
    run = store.create("done", {KIND: "train", CONFIG_HASH: config.hash, PROTOCOL: "1"})
    leave_files(run, config)
    run.end("complete")
    assert glance.done(config, "grok") is not None
    monkeypatch.setenv(name, value)
    assert glance.done(config, "grok") is None

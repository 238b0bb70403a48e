"""`docs/mlflow-ui.md`: its searches find what they say, its examples run, as they are printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import mlflow
import pytest

from entry_points import train
from grok.spec.config import RunConfig
from grok.store import views
from grok.store.prior import create
from grok.store.register import register
from grok.store.store import open_store

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs" / "mlflow-ui.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def runs(store: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Runs of the project's own experiment, by name: of a config each with its metrics, a study, one of `mlflow run`."""
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    opened = open_store()
    configs = {"relu": RunConfig(activation="relu"), "square": RunConfig(seed=3), "eta0": RunConfig(weight_decay=0.0)}
    found = {}
    for name, config in configs.items():
        run = create(opened, config.resolved(), tags={"study.headline": "grok" if name == "square" else "eta0"})
        run.log_config(config.resolved())
        run.log_points([(0, "fired", float(name == "square")), (0, "fire_epoch", 174.0), (0, "accuracy/test", 1.0)])
        run.end("failed" if name == "eta0" else "complete", "lost" if name == "eta0" else "")
        found[name] = run.run_id
    study = opened.create("study headline", {"kind": "study"})
    study.log_summary({"fires/eta0": 2.0})
    made = opened.client.create_run("0").info.run_id
    opened.client.log_batch(made, params=[mlflow.entities.Param("epochs", "auto"), mlflow.entities.Param("activation", "relu")])
    monkeypatch.setenv("MLFLOW_RUN_ID", made)
    launched = create(open_store(), RunConfig(activation="relu", seed=1).resolved())
    launched.log_config(RunConfig(activation="relu", seed=1).resolved())
    return found | {"study": study.run_id, "launched": launched.run_id}


def test_each_search_finds_what_it_is_for(runs: dict[str, str]) -> None:
    expected = [["square"], ["launched", "relu"], ["eta0"], ["square"], ["eta0"], ["study"]]
    client = open_store().client
    experiments = [one.experiment_id for one in client.search_experiments()]
    names = {run_id: name for name, run_id in runs.items()}
    searches = blocks("text")[0].splitlines()
    found = [sorted(names[run.info.run_id] for run in client.search_runs(experiments, text)) for text in searches]
    assert dict(zip(searches, found, strict=True)) == dict(zip(searches, expected, strict=True))


def test_the_search_in_python_runs(runs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("python")[0], {})
    printed = capsys.readouterr().out
    assert runs["square"] in printed
    assert runs["eta0"] in printed
    assert runs["relu"] not in printed


def test_a_registered_network_answers(
    finished: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(finished.store, "modular-addition", {finished.outcome.run_id: "tiny"})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.store.uri)
    mlflow.set_tracking_uri(finished.store.uri)
    exec(blocks("python")[1], {})
    assert 0 <= int(capsys.readouterr().out) < 11


def test_its_commands_are_read_and_its_names_are_those_of_the_code() -> None:
    (line,) = [line for block in blocks("sh") for line in block.splitlines() if "entry_points" in line]
    train.parser().parse_args(shlex.split(line)[3:])
    for name in (views.EXPERIMENT, views.REPORTS, *(f"**{view.name}**" for view in views.VIEWS), *views.VERSIONS):
        assert name in TEXT

"""The sentence that ends a command, and the plan of a study."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from entry_points import found
from grok.spec.fields import ConfigError
from grok.spec.studies import Cell, Study, load_study
from tests.conftest import TINY


def test_a_run_is_told_in_one_sentence() -> None:
    summary = {"fired": 1.0, "fire_epoch": 173.0, "test_50_epoch": 101.0, "accuracy/test": 1.0}
    assert found.of_run(summary) == (
        "The detector fires at epoch 173; test accuracy reaches 0.5 at epoch 101; test accuracy ends at 1.000."
    )
    never = {"fired": 0.0, "fire_epoch": math.nan, "test_50_epoch": math.nan, "accuracy/test": 0.013}
    assert found.of_run(never) == "The detector does not fire; test accuracy ends at 0.013."
    assert found.of_run({"accuracy/test": 0.5}) == "Test accuracy ends at 0.500."
    assert found.of_run({}) == ""


def test_a_person_is_told_wherever_standard_error_goes(capsys: pytest.CaptureFixture[str]) -> None:
    found.say("Found.", "", "Next: more")
    assert capsys.readouterr() == ("", "Found.\nNext: more\n")


def test_links_land_in_the_training_pages_and_in_the_view_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = SimpleNamespace(uri="sqlite:////x/mlflow.db", home={"train": "1", "analysis": "2"}.get)
    run = "#/experiments/1/runs/abc?workflowType=machine_learning"
    charts = "#/experiments/1/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert found.look(store, "1", "abc", "a", "b").splitlines() == [
        f"Look: mlflow ui, then http://127.0.0.1:5000/{run}",
        f"All curves: http://127.0.0.1:5000/{charts}&viewStateShareKey=grok-detector",
        "Next: a",
        "Next: b",
    ]
    reports = "#/experiments/2/runs?workflowType=machine_learning&viewStateShareKey=grok-reports"
    assert found.look(store, "2", "abc", kind="analysis").endswith(f"\nAll reports: http://127.0.0.1:5000/{reports}")
    assert "viewStateShareKey" not in found.look(store, "0", "abc")  # of an experiment that may not have it
    monkeypatch.setattr("grok.store.views.known", lambda: False)
    assert "viewStateShareKey" not in found.look(store, "1", "abc")
    served: Any = SimpleNamespace(uri="http://me:secret@host:8080", home={"train": "1"}.get)
    assert found.look(served, "1", "abc").startswith(f"Look: http://host:8080/{run}\n")


def test_a_study_is_told_by_condition() -> None:
    table = pd.DataFrame({"condition": ["grok", "eta0"], "activation": ["square", "relu"], "fired": [2, 0], "runs": [2, 2]})
    assert found.of_study(table) == "The detector fires in: grok square 2 of 2, eta0 relu 0 of 2."
    assert found.of_study(pd.concat([table] * 4)).endswith(", and 2 more.")
    assert found.of_study(pd.DataFrame()) == ""
    table.attrs["found"] = "grad% of the edge falls below one half in: grok 2 of 2."
    assert found.of_study(table) == "grad% of the edge falls below one half in: grok 2 of 2."


def test_minutes_are_told_from_a_run_of_some_size() -> None:
    config = load_study("quick").cells[0].config
    told = found.minutes(config, 60.0, "quick")
    assert re.fullmatch(r"  # about \d+ min of one worker", told)
    assert len(load_study("quick").cells) <= int(told.split()[2]) <= 4 * len(load_study("quick").cells)
    assert found.minutes(config, 0.0, "quick") == ""
    assert found.minutes(TINY.resolved(), 60.0, "quick") == ""


def test_a_plan_counts_what_is_there_and_tells_minutes_from_it() -> None:
    study = load_study("quick")
    first, *others = study.cells
    assert found.plan_line(None, study) == f"{len(study.cells)} to train, 0 there already."

    def run(hash: str) -> Any:
        return SimpleNamespace(get=lambda name: hash, metrics={"elapsed_s": 600.0})

    some = SimpleNamespace(find=lambda tags: [run(first.config.hash), run("another")])
    told = found.plan_line(some, study)  # type: ignore[arg-type]  # it is only asked for runs
    assert told.startswith(f"{len(others)} to train, 1 there already, about ")
    assert int(told.split("about ")[1].split()[0]) >= 10
    timed = found.plan_line(None, Study("s", "?", "ours", (Cell("grok", TINY.resolved()),)), measure=True)
    assert re.fullmatch(
        r"1 to train, 0 there already, about \d+ min of one worker, at least, by a few epochs just trained\.", timed
    )
    every = SimpleNamespace(find=lambda tags: [run(cell.config.hash) for cell in study.cells])
    assert found.plan_line(every, study) == f"0 to train, {len(study.cells)} there already."  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["javascript:alert(1)", "ftp://x", "http://a b", 'http://x"y'])
def test_what_is_no_address_of_a_page_is_refused(text: str) -> None:
    from entry_points import analyze

    with pytest.raises(ConfigError, match="ui_url must be none or begin with http"):
        analyze._ui_url(text)
    assert analyze._ui_url("http://127.0.0.1:5000/") == "http://127.0.0.1:5000"

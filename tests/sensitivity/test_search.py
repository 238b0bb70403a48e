"""Optuna studies: seeded, found again, added to by several workers, killed, and never mixed with other runs."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import optuna
import pytest

from analysis.figures import sensitivity as figures
from analysis.sensitivity import importance, planning, search, space, storage, study, tracked, verdict, words
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.loading import _missing
from analysis.sensitivity.results import trial_table
from analysis.sensitivity.settings import SensitivityConfig, shown_storage, written_storage
from analysis.sensitivity.storage import Task, open_study
from grok.spec.fields import ConfigError
from grok.store.store import StoreError
from tests.helpers.synthetic_cells import EPOCHS, OPENS, made_cells, with_raw

CONFIG = SensitivityConfig(n_trials=30, window="8,12", smoothing="1..3", first_epoch="0..60", slope_lag="5..20")
PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def cells() -> Cells:
    return made_cells()


@pytest.fixture
def task(tmp_path: Path, cells: Cells) -> Callable[..., Task]:
    """`task(**changes)`: the search of a config with some fields changed, kept in `tmp_path`."""

    def make(made: Cells = cells, **changes: Any) -> Task:
        (one,) = planning.plan(made, replace(CONFIG, mode="search", **changes), tmp_path)
        return one

    return make


def told(trials: list[optuna.trial.FrozenTrial]) -> list[Any]:
    return [(trial.number, trial.values, trial.params, trial.user_attrs) for trial in trials]


def test_a_search_is_seeded_and_finds_the_signal(task: Callable[..., Task], cells: Cells) -> None:
    found = search.search(task(), cells)
    assert [trial.number for trial in found.trials] == list(range(30))
    assert not found.stopped
    assert found.times.trials == 30
    same = search.search(task(name="again"), cells)
    assert told(same.trials) == told(found.trials)
    other = search.search(task(seed=1), cells)
    assert told(other.trials) != told(found.trials)
    top = search.best(found, 1)[0]
    assert top.values[0] == max(trial.values[0] for trial in found.trials)
    assert top.values[0] > 0.9


def test_more_trials_go_on_with_the_same_study(task: Callable[..., Task], cells: Cells) -> None:
    first = search.search(task(n_trials=10), cells)
    more = search.search(task(n_trials=25), cells)
    assert told(more.trials[:10]) == told(first.trials)
    assert [trial.number for trial in more.trials] == list(range(25))
    assert more.times.trials == 15
    assert len({str(trial.params) for trial in more.trials}) > 20  # it does not repeat what it drew before
    assert search.search(task(n_trials=20), cells).times.trials == 0


def test_a_stop_keeps_what_was_tried(task: Callable[..., Task], cells: Cells) -> None:
    asked = iter([False] * 7 + [True] * 100)
    found = search.search(task(), cells, should_stop=lambda: next(asked))
    assert found.stopped
    assert [trial.number for trial in found.trials] == list(range(8))
    assert len(search.search(task(), cells).trials) == 30


def test_other_runs_or_another_question_are_refused(task: Callable[..., Task], cells: Cells) -> None:
    search.search(task(n_trials=3, name="mine"), cells)
    with pytest.raises(
        StoreError, match=r"study mine-search must be of the same runs as before, got others .*Give another --name"
    ):
        task(made=made_cells(seed=1), name="mine")
    with pytest.raises(StoreError, match="must be of the same question"):
        task(name="mine", slope_lag="5..21")
    assert len(search.search(task(n_trials=3, name="mine"), cells).trials) == 3
    task(made=made_cells(seed=1), name="other")


@pytest.mark.parametrize("objective", ["separation", "lead", "multi"])
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2"])
def test_objectives_and_samplers(task: Callable[..., Task], cells: Cells, objective: str, sampler: str) -> None:
    found = search.search(task(objective=objective, sampler=sampler, n_trials=12), cells)
    for trial in found.trials:
        counts = trial.user_attrs["calibration"]
        j = counts["fires"] / counts["n"] - counts["false"] / counts["controls"]
        excess = max(counts["false"] / counts["controls"] - CONFIG.alpha, 0)
        expected = {"separation": [j], "lead": [counts["lead"] - 1e6 * excess], "multi": [j, counts["lead"] - 1e6 * excess]}
        assert trial.values == pytest.approx(expected[objective])
    if objective == "multi":
        kept = search.best(found)
        assert all(a.values[0] > b.values[0] and a.values[1] < b.values[1] for a, b in itertools.pairwise(kept))
        assert not any(t.values[0] >= k.values[0] and t.values[1] > k.values[1] for k in kept for t in found.trials)


def test_the_search_for_the_worst_minimises(tmp_path: Path, cells: Cells) -> None:
    (worst,) = planning.plan(cells, replace(CONFIG, mode="adversarial"), tmp_path)
    found = search.search(worst, cells)
    assert worst.part == "square_worst_eta0"
    assert search.best(found, 1)[0].values[0] == min(trial.values[0] for trial in found.trials)
    setting = found.trials[0].user_attrs["setting"]
    assert (setting["rule"], setting["matrix"], setting["gap"], setting["smoothing"]) == ("slope", "w", "23", 1)
    assert 10 <= setting["window"] <= 16


def test_controls_and_windows_that_a_method_does_not_serve_are_left_out_and_named(tmp_path: Path, cells: Cells) -> None:
    """Random labels have no raw spectra, and those of the others go up to a window of 12, where the bands hold 16."""
    several = made_cells(conditions=("grok", "eta0", "random_labels"))
    made = with_raw(several, 12)
    config = replace(CONFIG, mode="all", method="svd,gram", window="3..auto", controls="all")
    tasks = {one.part: one for one in planning.plan(made, config, tmp_path)}
    assert tasks["search"].controls == ("eta0",)
    assert tasks["search"].space.windows() == list(range(3, 13))
    assert set(tasks) == {"search", "square_worst_eta0", "square_worst_random_labels", "square_worst_all"}  # by gram alone
    said = list(_missing(made, [], config))
    assert "no runs of square random_labels with spectrum method svd: not in the searches" in said
    assert "windows 13 … 16 of square are not searched: svd,gram serves up to 12" in said
    (one,) = planning.plan(several, replace(config, method="gram", mode="search"), tmp_path)
    assert (one.controls, one.space.windows()[-1]) == (("eta0", "random_labels"), 16)
    with pytest.raises(ConfigError, match="window must be at most 12 for method svd of square grok, got 14"):
        planning.plan(made, replace(config, window="3..14"), tmp_path)
    with pytest.raises(ConfigError, match="method must be one that the runs of square random_labels recorded, got svd"):
        planning.plan(made, replace(config, controls="random_labels"), tmp_path)


def test_a_task_that_one_side_of_the_seeds_cannot_serve_is_refused(tmp_path: Path, cells: Cells) -> None:
    for condition, what in (("grok", "grokking"), ("eta0", "control")):
        one = cells.cells["square", condition]
        even = replace(one, table=one.table.assign(seed=2 * one.table["seed"]))
        made = replace(cells, cells=cells.cells | {("square", condition): even})
        for mode in ("search", "adversarial"):
            with pytest.raises(ConfigError, match=f"held_out must leave seeds of {what} runs on both sides of .* got odd of"):
                planning.plan(made, replace(CONFIG, mode=mode), tmp_path)


def test_bands_of_sixteen_lags_are_told_of_to_the_end(tmp_path: Path, cells: Cells) -> None:
    """Too short for the published window of 20, and for most of the neighbourhood."""
    config = replace(CONFIG, mode="all", n_trials=3, samples=64)
    results = study.run(cells, config, planning.plan(cells, config, tmp_path))
    assert results.data["published"] is None
    lines = results.data["verdict"]
    assert "The published setting was not tried: its window is 20 updates, the runs' bands hold 16 lags." in lines
    near = results.data["neighbourhood"]
    assert (near["ranges"]["window"], near["asked"]["window"]) == ([10, 16], [10, 40])
    assert near["ranges"]["slope_lag"] == near["asked"]["slope_lag"] == [15, 40]
    assert any("window 10–16" in line and "cut: window to 10–16 of 10–40" in line and "runs fixed" in line for line in lines)
    assert lines[: len(results.data["answer"])] == results.data["answer"]
    assert lines[0].startswith("Yes, the detector's setting makes the result on square: ")
    assert "6 trials: 2 searches of 3 each (the best setting, worst near the published against runs without" in lines[-1]
    tried = results.tables["neighbourhood"]["window"]
    assert (tried.min(), tried.max()) == (10, 16)
    assert {"surface", "slices"} <= set(tracked._figures(results))


def test_two_commands_started_together_draw_different_trials(task: Callable[..., Task], cells: Cells) -> None:
    """Both open the study before either has added a trial: what they drew must differ all the same."""
    drawn = []
    for _ in range(2):
        one = task(sampler="random")
        sampler = search.sampler_of(one.config, search.next_turn(one, open_study(one)))
        memory = optuna.create_study(sampler=sampler)
        drawn.append([search.suggest(memory.ask(), one.space) for _ in range(5)])
    assert open_study(one).user_attrs["turns"] == 2
    assert not any(a in drawn[1] for a in drawn[0])


SECRET = "s3cr:t/ü"
URLS = (
    f"postgresql://me:{quote(SECRET, safe='')}@nowhere/optuna",
    f"postgresql://nowhere/optuna?user=me&password={quote(SECRET, safe='')}",
)


@pytest.mark.parametrize("url", URLS)
def test_a_password_is_shown_nowhere(
    task: Callable[..., Task], cells: Cells, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hides(text: str) -> bool:
        return SECRET not in text and quote(SECRET, safe="") not in text and "***" in text

    one = task(n_trials=2)
    found = search.search(one, cells)
    found.task = replace(one, storage=url, config=replace(one.config, storage=url))
    assert hides(str(verdict.searched(found, cells)))
    assert hides(str(found.task.config.to_strings()))

    def refuse(*arguments: Any, **keywords: Any) -> None:
        raise RuntimeError(f"cannot connect to {url} as me with {SECRET}")

    monkeypatch.setattr(storage, "RDBStorage", refuse)
    with pytest.raises(StoreError) as failed:
        task(storage=url)
    assert hides(str(failed.value))
    assert failed.value.__cause__ is None  # a traceback would print the driver's words
    assert shown_storage("a/b.journal") == "a/b.journal"
    assert written_storage("/home/me/a/b.journal") == "b.journal"
    assert written_storage("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert shown_storage("sqlite:///a.db") == "sqlite:///a.db"
    assert SECRET not in shown_storage(f"not a url://{SECRET}")


def test_what_is_compared_is_cut_and_told_apart_by_activation(tmp_path: Path) -> None:
    made = made_cells(activations=("square", "relu"))
    config = replace(CONFIG, mode="search")

    def print_of(activation: str) -> str:
        (one,) = planning.plan(made, replace(config, activation=activation), tmp_path / activation)
        return one.fingerprint

    first = {name: print_of(name) for name in ("square", "relu")}
    for condition in ("grok", "eta0"):
        made.cells["relu", condition].horizon = 90
    second = {
        name: planning._task(made, replace(config, activation=name), tmp_path, "search", name, "all", config.space(16))
        for name in first
    }
    assert second["square"].fingerprint == first["square"]
    assert second["relu"].fingerprint != first["relu"]

    cell = made.cells["square", "grok"]
    before = cell.fingerprint
    cell.table.loc[0, "test_50"] = 30.0
    assert cell.fingerprint != before

    never = {
        "matrix": "w",
        "gap": "23",
        "method": "gram",
        "window": 12,
        "smoothing": 1,
        "rule": "level",
        "first_epoch": 0,
        "level": 1e30,
    }
    judge = Judge(made, "square", ["eta0"], config)
    whole = judge.outcome(never, judge.fires(never))
    np.testing.assert_array_equal(whole.leads, [30.0 - EPOCHS, *[OPENS + 20.0 - EPOCHS] * 9])
    for one in made.cells.values():
        one.horizon = 90
        one._series.clear()
    cut = judge.outcome(never, judge.fires(never))
    np.testing.assert_array_equal(cut.leads, [30.0 - 90])  # the others reach 0.5 after the horizon


@pytest.mark.parametrize(("alpha", "says"), [(0.0, "No setting has FPR ≤ 0 on calibration seeds"), (0.5, "; FPR ")])
def test_the_best_lead_says_its_false_positive_rate(task: Callable[..., Task], cells: Cells, alpha: float, says: str) -> None:
    always = {"rule": "level", "level": "1.5", "first_epoch": "20", "gap": "12", "matrix": "w", "smoothing": "1"}
    own = always if alpha == 0 else {}
    found = search.search(task(objective="lead", alpha=alpha, n_trials=25, **own), cells)
    (line,) = words._search(verdict.searched(found, cells))
    assert says in line
    assert ("No setting" in line) == (alpha == 0)


def test_the_front_has_its_held_out_values(task: Callable[..., Task], cells: Cells) -> None:
    found = search.search(task(objective="multi", n_trials=25), cells)
    front = verdict.searched(found, cells)["front"]
    assert front
    table = trial_table([found]).set_index("number")
    for row in front:
        assert row["fpr_held"] == table.loc[row["number"], "fpr_held"]
        assert row["lead_held"] == table.loc[row["number"], "lead_held"]
    labels = [text.get_text() for text in figures.pareto(table, front).axes[0].get_legend().get_texts()]
    assert any("held-out" in label for label in labels)
    assert sum("calibration" in label for label in labels) == 2


def test_a_rule_that_only_a_storage_names_is_not_loaded(
    task: Callable[..., Task], cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_rule.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = search.search(task(n_trials=4), cells)
    trial = verdict.best(found, 1)[0]
    assert verdict.chosen(found, cells, trial)["setting"] == verdict.setting_of(trial)
    trial.user_attrs["setting"]["rule"] = "their_rule:D"
    with pytest.raises(StoreError, match=r"trial must be of a rule of its search \(.*\), got their_rule:D in trial"):
        verdict.chosen(found, cells, trial)
    assert not (tmp_path / "ran").exists()


def test_sqlite_by_url(task: Callable[..., Task], cells: Cells, tmp_path: Path) -> None:
    one = task(storage=f"sqlite:///{tmp_path / 'optuna.db'}", n_trials=4)
    assert len(search.search(one, cells).trials) == 4
    names = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'optuna.db'}")
    assert names == [one.name]


def test_a_storage_that_cannot_be_opened_is_one_line(task: Callable[..., Task], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="storage must be a file or a database URL that can be opened"):
        task(storage=str(tmp_path / "file" / "below.journal"))


def test_a_storage_in_postgresql_without_its_driver_is_told_which_extra_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # whether it is installed or not
    with pytest.raises(StoreError, match=r"Write postgresql\+psycopg2://, and in .*\.\[postgres\]'\.$") as caught:
        storage.open_storage("postgresql://ann:secret@127.0.0.1:1/optuna")
    assert "secret" not in str(caught.value)


def test_a_line_that_a_crash_cut_off_is_dropped(task: Callable[..., Task], cells: Cells) -> None:
    one = task(n_trials=5)
    search.search(one, cells)
    with open(one.storage, "ab") as file:
        file.write(b'{"op_code": 4, "trial')
    found = search.search(task(n_trials=8), cells)
    assert [trial.number for trial in found.trials] == list(range(8))


WORKER = """
import pickle, sys
from analysis.sensitivity import search
task, cells = pickle.load(open(sys.argv[1], "rb"))
print("ready", flush=True)
search.search(task, cells)
"""


def test_two_commands_at_once_and_a_kill_lose_and_repeat_nothing(
    task: Callable[..., Task], cells: Cells, tmp_path: Path
) -> None:
    """Two processes on one study, one of them killed while it works, the other ends; then the trials are all there, once."""
    one = task(n_trials=200, sampler="random")
    (tmp_path / "payload").write_bytes(pickle.dumps((one, cells)))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "payload")], cwd=PROJECT, stdout=subprocess.PIPE, env=os.environ
        )
        for _ in range(2)
    ]
    shared = open_study(one)
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    while len(shared.trials) < 50:
        time.sleep(0.01)
    workers[0].send_signal(signal.SIGKILL)
    before = told(shared.get_trials())
    for worker in workers:
        worker.wait()
        assert worker.stdout is not None
        worker.stdout.close()
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL, 0]
    trials = open_study(one).trials
    assert [trial.number for trial in trials] == list(range(200))
    assert {trial.state for trial in trials} == {optuna.trial.TrialState.COMPLETE}
    assert told(trials)[: len(before)] == before
    assert len({str(trial.params) for trial in trials}) == 200
    again = search.search(one, cells)
    assert again.times.trials == 0


@pytest.mark.slow
def test_two_workers_of_one_command(task: Callable[..., Task], cells: Cells) -> None:
    found = search.search(task(n_trials=120, sampler="random", workers=2), cells)
    assert [trial.number for trial in found.trials] == list(range(120))
    assert len({str(trial.params) for trial in found.trials}) == 120
    assert found.times.trials == 120


@pytest.mark.parametrize("evaluator", ["fanova", "mdi", "ped_anova"])
def test_optunas_evaluators_are_named_and_seeded(
    task: Callable[..., Task], cells: Cells, evaluator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "FOREST_RESAMPLES", 4)
    monkeypatch.setattr(importance, "TREES", 8)
    fixed = {
        "rule": "slope",
        "matrix": "w",
        "smoothing": "1",
        "direction": "rising",
        "window": "12",
        "gap": "23,34",
        "first_epoch": "20",
    }
    found = search.search(task(sampler="random", n_trials=60, **fixed), cells)
    one, same, other = (importance.of_trials(found.trials, evaluator, seed, "J") for seed in (0, 0, 1))
    assert one == same
    assert one.evaluator == evaluator
    assert one.informative
    assert set(one.values) == {"gap", "slope.slope_threshold", "slope.slope_lag"}
    assert all(value.low <= value.high for value in one.values.values())
    assert other.values != one.values  # the resamples at least are of another seed
    flat = [optuna.trial.create_trial(value=1.0, params=t.params, distributions=t.distributions) for t in found.trials]
    assert not importance.of_trials(flat, evaluator, 0, "J").informative


def test_counts_are_those_of_the_runs(task: Callable[..., Task], cells: Cells) -> None:
    found = search.search(task(n_trials=5), cells)
    table = trial_table([found])
    assert list(table["number"]) == list(range(5))
    assert table["study"].eq("search").all()
    for row, trial in zip(table.to_dict("records"), found.trials, strict=True):
        held = trial.user_attrs["held_out"]
        assert held["n"] == held["controls"] == 5
        assert row["j_held"] == pytest.approx(held["fires"] / 5 - held["false"] / 5)
        assert row["rule"] in ("slope", "level", "sustained", "cusum")
        assert np.isnan(row["slope_threshold"]) == (row["rule"] != "slope")


def test_objectives_are_named_and_the_published_setting_is_the_first_trial(task: Callable[..., Task], cells: Cells) -> None:
    """So that a dashboard names its axis and has the baseline in its plots; where the space does not hold it, it is not one."""
    one = task(objective="multi", n_trials=4, window="12", first_epoch="40,100", slope_lag="15,25", slope_threshold="0.01..0.1")
    found = search.search(one, cells)
    assert open_study(one).metric_names == ["J of square on calibration seeds", "lead before test accuracy 0.5, epochs"]
    assert not any(trial.user_attrs.get("published") for trial in found.trials)
    near = replace(one, name="near", space=one.space.narrowed(window=(12, 20)))
    assert space.has(near.space, space.PUBLISHED)
    setting = search.suggest(optuna.trial.FixedTrial(search.parameters_of(near.space, space.PUBLISHED)), near.space)  # type: ignore[arg-type]
    assert setting == space.PUBLISHED


def test_the_published_setting_is_tried_once(tmp_path: Path) -> None:
    """On bands long enough for it: a search that goes on, and its worker, do not try it again."""
    made = made_cells(lags=24)
    config = replace(CONFIG, mode="search", n_trials=3, window="12..24", first_epoch="0..120", slope_lag="5..30")
    for trials in (3, 6):
        (one,) = planning.plan(made, replace(config, n_trials=trials), tmp_path)
        found = search.search(one, made)
        settings = [trial.user_attrs["setting"] for trial in found.trials]
        assert settings[0] == space.PUBLISHED
        assert [bool(trial.user_attrs.get("published")) for trial in found.trials] == [True, *[False] * (trials - 1)]

"""A whole sensitivity study: grids, searches, importances and the verdict, from runs that are loaded already."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis.sensitivity import grid, importance, nested
from analysis.sensitivity import neighbourhood as nearby
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.importance import Importance
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.planning import spectra_needed
from analysis.sensitivity.results import Results, data_of
from analysis.sensitivity.search import search
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.space import Space
from analysis.sensitivity.storage import Task
from analysis.sensitivity.tried import EVERY, try_all
from analysis.words import CONDITIONS

LEAST_SAMPLES = 64
"""Rows of the designed sample of an importance; else an eighth of `samples`."""
Report = Callable[[str, int, int], None]
"""Told of progress: what is done, how far, of how many."""
Sentence = Callable[[pd.DataFrame], tuple[pd.DataFrame, dict[str, Any] | None]]
"""Judges what a paper says of the grid, by the paper's own rule: its settings as a table, the verdict with its `sentences`."""
Windows = Callable[[Mapping[int, Mapping[str, grid.Measured]]], dict[int, dict[str, Any]]]
"""Judges a paper's window table, by the rule of its claims: by window, `verdict` and `text`."""


def run(
    cells: Cells,
    config: SensitivityConfig,
    tasks: list[Task],
    *,
    rebuttal: Sentence | None = None,
    windows: Windows | None = None,
    report: Report = lambda what, done, of: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Results:
    """Carry a study out.

    Args:
        cells: the runs. config: what is asked. tasks: of `plan`.
        rebuttal: judges the rebuttal's sentence on the grid. windows: judges the published window table. Both rules belong
            to the paper, so the caller brings them.
        report: told of progress. should_stop: True ends it soon; what was tried is kept by the Optuna studies.
    """
    results = Results()
    started = time.perf_counter()
    needed = spectra_needed(cells, config, tasks)
    if not cells.prepare(needed, lambda done, of: report("spectra", done, of), should_stop):
        results.stopped = True
        return results
    spectra_s = time.perf_counter() - started
    if config.mode in ("all", "grid"):
        _grids(cells, config, results, report)
    for task in tasks:

        def told(count: int, part: str = task.part) -> None:
            report(part, count, config.n_trials)

        found = search(task, cells, report=told, should_stop=should_stop)
        results.searches.append(found)
        results.stopped |= found.stopped
        if found.stopped:
            return results
    if not _nested(cells, config, results, tasks, report, should_stop):
        results.stopped = True
        return results
    found_importance = _importances(cells, config, results, report)
    said = None
    if rebuttal is not None and "grid" in results.tables:
        results.tables["rebuttal"], said = rebuttal(results.tables["grid"])
    by_window = windows(grid.window_runs(cells)) if windows is not None and "window_table" in results.tables else {}
    results.data = data_of(cells, config, results, found_importance, spectra_s, said, by_window)
    return results


def _grids(cells: Cells, config: SensitivityConfig, results: Results, report: Report) -> None:
    report("grids", 0, 4)
    results.tables["grid"] = grid.grid(cells, config)
    report("grids", 1, 4)
    results.tables["surface"] = grid.surface(cells, config)
    report("grids", 2, 4)
    results.near = nearby.sample(cells, config)
    results.tables["neighbourhood"] = results.near.table
    report("grids", 3, 4)
    results.tables["window_table"] = grid.window_table(cells)
    if len(variants := grid.rounding_table(cells)):
        results.tables["rounding"] = variants
    report("grids", 4, 4)


def _nested(
    cells: Cells,
    config: SensitivityConfig,
    results: Results,
    tasks: list[Task],
    report: Report,
    should_stop: Callable[[], bool],
) -> bool:
    """The nested cross-validations of what the searches are of; False if it was stopped.

    Of each activation that is searched, over its space and against each control set; and near the published setting, for the
    setting that fails worst.
    """
    spaces: dict[str, tuple[Space, tuple[str, ...]]] = {}
    for task in tasks:
        if not task.part.startswith("square_worst"):
            known = spaces.get(task.activation, (task.space, ()))[1]
            spaces[task.activation] = task.space, tuple(dict.fromkeys((*known, *task.controls)))
    for activation, (space, controls) in spaces.items():
        method = "gram" if "gram" in config.methods else config.methods[0]  # those of one method are the same runs
        settings = nested.candidates(space.narrowed(method=(method,)), config)

        def told(count: int, what: str = f"held-out seeds of {activation}", of: int = len(settings)) -> None:
            report(what, count, of)

        tried = try_all(Judge(cells, activation, controls, config), settings, told)
        results.told[activation] = [nested.cross_validate(tried, name, config) for name in (*tried.controls, EVERY)]
        if should_stop():
            return False
    if results.near is not None and any(task.part.startswith("square_worst") for task in tasks):
        near = results.near.tried["square"]
        results.told["near"] = [nested.cross_validate(near, EVERY, config, worst_case=True)]
    return True


def _importances(cells: Cells, config: SensitivityConfig, results: Results, report: Report) -> list[Importance]:
    """Of the search: over its whole space and near the published setting, or by an Optuna evaluator on its trials."""
    found = next((one for one in results.searches if one.task.part == "search"), None)
    if found is None:
        return []
    task = found.task
    target = f"J of {task.activation} against {CONDITIONS[config.controls]}"
    if config.importance != "sobol":
        goal = target if task.objective != "lead" else f"lead of {task.activation}"
        out = [importance.of_trials(found.trials, config.importance, config.seed, goal)]
    else:
        rule = "slope" if "slope" in task.space.own else next(iter(task.space.own))
        places = (
            (f"over the search space, rule {rule}", task.space, rule),
            ("near the published setting", nearby.space(cells.largest_window()), "slope"),
        )
        judge = Judge(cells, task.activation, task.controls, config)
        out = []
        for number, (where, space, name) in enumerate(places):
            report("importance", number, len(places))
            if space.dimensions(name):
                out.append(_sobol(judge, space, name, config, f"{target}, {where}"))
    rows = [
        {"target": one.target, "evaluator": one.evaluator, "parameter": name, **value._asdict()}
        for one in out
        for name, value in one.values.items()
    ]
    results.tables["importance"] = pd.DataFrame(rows)
    return out


def _sobol(judge: Judge, space: Space, rule: str, config: SensitivityConfig, target: str) -> Importance:
    """Total Sobol indices of J, all seeds, over a rule's part of a space."""

    def youden(chosen: dict[str, Any]) -> float:
        setting = space.setting(rule, chosen)
        return judge.outcome(setting, judge.fires(setting)).j

    samples = max(LEAST_SAMPLES, config.samples // 8)
    return importance.sobol_total(youden, space.dimensions(rule), samples, config.seed, target)

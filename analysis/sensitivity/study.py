"""A whole sensitivity study: grids, searches, importances and the verdict, from runs that are loaded already."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.sensitivity import grid, importance, nested, verdict, words
from analysis.sensitivity import neighbourhood as nearby
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.importance import Importance
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.loading import chosen_activation
from analysis.sensitivity.neighbourhood import Neighbourhood
from analysis.sensitivity.nested import Told
from analysis.sensitivity.search import Found, check_method, search
from analysis.sensitivity.settings import METHODS, SPACE_FIELDS, SensitivityConfig
from analysis.sensitivity.space import Space, whole_numbers
from analysis.sensitivity.storage import Task, open_study
from analysis.sensitivity.tried import EVERY, try_all
from analysis.words import CONDITIONS
from grok.spec.fields import ConfigError

SCHEMA = 3
LEAST_SAMPLES = 64
"""Rows of the designed sample of an importance; else an eighth of `samples`."""
Report = Callable[[str, int, int], None]
"""Told of progress: what is done, how far, of how many."""
Sentence = Callable[[pd.DataFrame], tuple[pd.DataFrame, dict[str, Any] | None]]
"""Judges what a paper says of the grid, by the paper's own rule: its settings as a table, the verdict with its `sentences`."""
Windows = Callable[[Mapping[int, Mapping[str, grid.Measured]]], dict[int, dict[str, Any]]]
"""Judges a paper's window table, by the rule of its claims: by window, `verdict` and `text`."""


@dataclass
class Results:
    """Everything that a study found.

    Attributes:
        tables: by name, as they are stored. data: `sensitivity.json`. searches: the Optuna studies.
        near: the neighbourhood that was tried, None if it was not. told: the nested cross-validations, by what they are of.
        stopped: whether a search was stopped before its last trial.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    searches: list[Found] = field(default_factory=list)
    near: Neighbourhood | None = None
    told: dict[str, list[Told]] = field(default_factory=dict)
    stopped: bool = False


def plan(cells: Cells, config: SensitivityConfig, folder: Path) -> list[Task]:
    """The Optuna studies that a command's mode asks for; each is opened, so that one of other runs is refused now.

    Args:
        cells: the runs. config: what is asked. folder: of journal files.

    Raises:
        ConfigError: if the runs do not serve the space. StoreError: if a study of that name is of other runs.
    """
    activation = chosen_activation(cells.activations, config)
    tasks = []

    def whole(one: str) -> Space:
        most = cells.largest_window()
        served = cells.serves(one, "grok", *config.methods)  # where not, `check_method` says so
        return config.space(most, min(most, cells.largest_window_of(one, *config.methods)) if served else most)

    if config.mode in ("all", "search"):
        tasks.append(_task(cells, config, folder, "search", activation, config.controls, whole(activation)))
    if config.mode in ("all", "adversarial"):
        near = nearby.space(cells.largest_window())
        if cells.serves("relu", "grok", *config.methods):
            space = whole("relu")
            sets = cells.control_sets("relu", *config.methods)
            tasks += [_task(cells, config, folder, f"relu_best_{name}", "relu", name, space) for name in sets]
        if "square" in cells.activations:
            sets = cells.control_sets("square")
            tasks += [_task(cells, config, folder, f"square_worst_{name}", "square", name, near, True) for name in sets]
        if not tasks and config.mode == "adversarial":
            raise ConfigError(
                f"mode must be grid or search where there are no controls of relu or square, got adversarial of {config.study}."
                " Run the study headline or relu first."
            )
    for task in tasks:
        check_method(cells, task.activation, task.controls, task.space)
        _check_sides(cells, task)
        _check_lead(cells, task)
        open_study(task)
    return tasks


def _task(
    cells: Cells,
    config: SensitivityConfig,
    folder: Path,
    part: str,
    activation: str,
    controls: str,
    space: Space,
    minimise: bool = False,
) -> Task:
    methods = [str(name) for name in space.common["method"]] if isinstance(space.common["method"], tuple) else []
    own = cells.controls(activation, *methods) if controls == "all" else [controls]
    runs = [cell.fingerprint for key in ("grok", *own) if (cell := cells.cell(activation, key)) is not None]
    runs += [cell.fingerprint for key, cell in sorted(cells.raw.items()) if key[0] == activation and config.method != "gram"]
    runs += [f"{name} {cell.horizon}" for (one, name), cell in sorted(cells.cells.items()) if one == activation]
    fingerprint = hashlib.sha256(" ".join(runs).encode()).hexdigest()[:16]
    base = f"{config.study.replace('/', '.')}-{config.hash}" if config.name == "auto" else config.name
    name = f"{base}-{part}"
    storage = str(folder / f"{name}.journal") if config.storage == "auto" else config.storage
    objective = config.objective if part == "search" else "separation"
    return Task(part, name, storage, fingerprint, activation, tuple(own), objective, minimise, space, config)


def _check_sides(cells: Cells, task: Task) -> None:
    """Refuse a task that could not be calibrated, or not be told on held-out seeds, by any of its spectrum methods."""
    methods = task.space.common["method"]
    for method in methods if isinstance(methods, tuple) else ():
        for what, conditions in (("grokking", ("grok",)), ("control", task.controls)):
            seeds = {
                int(seed) for name in conditions if (cell := cells.cell(task.activation, name, method)) for seed in cell.seeds
            }
            if len({task.config.is_held_out(seed) for seed in seeds}) < 2:
                raise ConfigError(
                    f"held_out must leave seeds of {what} runs on both sides of {task.part} ({task.activation}, {method}), got "
                    f"{task.config.held_out} of {sorted(seeds)}. Split them, or train more seeds."
                )


def _check_lead(cells: Cells, task: Task) -> None:
    cell = cells.cell(task.activation, "grok")
    if task.objective == "separation" or cell is None:
        return
    held = [task.config.is_held_out(int(seed)) for seed in cell.seeds]
    if not any(pd.notna(epoch) and not out for epoch, out in zip(cell.test_50, held, strict=True)):
        raise ConfigError(
            f"objective must be separation where no run reaches test accuracy 0.5, got {task.objective} on {task.activation}. "
            "Take separation."
        )


def spectra_needed(cells: Cells, config: SensitivityConfig, tasks: list[Task]) -> list[tuple[str, tuple[str, str, int]]]:
    """(activation, (matrix, method, window)) of every series that the study reads."""
    out: dict[tuple[str, tuple[str, str, int]], None] = {}
    most = cells.largest_window()
    if config.mode in ("all", "grid"):
        windows = {*grid.WINDOWS, *grid.SURFACE_WINDOWS, *whole_numbers(nearby.RANGES["window"])}
        for activation in cells.activations:
            out |= {(activation, ("w", "gram", window)): None for window in sorted(windows) if window <= most}
            for method in METHODS:
                if cells.serves(activation, "grok", method):
                    kept = cells.largest_window_of(activation, method)
                    out |= {(activation, ("w", method, window)): None for window in grid.WINDOWS if window <= kept}
    for task in tasks:
        common = task.space.common
        for matrix in common["matrix"] if isinstance(common["matrix"], tuple) else ():
            for method in common["method"] if isinstance(common["method"], tuple) else ():
                out |= {(task.activation, (str(matrix), str(method), w)): None for w in task.space.windows()}
    return list(out)


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
    for number, (activation, key) in enumerate(needed):
        if should_stop():
            results.stopped = True
            return results
        cells.prepare([key], [activation], lambda: None)
        report("spectra", number + 1, len(needed))
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
    results.data = _data(cells, config, results, found_importance, spectra_s, said, by_window)
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


def trial_table(searches: list[Found]) -> pd.DataFrame:
    """A row per trial of every search: what it is of, its values, the setting, rates and lead on both sets of seeds."""
    rows = []
    for found in searches:
        for trial in found.trials:
            setting = verdict.setting_of(trial)
            row: dict[str, Any] = {"study": found.task.part, "number": trial.number, "state": trial.state.name}
            row["value"] = trial.values[0]
            row |= {"value_2": trial.values[1] if len(trial.values) > 1 else None} | setting
            row["published"] = bool(trial.user_attrs.get("published"))
            for side, suffix in (("calibration", ""), ("held_out", "_held")):
                counts = trial.user_attrs[side]
                tpr, fpr = counts["fires"] / max(counts["n"], 1), counts["false"] / max(counts["controls"], 1)
                row |= {f"j{suffix}": tpr - fpr, f"tpr{suffix}": tpr, f"fpr{suffix}": fpr, f"lead{suffix}": counts["lead"]}
            rows.append(row)
    own = [name for found in searches for rule in found.task.space.rules.values() for name in rule.parameters]
    columns = ["study", "number", "state", "value", "value_2", *dict.fromkeys((*SPACE_FIELDS, *own))]
    columns += [f"{name}{suffix}" for suffix in ("", "_held") for name in ("j", "tpr", "fpr", "lead")]
    columns.append("published")
    table = pd.DataFrame(rows).reindex(columns=columns)
    return table.astype({"value_2": float, "lead": float, "lead_held": float})


def _data(
    cells: Cells,
    config: SensitivityConfig,
    results: Results,
    found: list[Importance],
    spectra_s: float,
    rebuttal: dict[str, Any] | None,
    by_window: dict[int, dict[str, Any]],
) -> dict[str, Any]:
    """`sensitivity.json`."""
    tables, searches = results.tables, results.searches
    if searches:
        tables["trials"] = trial_table(searches)
    main = next((one for one in searches if one.task.part == "search"), None)
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "settings": config.to_strings(),
        "data": describe(cells, config, searches),
        "published": verdict.published(cells, config),
        "neighbourhood": None,
        "rebuttal": rebuttal,
        "relu": verdict.counterexamples(searches, cells, "relu_best_"),
        "square_worst": verdict.counterexamples(searches, cells, "square_worst_"),
        "search": verdict.searched(main, cells) if main else None,
        "nested": {name: [verdict.nested(one) for one in told] for name, told in results.told.items()} or None,
        "importance": verdict.importances(found) or None,
        "window_table": None,
        "speed": speed(searches, spectra_s, config),
    }
    if results.told:
        tables["nested"] = verdict.nested_table(results.told)
    if results.near is not None:
        data["neighbourhood"] = verdict.neighbourhood(results.near, config, cells.largest_window())
        word = words.window_word(tables["window_table"], by_window)
        rounding = words.rounding_word(tables["rounding"]) if "rounding" in tables else None
        rows = verdict.records(tables["window_table"])
        data["window_table"] = {"rows": rows, "verdicts": by_window, "word": word, "rounding": rounding}
    data["answer"] = list(words.answer(data))
    data["verdict"] = [*data["answer"], *words.sentences(data)]
    return data


def describe(cells: Cells, config: SensitivityConfig, searches: list[Found]) -> dict[str, Any]:
    """Which runs were compared, which seeds chose, what was searched, and what was not there."""
    runs: dict[str, dict[str, int]] = {}
    studies: dict[str, dict[str, str]] = {}
    for (activation, condition), cell in cells.cells.items():
        runs.setdefault(activation, {})[condition] = len(cell.table)
        studies.setdefault(activation, {})[condition] = cell.study
    seeds = sorted({int(seed) for cell in cells.cells.values() for seed in cell.seeds})
    every = {id(cell): cell for cell in (*cells.cells.values(), *cells.raw.values())}.values()
    return {
        "fingerprint": cells.fingerprint,
        "runs": runs,
        "studies": studies,
        "methods": {a: sorted(cell.methods()) for (a, condition), cell in cells.raw.items() if condition == "grok"},
        "missing": list(cells.missing),
        "run_ids": sorted({run_id for cell in every for run_id in cell.table["run_id"]}),
        "left_out": len(cells.left_out),
        "calibration_seeds": [s for s in seeds if not config.is_held_out(s)],
        "held_out_seeds": [s for s in seeds if config.is_held_out(s)],
        "max_window": cells.largest_window(),
        "searches": {one.task.part: len(one.trials) for one in searches},
    }


def speed(searches: list[Found], spectra_s: float, config: SensitivityConfig) -> dict[str, Any]:
    """What this command's own trials took; null where it made none."""
    trials = sum(one.times.trials for one in searches)
    wall = sum(one.times.wall for one in searches)
    parts: Mapping[str, float] = {
        "detectors": sum(one.times.detectors for one in searches),
        "sampler": sum(one.times.sampler for one in searches),
        "storage": sum(one.times.storage for one in searches),
    }
    total = sum(parts.values())
    shares = {f"share_{name}": seconds / total if total else None for name, seconds in parts.items()}
    optuna_share = (parts["sampler"] + parts["storage"]) / total if total else None
    return {
        "trials": trials,
        "trials_per_s": trials / wall if trials else None,
        "workers": config.workers,
        **shares,
        "share_optuna": optuna_share,
        "spectra_s": spectra_s,
    }

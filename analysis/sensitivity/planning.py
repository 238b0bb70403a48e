"""What a command is going to do: the Optuna studies that its mode asks for, refused if runs do not serve, and the spectra."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from analysis.sensitivity import grid
from analysis.sensitivity import neighbourhood as nearby
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.loading import chosen_activation
from analysis.sensitivity.search import check_method
from analysis.sensitivity.settings import METHODS, SensitivityConfig
from analysis.sensitivity.space import Space, whole_numbers
from analysis.sensitivity.storage import Task, open_study
from grok.spec.fields import ConfigError


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

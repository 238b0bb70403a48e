"""A made-up study of signals with the study's own counts of runs, whose signal is planted: what word does it get?"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping

import numpy as np

from analysis.papers.signals import rows
from analysis.papers.signals.study import GROK, LATE, MAIN, WEAK, Arm, Known, Stored
from analysis.reading.runs import grid
from analysis.statistics.alarms import Watched
from grok.signals.base import find

TIMES = {5e-5: 330, 1e-4: 174, 2e-4: 101, 5e-4: 102}
"""Epochs at which a square network reaches a test accuracy of one half, by weight decay, at 0.4 of the pairs."""
SLOWER = {"square": 1.0, "relu": 3.7, "relu2": 1.2}
HORIZON = 740
"""Of t50: beyond it a run has not reached 0.99 after 800 epochs."""
Plant = Callable[[Known, np.random.Generator, np.ndarray], np.ndarray]
"""(a run, its own generator, epochs) → the series."""


def study(world: int = 0, arm: Arm = MAIN) -> dict[str, Known]:
    """Every run of the grid, replicates among them, with t50 by its cell and two per cent of noise."""
    out = {}
    for number, cell in enumerate(grid(arm.study)):
        config = cell.config
        key = (cell.condition, config.network, config.task, config.activation, config.weight_decay, config.n_train)
        rng = np.random.default_rng(zlib.crc32(repr((key, config.seed, world)).encode()))
        time = TIMES[config.weight_decay] * SLOWER[config.activation] if cell.condition == GROK else math.nan
        t50 = round(time * (2016 / config.n_train) ** 1.2 * math.exp(rng.normal(0, 0.02))) if time == time else math.nan
        positive, late = t50 <= HORIZON, t50 > HORIZON
        times = (0.83 * t50, float(t50), 1.1 * t50) if positive else (math.nan,) * 3
        control, decayed = "" if positive else LATE if late else cell.condition, config.weight_decay > 0
        blank = np.array([])
        censored = late or cell.condition == WEAK
        run = Watched(config.seed, positive, control, decayed, *times, blank, blank, censored, config.activation)
        again = str(config.rounding) != "auto"
        out[f"run-{number}"] = Known(run, 20.0, key, again)
    return out


def stored(
    about: Mapping[str, Known], plant: Plant, name: str = "rho", *, every: int = 10, world: int = 0
) -> dict[str, Stored]:
    """The planted series as the published variant of a signal, the same for runs that differ in rounding alone."""
    variant, epochs, out = MAIN.published(find(name)), np.arange(0, MAIN.last + 1, every), dict[str, Stored]()
    for run_id, one in about.items():
        rng = np.random.default_rng(zlib.crc32(repr((one.twin, world, name)).encode()))
        out[run_id] = {(name, variant): (epochs, np.asarray(plant(one, rng, epochs), dtype=np.float64))}
    return out


def told(
    plant: Plant,
    name: str = "rho",
    rule: str = rows.CALIBRATED,
    *,
    every: int = 10,
    world: int = 0,
    about: dict[str, Known] | None = None,
) -> rows.Row:
    """The row of a planted signal.

    Args:
        plant: the series. name: of the signal that it stands for. rule: which. every: epochs between its values.
        world: another draws other noise. about: the runs, if not all of `study`.
    """
    runs = study(world) if about is None else about
    signal = find(name)
    reading = rows.Reading(signal, MAIN.published(signal), rule, 1 if rule == rows.PRINTED else every)
    return rows.row(runs, stored(runs, plant, name, every=every, world=world), reading)


def noise(rng: np.random.Generator, epochs: np.ndarray, size: float = 0.01) -> np.ndarray:
    """White."""
    return rng.normal(0, size, len(epochs))


def step(one: Known, epochs: np.ndarray, lead: float) -> np.ndarray:
    """1 from so many epochs before t50 on, of a run that groks; else 0."""
    return (epochs >= one.run.t50 - lead) * 1.0 if one.run.positive else np.zeros(len(epochs))


def early(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Perfect: a step at 0.6 of t50, and noise."""
    return step(one, epochs, 0.4 * one.run.t50) + noise(rng, epochs)

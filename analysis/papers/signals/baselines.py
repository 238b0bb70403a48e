"""What a signal must beat: clock, losses and norms, and a clock that knows a run's config; run by run, by a sign test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.papers.signals.rows import CALIBRATED, COARSE, Fires, Row, read
from analysis.papers.signals.study import HALVES, Arm, Known
from analysis.statistics.alarm_scores import Alarms
from analysis.statistics.alarm_words import ALARMS, Contest, contest
from analysis.statistics.alarms import Watched

CELL_CLOCK, FORECAST = "cell_clock", "median t50 of the cell"
BASELINES = ("clock", "loss", "weight_norm", "gradient_norm", "test_loss_turnover", CELL_CLOCK)


def forecasts(about: Mapping[str, Known]) -> dict[str, float]:
    """Of each run the median t50 of its cell's runs of the other pair of seeds that grok; NaN where none does."""
    times: dict[tuple[Any, ...], list[tuple[int, float]]] = {}
    for one in about.values():
        if one.run.positive and not one.replicate:
            times.setdefault(one.cell, []).append((one.run.seed, one.run.t50))
    out = {}
    for run_id, one in about.items():
        own = next(half for half in HALVES if one.run.seed in half)
        others = [t50 for seed, t50 in times.get(one.cell, []) if seed not in own]
        out[run_id] = float(np.median(others)) if others else math.nan
    return out


def cell_clock(about: Mapping[str, Known], arm: Arm) -> Row:
    """A baseline that knows the config alone: it fires at the first epoch taken from the forecast on, else never.

    No cell has runs of both kinds, so that it has no false alarm: what it shows is how much the config tells.
    """
    epochs, expected = np.arange(0, arm.last + 1, arm.every), forecasts(about)
    watched = {run_id: one.run._replace(epochs=epochs, values=epochs - expected[run_id]) for run_id, one in about.items()}
    head = {"signal": CELL_CLOCK, "variant": "", "information": "C", "rule": FORECAST, "every": arm.every}
    return read(about, watched, _reached(about), head)


def _reached(about: Mapping[str, Known]) -> Fires:
    def fires(watched: Mapping[str, Watched], *, by_group: bool = False, after: bool = False) -> Alarms:
        start = {run_id: about[run_id].memorised if after else -math.inf for run_id in watched}
        there = {run_id: run.epochs[(run.values >= 0) & (run.epochs >= start[run_id])] for run_id, run in watched.items()}
        return Alarms([float(some[0]) if len(some) else math.nan for some in there.values()])

    return fires


def contests(about: Mapping[str, Known], rows: Sequence[Row], arm: Arm) -> None:
    """Hold each row that is an alarm against each baseline that is one, and write it into the rows.

    Columns `beats` and `not_beaten`, the baselines' names with the runs in which the row leads longer.
    """
    rivals = [one for one in rows if one.told["signal"] in BASELINES and one.told["verdict"] in ALARMS]
    for mine in rows:
        mine.told.update({"beats": "", "not_beaten": ""})
        if mine.told["verdict"] not in ALARMS:
            continue
        held = [(one, against(about, mine, one)) for one in rivals if _comparable(mine.told, one.told, arm)]
        for column, won in (("beats", True), ("not_beaten", False)):
            mine.told[column] = "; ".join(_said(one, found) for one, found in held if found.won == won)


def against(about: Mapping[str, Known], mine: Row, other: Row) -> Contest:
    """Whether a row leads longer than another, on the runs that grok in which both fire; replicates apart."""
    shared = [
        run_id
        for run_id in mine.epochs
        if run_id in other.epochs and run_id in about and about[run_id].run.positive and not about[run_id].replicate
    ]
    first, second = (np.array([one.epochs[run_id] for run_id in shared], dtype=np.float64) for one in (mine, other))
    return contest(first, second)


def _comparable(mine: Mapping[str, Any], other: Mapping[str, Any], arm: Arm) -> bool:
    """Whether a baseline is another signal's, and read as often: at the costly cadence where the row is, else at the arm's."""
    if other["signal"] == mine["signal"]:
        return False
    often = arm.every * (COARSE if mine["every"] >= COARSE * arm.every else 1)
    return bool(other["rule"] != CALIBRATED or other["every"] == often)


def _said(one: Row, found: Contest) -> str:
    named = " ".join(filter(None, (one.told["signal"], one.told["rule"] if one.told["rule"] != CALIBRATED else "")))
    return f"{named} ({found.longer} of {found.n})"

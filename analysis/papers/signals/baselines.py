"""What a signal must beat: clock, losses and norms, and a clock that knows a run's config; run by run, by a sign test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.papers.signals.rows import CALIBRATED, Fires, Row, read
from analysis.papers.signals.study import BASELINES, HALVES, Arm, Known
from analysis.statistics.alarm_scores import Alarms
from analysis.statistics.alarm_words import ALARMS, Contest, contest
from analysis.statistics.alarms import Watched, first_two
from analysis.statistics.factors import holm

CELL_CLOCK, FORECAST = "cell_clock", "median t50 of the cell"
SHARES = (1.0, 0.5, 0.8)
"""Of the forecast, at which a cell clock fires."""


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


def cell_clock(about: Mapping[str, Known], arm: Arm, share: float = 1.0) -> Row:
    """A baseline that knows the config alone: it fires at the first epoch taken from a share of the forecast on, else never.

    No cell has runs of both kinds, so that it has no false alarm: what it shows is how much the config tells. At the forecast
    itself it has no lead; at a half of it, and at 0.8, it has one without having looked at the run.
    """
    epochs, expected = np.arange(0, arm.last + 1, arm.every), forecasts(about)
    watched = {i: replace(one.run, epochs=epochs, values=epochs - share * expected[i]) for i, one in about.items()}
    head = {"signal": CELL_CLOCK, "variant": "" if share == 1 else f"at {share:g} of it", "information": "C"}
    return read(about, watched, _reached(about), head | {"rule": FORECAST, "every": arm.every, "published": share == 1})


def mixed_cells(about: Mapping[str, Known]) -> int:
    """How many cells have runs that grok and runs that do not: only within these could a signal be shown to beat the config."""
    kinds: dict[tuple[Any, ...], set[bool]] = {}
    for one in about.values():
        if one.run.positive or one.run.negative:
            kinds.setdefault(one.cell, set()).add(one.run.positive)
    return sum(len(some) > 1 for some in kinds.values())


def _reached(about: Mapping[str, Known]) -> Fires:
    def fires(watched: Mapping[str, Watched], *, by_group: bool = False, after: bool = False) -> Alarms:
        start = {run_id: about[run_id].memorised if after else -math.inf for run_id in watched}
        there = {run_id: run.epochs[(run.values >= 0) & (run.epochs >= start[run_id])] for run_id, run in watched.items()}
        could = [first_two(run.epochs[np.isfinite(run.values) & (run.epochs >= start[i])]) for i, run in watched.items()]
        return Alarms([float(some[0]) if len(some) else math.nan for some in there.values()], chances=could)

    return fires


def contests(about: Mapping[str, Known], rows: Sequence[Row]) -> None:
    """Hold each row that is an alarm against each baseline that is one, and write it into the rows.

    Columns `beats` and `not_beaten`, the baselines' names with the runs in which the row leads longer. The p-values of all
    contests are adjusted together.
    """
    rivals = [one for one in rows if one.told["signal"] in (*BASELINES, CELL_CLOCK) and one.told["verdict"] in ALARMS]
    held = [
        (mine, other, against(about, mine, other))
        for mine in rows
        if mine.told["verdict"] in ALARMS
        for other in comparable(mine, rivals)
    ]
    adjusted = [found._replace(p=float(p)) for (*_, found), p in zip(held, holm([one[2].p for one in held]), strict=True)]
    for mine in rows:
        mine.told.update({"beats": "", "not_beaten": ""})
    for (mine, other, _), found in zip(held, adjusted, strict=True):
        column = "beats" if found.won else "not_beaten"
        mine.told[column] = "; ".join(filter(None, (mine.told[column], _said(other, found))))


def against(about: Mapping[str, Known], mine: Row, other: Row) -> Contest:
    """Whether a row leads longer, on the runs that grok in which both fire after their first chance; replicates apart."""
    ours, theirs = mine.announced, other.announced
    shared = [i for i in ours if i in theirs and i in about and about[i].run.positive and not about[i].replicate]
    first, second = (np.array([one[i] for i in shared], dtype=np.float64) for one in (ours, theirs))
    return contest(first, second)


def comparable(mine: Row, rivals: Sequence[Row]) -> list[Row]:
    """Of each other baseline, variant and rule the reading of the row's cadence, else the next finer, else the next coarser."""
    kept: dict[tuple[str, str, str], Row] = {}
    for one in rivals:
        key = one.told["signal"], one.told["variant"], one.told["rule"]
        if key[0] != mine.told["signal"] and (key not in kept or _nearer(one, kept[key], mine.told["every"])):
            kept[key] = one
    return list(kept.values())


def _nearer(one: Row, other: Row, every: int) -> bool:
    """Whether a reading is of a cadence nearer to a row's."""

    def place(row: Row) -> tuple[bool, float]:
        own = row.told["every"]
        return own > every, abs(own - every)

    return place(one) < place(other)


def _said(one: Row, found: Contest) -> str:
    rule = one.told["rule"]
    named = " ".join(
        filter(None, (one.told["signal"], one.told["variant"], rule if rule not in (CALIBRATED, FORECAST) else ""))
    )
    return f"{named} ({found.longer} of {found.n})"

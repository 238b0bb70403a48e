"""Made-up runs whose signal is planted, and their score."""

from __future__ import annotations

import math

import numpy as np

from analysis.statistics.alarm_scores import Score, alarms, score
from analysis.statistics.alarms import Halves, Watched

EPOCHS = np.arange(0, 800, 10)
SETS = (("random", True), ("starved", True), ("eta0", False))
HALVES: Halves = ((0,), (1,))


def watched(
    values: np.ndarray,
    *,
    positive: bool = False,
    control: str = "eta0",
    decayed: bool = False,
    t: float = math.nan,
    seed: int = 0,
    group: str = "",
) -> Watched:
    times = (t - 20, t, t + 20) if positive else (math.nan,) * 3
    name = "" if positive else control
    return Watched(seed, positive, name, decayed, *times, EPOCHS[: len(values)], values, group=group)


def world(kind: str, runs: int = 12) -> list[Watched]:
    """Of two seeds, runs that grok at 100 … 600 and three control sets; `kind` says what the signal sees."""
    out = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed + 1)
        for i in range(2 * runs):
            t = 100 + 500 * i / (2 * runs)
            step = {"early": t - 60, "late": t + 60, "decay": 50.0, "clock": 90.0, "nothing": math.inf}[kind]
            values = rng.normal(0, 0.1, len(EPOCHS)) + (step <= EPOCHS)
            out.append(watched(values, positive=True, decayed=True, t=t, seed=seed))
        for name, decayed in SETS:
            for _ in range(runs):
                rise = (EPOCHS >= 50) if kind == "decay" and decayed else np.zeros(len(EPOCHS))
                values = rng.normal(0, 0.1, len(EPOCHS)) + rise
                out.append(watched(values, control=name, decayed=decayed, seed=seed))
    return out


def scored(runs: list[Watched], *, by_group: bool = False) -> Score:
    return score(runs, alarms(runs, runs, HALVES, by_group=by_group), by_group=by_group)

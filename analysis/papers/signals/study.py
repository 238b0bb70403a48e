"""The runs of a study of signals: which grok, which are negatives, and the series of each.

The rules are those of analysis/claims/PREREGISTRATION-signals.md.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits.sources import ENOUGH, Absent, Sources, column
from analysis.reading.once import once
from analysis.reading.runs import grid
from analysis.statistics.alarms import Chances, Halves, Watched, first_two
from grok.numerics.geometry import most_directions
from grok.signals.base import Signal
from grok.spec.published import DEFAULT_NETWORK
from grok.store.errors import StoreError

STUDY, GROK, NO_DECAY, WEAK = "signals", "grok", "eta0", "weak decay"
HALVES: Halves = ((300, 301), (302, 303))
"""Pairs of seeds; each run is scored by the threshold of the other pair."""
COSTLY = 4
"""Signals that cost more than a training step are taken at every so many of an arm's epochs."""
LATE = "no grokking yet"
"""The set of runs of the condition that groks which have not."""
AUTO = "auto"


class Arm(NamedTuple):
    """A study with its cadence.

    Attributes:
        study: of the registry. every: epochs between the values that a calibrated rule reads; a printed rule reads all that
            were computed. last: epoch. group: the column of what a scale is of. printed: the published variant where it is not
            the first, by signal.
    """

    study: str
    every: int
    last: int
    group: str
    printed: Mapping[str, str] = {}

    def published(self, signal: Signal) -> str:
        """The variant that is nearest to what was published: the first, unless another is on runs of this arm."""
        return self.printed.get(signal.name, next(iter(signal.variants)))

    @property
    def measure(self) -> str:
        """The command that computes its signals."""
        return (
            f"python -m entry_points.signals --study {self.study} --epochs 0-{self.last}-{self.every} --costly-every {COSTLY}"
        )

    def due(self, signal: Signal) -> int:
        """Epochs between the values of a signal."""
        return self.every * (COSTLY if signal.cadence == "checkpoint" else 1)


MAIN = Arm(STUDY, 10, 800, "activation", {"hankel_dmd": "rows 50"})
CROSS_ENTROPY = Arm("signals-ce", 25, 2500, "network", {"hankel_dmd": "log_p rows 20"})
"""Published are windows of 500 steps, 50 values and 20 here, and log-probabilities, which a squared loss has not."""
BASELINES = ("clock", "loss", "weight_norm", "gradient_norm", "test_loss_turnover")
TWO_SIDED = ("loss", "weight_norm", "gradient_norm")
"""Baselines that are read in the other direction too: under a squared loss the norm grows."""
CONTROL = {"fourier_dominance": "permuted"}
"""The variant of a signal that sees nothing of what it is said to see: here the tokens in a random order."""
CELL = ("condition", "network", "task", "activation", "weight_decay", "n_train")
"""What runs share that differ in seed and rounding alone."""


class Known(NamedTuple):
    """What is known of a run apart from signals.

    Attributes:
        run: without a series. memorised: first epoch with a training accuracy ≥ 0.99, NaN if none. cell: values of `CELL`.
        replicate: whether it repeats another by an order of summation. samples, width: n, and K where the features may be more
            than the samples, else 0.
    """

    run: Watched
    memorised: float
    cell: tuple[Any, ...]
    replicate: bool
    samples: int = 0
    width: int = 0

    @property
    def twin(self) -> tuple[Any, ...]:
        """What runs share that differ in rounding alone."""
        return (*self.cell, self.run.seed)

    @property
    def fed_by(self) -> tuple[Any, ...]:
        """Network and task, which decide whether a signal can be computed."""
        return self.cell[1:3]


def known(sources: Sources, runs: pd.DataFrame, arm: Arm = MAIN) -> tuple[dict[str, Known], Counter[str]]:
    """Runs that are positive, negative or censored by run id, and how many of each condition are none of these.

    Censored are runs of the condition that groks which did not reach 0.99, and those of weak decay, which grok later.
    """
    found, left_out = dict[str, Known](), Counter[str]()
    t50, t99, memorised = (column(runs, name) for name in ("test_50_epoch", "test_99_epoch", "train_99_epoch"))
    for i, row in enumerate(runs.to_dict("records")):
        condition = str(row["condition"])
        positive, late = condition == GROK and not math.isnan(t99[i]), condition == GROK and math.isnan(t99[i])
        if condition != GROK and not math.isnan(t50[i]):
            left_out[condition] += 1
            continue
        accuracy = sources.evidence.history(row["run_id"])["accuracy/test"].to_numpy()
        t10, blank = float(np.argmax(accuracy >= 0.1)) if (accuracy >= 0.1).any() else math.nan, np.array([])
        name, decayed = "" if positive else LATE if late else condition, float(row["weight_decay"]) > 0
        times = t10, float(t50[i]), float(t99[i])
        censored, group = late or condition == WEAK, str(row[arm.group])
        run = Watched(int(row["seed"]), positive, name, decayed, *times, blank, blank, censored, group)
        width = int(row["width"]) if row.get("network", DEFAULT_NETWORK) == DEFAULT_NETWORK else 0
        again = str(row.get("rounding", AUTO)) != AUTO
        cell = tuple(row.get(key) for key in CELL)
        found[row["run_id"]] = Known(run, float(memorised[i]), cell, again, int(row["n_train"]), width)
    return found, left_out


def whole(runs: pd.DataFrame, study: str) -> None:
    """That every set of a study has enough of its planned runs, those that repeat others apart.

    Raises:
        Absent: if one has less than 0.8 of them.
    """
    planned = Counter((cell.condition, str(cell.config.rounding) != AUTO) for cell in grid(study))
    there = Counter((str(row["condition"]), str(row.get("rounding", AUTO)) != AUTO) for row in runs.to_dict("records"))
    short = [
        f"{there[key]} of {wanted} of {key[0]}{', by other orders of summation' if key[1] else ''}"
        for key, wanted in planned.items()
        if there[key] < ENOUGH * wanted
    ]
    if short:
        raise Absent(
            f"every set of {study} must have {ENOUGH:g} of its runs before anything is told; there are {'; '.join(short)}"
        )


def taken(sources: Sources, arm: Arm = MAIN) -> tuple[dict[str, Known], Counter[str], pd.DataFrame]:
    """What is known of a whole study's runs, how many are neither, and their table.

    Raises:
        Absent: if too few are there, of all or of a set.
    """
    runs = sources.take(arm.study)

    def make() -> tuple[dict[str, Known], Counter[str]]:
        whole(runs, arm.study)
        return known(sources, runs, arm)

    return *once(sources.evidence, ("known", arm.study, *runs["run_id"]), make), runs


Stored = Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]
"""Of one run by signal and variant: epochs, ascending, and values, both (N,)."""


def arrays(table: pd.DataFrame) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """A `signals.parquet` as `Stored`."""
    table = table.dropna(subset=["signal", "variant"])
    if table.empty:
        return {}
    order = np.argsort(table["epoch"].to_numpy(), kind="stable")
    epochs, values = table["epoch"].to_numpy()[order], table["value"].to_numpy(dtype=np.float64)[order]
    group = table.groupby(["signal", "variant"], sort=False).ngroup().to_numpy()[order]
    places = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    names = table[["signal", "variant"]].drop_duplicates().astype(str).itertuples(index=False, name=None)
    parts = zip(np.split(epochs[places], ends[:-1]), np.split(values[places], ends[:-1]), strict=True)
    return dict(zip(names, parts, strict=True))


def tables(sources: Sources, about: Mapping[str, Known], arm: Arm = MAIN) -> dict[str, Stored]:
    """The signals of each run of an arm.

    Raises:
        Absent: if one has none.
    """
    out: dict[str, Stored] = {}
    for run_id, one in about.items():
        try:
            read = functools.partial(_read, sources, run_id, one)
            out[run_id] = once(sources.evidence, ("signals", run_id, one.samples, one.width), read)
        except StoreError as error:
            raise Absent(f"signals of run {run_id} are not there. Run {arm.measure}") from error
    return out


def _read(sources: Sources, run_id: str, one: Known) -> Stored:
    """The signals of a run."""
    return _of_rank(arrays(sources.evidence.signals(run_id)), one)


def _of_rank(stored: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]], one: Known) -> Stored:
    """With the variants `of_rank` where a table is older than they are: n and K alone tell them from the first."""
    most = most_directions(one.samples, one.width) if one.width else 0
    factors = {"anisotropy": most / one.width, "spectral_entropy": math.log(one.width) / math.log(most)} if most > 1 else {}
    for name in ("anisotropy", "spectral_entropy"):
        if (name, "") in stored and (name, "of_rank") not in stored:
            epochs, values = stored[name, ""]
            stored[name, "of_rank"] = epochs, factors.get(name, 1.0) * values
    return stored


def watch(
    about: Mapping[str, Known],
    stored: Mapping[str, Stored],
    signal: Signal,
    variant: str,
    every: int = 1,
    *,
    turned: bool = False,
) -> dict[str, Watched]:
    """The runs whose network feeds a signal, with its series oriented so that high announces; none if no value is known at all.

    A network feeds it where a run of that network and task has it, known or not; another such run without it has no value.

    Args:
        about, stored: as `known` and `tables` have them. signal, variant: which series.
        every: epochs between the values that are taken, of which those that were not computed are not known; 1 takes what was.
        turned: whether the other direction announces.
    """
    key, sign = (signal.name, variant), -1.0 if (signal.direction_of(variant) == "falling") != turned else 1.0
    fed = {one.fed_by for run_id, one in about.items() if key in stored[run_id]}
    out, blank = dict[str, Watched](), (np.array([]), np.array([]))
    for run_id, one in about.items():
        if one.fed_by in fed:
            epochs, values = _thinned(*stored[run_id].get(key, blank), every)
            out[run_id] = replace(one.run, epochs=epochs, values=sign * values)
    return out if any(np.isfinite(run.values).any() for run in out.values()) else {}


def _thinned(epochs: np.ndarray, values: np.ndarray, every: int) -> tuple[np.ndarray, np.ndarray]:
    if every == 1 or not len(epochs):
        return epochs, values
    grid_, found = np.arange(0, int(epochs[-1]) + 1, every), dict(zip(epochs.tolist(), values.tolist(), strict=True))
    return grid_, np.array([found.get(epoch, math.nan) for epoch in grid_.tolist()])


def after_memorisation(about: Mapping[str, Known], watched: Mapping[str, Watched]) -> dict[str, Watched]:
    """The runs with what was before memorisation not known; all of a run that never memorises."""
    return {
        run_id: replace(run, values=np.where(run.epochs >= about[run_id].memorised, run.values, np.nan))
        for run_id, run in watched.items()
    }


def printed_epoch(signal: Signal, run: Watched, memorised: float, variant: str | None = None, *, after: bool = False) -> float:
    """Where a signal's printed rule first holds, NaN where it never does; with `after` of epochs from memorisation on."""
    if signal.printed is None or not len(run.values):
        return math.nan
    values = -run.values if signal.direction_of(variant) == "falling" else run.values
    holds = np.asarray(signal.printed.holds(run.epochs, values, memorised)) & ((run.epochs >= memorised) | (not after))
    return float(run.epochs[np.argmax(holds)]) if holds.any() else math.nan


def printed_chances(
    signal: Signal, run: Watched, memorised: float, variant: str | None = None, *, after: bool = False
) -> Chances:
    """The first two epochs at which a signal's printed rule could hold, with its baseline or lag behind it."""
    if signal.printed is None or not len(run.values):
        return first_two(np.array([]))
    values = -run.values if signal.direction_of(variant) == "falling" else run.values
    could = np.asarray(signal.printed.could(run.epochs, values, memorised)) & ((run.epochs >= memorised) | (not after))
    return first_two(run.epochs[could])

"""A row of the leaderboard: a signal, a variant and a rule on the runs of a study, scored in every reading that is told."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from analysis.exhibits.sources import ENOUGH
from analysis.papers.signals.columns import Judged, beside, in_full, in_short, worth
from analysis.papers.signals.rounding import split
from analysis.papers.signals.study import (
    BASELINES,
    HALVES,
    NO_DECAY,
    TWO_SIDED,
    Arm,
    Known,
    Stored,
    after_memorisation,
    printed_chances,
    printed_epoch,
    watch,
)
from analysis.statistics.alarm_scores import Alarms, alarms, score
from analysis.statistics.alarm_ties import within
from analysis.statistics.alarm_words import ALARM, ALARMS, BY_GROUP, CLOCK, ROUNDING, SLOW, UNTESTED, verdict
from analysis.statistics.alarms import Watched, crossed, first_chance
from grok.signals.base import Signal

CALIBRATED, PRINTED = "calibrated", "printed"
COARSE = 4
"""Cheap signals and baselines are told at so many times an arm's cadence too, that of the costly ones."""
SLOWER = {"commutator": 8}
"""Signals whose alarm moves with the cadence, and at how many times the arm's they are told too."""
TURNED = "turned round"
"""Of a baseline whose other direction announces."""
SEEDS = tuple(seed for half in HALVES for seed in half)


class Reading(NamedTuple):
    """How a signal is read.

    Attributes:
        signal, variant, rule. every: epochs between its values; 1 takes all that were computed, as a printed rule does.
        turned: whether the other direction announces. own: whether it is of the published variant at the signal's own cadence.
    """

    signal: Signal
    variant: str
    rule: str
    every: int
    turned: bool = False
    own: bool = True


def readings(signal: Signal, variant: str, arm: Arm) -> list[Reading]:
    """Calibrated at its own cadence and, of a cheap signal, at that of the costly ones; printed where a rule was.

    A baseline is read in the other direction too, and at every epoch where its history is known there, to be held against a
    printed rule that reads every epoch.
    """
    own, slower = arm.due(signal), [arm.every * SLOWER[signal.name]] if signal.name in SLOWER else []
    often = [1] if signal.name in BASELINES and not signal.per_epoch else []
    cadences = list(dict.fromkeys((own, COARSE * arm.every, *slower, *often)))
    ways = (False, True) if signal.name in TWO_SIDED else (False,)
    published = variant == arm.published(signal)
    return [
        Reading(signal, variant, CALIBRATED, every, turned, published and every == own and not turned)
        for turned in ways
        for every in cadences
    ] + [
        Reading(signal, variant, PRINTED, every, own=every == 1)
        for every in (1, *slower)
        if published and signal.printed is not None
    ]


class Fires(Protocol):
    """A rule: gives runs their alarms, in their order."""

    def __call__(self, watched: Mapping[str, Watched], *, by_group: bool = False, after: bool = False) -> Alarms:
        """With a threshold for each activation, if it has thresholds; none before memorisation."""


def judged(
    about: Mapping[str, Known],
    watched: Mapping[str, Watched],
    found: Alarms,
    *,
    printed: bool = False,
    by_group: bool = False,
    told: Collection[int] = SEEDS,
    every: float = 0,
) -> Judged:
    """Alarms of runs, judged on those of some seeds that repeat no other.

    Args:
        about, watched: the runs. found: their alarms, in the same order. printed: whether the rule was printed.
        by_group: whether AUROC is of pairs of one activation. told: seeds that count. every: epochs between the values.
    """
    epochs = {run_id: epoch for run_id, epoch in zip(watched, found.epochs, strict=True) if watched[run_id].seed in told}
    places = [k for k, run_id in enumerate(watched) if run_id in epochs and not about[run_id].replicate]
    runs = [run for run_id, run in watched.items() if run_id in epochs and not about[run_id].replicate]
    found_, repeated = score(runs, found.of(places), by_group=by_group), split(about, epochs, every)
    return Judged(found_, verdict(found_, repeated, printed=printed), epochs, repeated)


def calibrated(about: Mapping[str, Known]) -> Fires:
    """Alarms by thresholds of the other pair of seeds, of runs as they are given; replicates have no part in a threshold."""

    def fires(watched: Mapping[str, Watched], *, by_group: bool = False, after: bool = False) -> Alarms:
        plain = [run for run_id, run in watched.items() if not about[run_id].replicate]
        return alarms(list(watched.values()), plain, HALVES, by_group=by_group)

    return fires


class Row(NamedTuple):
    """A row with what the comparisons of rows need.

    Attributes:
        told: its columns. epochs: of the alarms that its word is of, by run id. firsts: when each could first be given.
    """

    told: dict[str, Any]
    epochs: dict[str, float]
    firsts: Mapping[str, float] = {}

    @property
    def announced(self) -> dict[str, float]:
        """The epochs of alarms, NaN of one at its first chance too: that is no detection."""
        return {i: math.nan if epoch <= self.firsts.get(i, -math.inf) else epoch for i, epoch in self.epochs.items()}


def row(about: Mapping[str, Known], stored: Mapping[str, Stored], reading: Reading) -> Row:
    """A signal by one of its rules, in every reading."""
    signal, variant, rule, every, turned, own = reading
    series = watch(about, stored, signal, variant, every, turned=turned)
    named = " ".join(filter(None, (variant, TURNED if turned else "")))
    head: dict[str, Any] = {"signal": signal.name, "variant": named, "information": signal.information, "rule": rule}
    head |= {"every": spacing(series.values(), every), "published": own}
    missing = _missing(about, stored, reading, known=bool(series))
    if missing:
        return Row(head | {"verdict": UNTESTED, "missing": missing}, {})
    if rule == CALIBRATED:
        return read(about, series, calibrated(about), head)

    def fires(watched: Mapping[str, Watched], *, by_group: bool = False, after: bool = False) -> Alarms:
        every = [(signal, watched[i], about[i].memorised, variant) for i in watched]
        epochs = [printed_epoch(*one, after=after) for one in every]
        return Alarms(epochs, chances=[printed_chances(*one, after=after) for one in every])

    return read(about, series, fires, head)


def spacing(runs: Iterable[Watched], every: int) -> int:
    """Epochs between the values that are read, of the first run that has some: a printed rule reads all that were computed."""
    return next((int(np.median(np.diff(run.epochs))) for run in runs if len(run.epochs) > 1), every)


def _missing(about: Mapping[str, Known], stored: Mapping[str, Stored], reading: Reading, *, known: bool) -> str:
    """Why a series cannot be scored; empty where it can."""
    key = reading.signal.name, reading.variant
    fed = {one.fed_by for run_id, one in about.items() if key in stored[run_id]}
    have = [key in stored[run_id] for run_id, one in about.items() if one.fed_by in fed]
    if not have:
        return "no run of this study gives it"
    if sum(have) < ENOUGH * len(have):
        return f"it was computed for {sum(have)} of {len(have)} runs; entry_points.signals --force computes it for all"
    return "" if known else f"its value is known in no run. {reading.signal.source}"


def read(about: Mapping[str, Known], watched: Mapping[str, Watched], fires: Fires, head: Mapping[str, Any]) -> Row:
    """The readings of one rule as a row.

    A calibrated rule has a second look, with a threshold for each activation. Where that gives the word, the row's numbers and
    those of either pair of seeds are of it, and those of the first look stand beside.

    Args:
        about, watched: the runs. fires: the rule. head: the first columns, `rule` and `every` among them: a printed rule has
            no second look, and words of its own.
    """
    printed, levels = head["rule"] == PRINTED, head["rule"] == CALIBRATED
    judge = functools.partial(judged, about, printed=printed, every=head["every"])
    found = fires(watched)
    main, other = judge(watched, found), fires(watched, by_group=True) if levels else None
    grouped = judge(watched, other, by_group=True) if other is not None else None
    second = grouped is not None and by_activation(main.word, grouped.word)
    chosen, given = (grouped, other) if second and grouped and other else (main, found)
    told = dict(head) | {"verdict": BY_GROUP if second else main.word, "missing": None, "looks": 2 if levels else 1}
    told |= worth(chosen) | (_thresholds(about, watched) if levels else {}) | _in_cells(about, watched, chosen, given)
    told |= in_full("one_threshold", main) | in_full("by_activation", grouped)
    for name, seeds in zip(("first_half", "second_half"), HALVES, strict=True):
        half = judge(watched, given, by_group=second, told=seeds)
        told |= in_full(name, half._replace(word=BY_GROUP) if second and half.word == ALARM else half)
    late = after_memorisation(about, watched)
    told |= beside("after_memorisation", judge(late, fires(late, after=True)))
    for control in dict.fromkeys(run.control for run in watched.values() if run.negative):
        narrow = {i: run for i, run in watched.items() if run.positive or run.control == control}
        told |= (beside if control == NO_DECAY else in_short)(alone(control), judge(narrow, fires(narrow)))
    return Row({alone(NO_DECAY): UNTESTED} | told, chosen.epochs, _firsts(watched, given))


def alone(control: str) -> str:
    """The column of the word with one control set as the only negatives."""
    return "eta0_only" if control == NO_DECAY else f"{control} only"


def _firsts(watched: Mapping[str, Watched], found: Alarms) -> dict[str, float]:
    """When each run's alarm could first be given."""
    if found.chances:
        return {run_id: one.first for run_id, one in zip(watched, found.chances, strict=True)}
    return {run_id: first_chance(run) for run_id, run in watched.items()}


def _in_cells(about: Mapping[str, Known], watched: Mapping[str, Watched], found: Judged, given: Alarms) -> dict[str, float]:
    """How alarms go with t50 once the config is known."""
    firsts = _firsts(watched, given)
    late = [i for i, run in watched.items() if run.positive and not about[i].replicate and found.epochs[i] > firsts[i]]
    tie, n = within([(watched[i], found.epochs[i]) for i in late], [about[i].cell for i in late])
    return {"alarm_with_t50_in_cell": tie, "alarm_with_t50_in_cell_n": n}


def by_activation(word: str, grouped: str) -> bool:
    """Whether a signal is an alarm activation by activation, and neither that with one threshold nor untold or worse there."""
    return grouped == ALARM and word not in (*ALARMS, UNTESTED, SLOW, ROUNDING, CLOCK)


def _thresholds(about: Mapping[str, Known], watched: Mapping[str, Watched]) -> dict[str, float]:
    """The threshold of either pair of seeds, on the oriented series, one for all."""
    plain = [run for run_id, run in watched.items() if not about[run_id].replicate]
    ends = [next((run for run in plain if run.seed in half), None) for half in HALVES]
    levels = [math.nan if run is None else crossed([run], plain, HALVES)[0] for run in ends]
    return {"threshold": levels[1], "threshold_exchanged": levels[0]}

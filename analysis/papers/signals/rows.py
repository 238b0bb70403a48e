"""A row of the leaderboard: a signal, a variant and a rule on the runs of a study, scored in every reading that is told."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from analysis.papers.signals.rounding import split
from analysis.papers.signals.study import (
    HALVES,
    NO_DECAY,
    Arm,
    Known,
    Stored,
    after_memorisation,
    printed_epoch,
    watch,
)
from analysis.statistics.alarm_scores import Alarms, Score, alarms, score
from analysis.statistics.alarm_words import ALARM, ALARMS, BY_GROUP, CLOCK, ROUNDING, SLOW, UNTESTED, Split, verdict
from analysis.statistics.alarms import Watched, crossed
from grok.signals.base import Signal

CALIBRATED, PRINTED = "calibrated", "printed"
COARSE = 4
"""Cheap signals and baselines are told at so many times an arm's cadence too, that of the costly ones."""
SLOWER = {"commutator": 8}
"""Signals whose alarm moves with the cadence, and at how many times the arm's they are told too."""
SEEDS = tuple(seed for half in HALVES for seed in half)


class Reading(NamedTuple):
    """How a signal is read.

    Attributes:
        signal, variant, rule. every: epochs between its values; 1 of a printed rule, which reads all that were computed.
    """

    signal: Signal
    variant: str
    rule: str
    every: int


def readings(signal: Signal, variant: str, arm: Arm) -> list[Reading]:
    """Calibrated at its own cadence and, of a cheap signal, at that of the costly ones; printed where a rule was."""
    own, slower = arm.due(signal), [arm.every * SLOWER[signal.name]] if signal.name in SLOWER else []
    cadences = list(dict.fromkeys((own, COARSE * arm.every, *slower)))
    published = signal.printed is not None and variant == next(iter(signal.variants))
    return [Reading(signal, variant, CALIBRATED, every) for every in cadences] + [
        Reading(signal, variant, PRINTED, every) for every in (1, *slower) if published
    ]


class Judged(NamedTuple):
    """Runs by one rule: what its alarms are worth, the word, the alarms by run id (NaN of none), and the repeated runs."""

    score: Score
    word: str
    epochs: dict[str, float]
    split: Split


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
) -> Judged:
    """Alarms of runs, judged on those of some seeds that repeat no other.

    Args:
        about, watched: the runs. found: their alarms, in the same order. printed: whether the rule was printed.
        by_group: whether AUROC is of pairs of one activation. told: seeds that count.
    """
    epochs = {run_id: epoch for run_id, epoch in zip(watched, found.epochs, strict=True) if watched[run_id].seed in told}
    places = [k for k, run_id in enumerate(watched) if run_id in epochs and not about[run_id].replicate]
    runs = [run for run_id, run in watched.items() if run_id in epochs and not about[run_id].replicate]
    part = Alarms(
        [found.epochs[k] for k in places],
        {rate: [level[k] for k in places] for rate, level in found.coverage.items()},
        [found.plain[k] for k in places] if found.plain else (),
    )
    worth, repeated = score(runs, part, by_group=by_group), split(about, epochs)
    return Judged(worth, verdict(worth, repeated, printed=printed), epochs, repeated)


def calibrated(about: Mapping[str, Known]) -> Fires:
    """Alarms by thresholds of the other pair of seeds, of runs as they are given; replicates have no part in a threshold."""

    def fires(watched: Mapping[str, Watched], *, by_group: bool = False, after: bool = False) -> Alarms:
        plain = [run for run_id, run in watched.items() if not about[run_id].replicate]
        return alarms(list(watched.values()), plain, HALVES, by_group=by_group)

    return fires


class Row(NamedTuple):
    """A row with what the comparisons of rows need.

    Attributes:
        told: its columns. epochs: of the alarms that its word is of, by run id.
    """

    told: dict[str, Any]
    epochs: dict[str, float]


def row(about: Mapping[str, Known], stored: Mapping[str, Stored], reading: Reading) -> Row:
    """A signal by one of its rules, in every reading."""
    signal, variant, rule, every = reading
    series = watch(about, stored, signal, variant, every)
    head = {"signal": signal.name, "variant": variant, "information": signal.information, "rule": rule, "every": every}
    if not series:
        return Row(head | {"verdict": UNTESTED, "missing": "no run of this study gives it"}, {})
    if rule == CALIBRATED:
        return read(about, series, calibrated(about), head)

    def fires(watched: Mapping[str, Watched], *, by_group: bool = False, after: bool = False) -> Alarms:
        return Alarms([printed_epoch(signal, series[i], about[i].memorised, after=after) for i in watched])

    return read(about, series, fires, head)


def read(about: Mapping[str, Known], watched: Mapping[str, Watched], fires: Fires, head: Mapping[str, Any]) -> Row:
    """The readings of one rule as a row.

    Args:
        about, watched: the runs. fires: the rule. head: the first columns, `rule` among them: of a calibrated one there is a
            reading by activation, and a printed one has words of its own.
    """
    printed, levels = head["rule"] == PRINTED, head["rule"] == CALIBRATED
    found, late = fires(watched), after_memorisation(about, watched)
    main = judged(about, watched, found, printed=printed)
    halves = [judged(about, watched, found, printed=printed, told=half) for half in HALVES]
    start = judged(about, late, fires(late, after=True), printed=printed)
    narrow = {i: run for i, run in watched.items() if run.positive or run.control == NO_DECAY}
    alone = judged(about, narrow, fires(narrow), printed=printed)
    grouped = judged(about, watched, fires(watched, by_group=True), by_group=True) if levels else None
    chosen = grouped if grouped is not None and by_activation(main.word, grouped.word) else main
    told = dict(head) | {"verdict": main.word if chosen is main else BY_GROUP, "missing": None, "one_threshold": main.word}
    told |= _worth(main) | (_thresholds(about, watched) if levels else {})
    for name, half in zip(("first_half", "second_half"), halves, strict=True):
        told |= _beside(name, half) | {f"{name}_{key}": value for key, value in _worst(half.score).items()}
    told |= _beside("by_activation", grouped)
    return Row(told | _beside("after_memorisation", start) | _beside("eta0_only", alone), chosen.epochs)


def by_activation(word: str, grouped: str) -> bool:
    """Whether a signal is an alarm activation by activation, and neither that with one threshold nor untold or worse there."""
    return grouped == ALARM and word not in (*ALARMS, UNTESTED, SLOW, ROUNDING, CLOCK)


def _thresholds(about: Mapping[str, Known], watched: Mapping[str, Watched]) -> dict[str, float]:
    """The threshold of either pair of seeds, on the oriented series."""
    plain = [run for run_id, run in watched.items() if not about[run_id].replicate]
    ends = [next((run for run in plain if run.seed in half), None) for half in HALVES]
    levels = [math.nan if run is None else crossed([run], plain, HALVES)[0] for run in ends]
    return {"threshold": levels[1], "threshold_exchanged": levels[0]}


def _worth(found: Judged) -> dict[str, Any]:
    """The columns of the reading that decides."""
    s, out = found.score, dict[str, Any]()
    shares = {"tpr": s.tpr, "tpr_later": s.later, "fpr": s.fpr, "auroc": s.area, "relative_lead": s.relative, "seen": s.seen}
    for name, one in shares.items():
        out |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high, f"{name}_n": one.n}
    out |= {"auroc_least": s.least_area, "worst_set": s.worst} | _worst(s)
    for name, rate in (s.sets | s.censored).items():
        out |= {f"fpr {name}": rate.share.value, f"fpr {name}_low": rate.share.low, f"fpr {name}_high": rate.share.high}
        out |= {f"fires {name}": rate.fired, f"runs {name}": rate.n}
    for name, lead in s.leads.items():
        out |= {f"lead_{name}": lead.value, f"lead_{name}_low": lead.low, f"lead_{name}_high": lead.high}
    out |= {f"tpr at {rate:.2f}": value for rate, value in s.coverage.items()}
    out |= {"fpr_floor": s.floor, "alarm_with_t50": s.tied, "p": s.p}
    return out | {"rounding_split": found.split.split, "rounding_n": found.split.n}


def _worst(found: Score) -> dict[str, Any]:
    """The control set with the highest rate, with its counts, its interval and what is decided of it."""
    one = found.sets.get(found.worst)
    names = ("worst_fires", "worst_n", "worst_fpr", "worst_low", "worst_high", "worst_decided")
    values = (0, 0, *(math.nan,) * 3, "undecided") if one is None else (one.fired, one.n, *one.share[:3], one.side)
    return dict(zip(names, values, strict=True))


def _beside(name: str, found: Judged | None) -> dict[str, Any]:
    """The columns of another reading: its word under its name, and its numbers."""
    if found is None:
        return {name: None}
    s = found.score
    numbers = {"tpr": s.tpr.value, "tpr_later": s.later.value, "fpr": s.fpr.value, "auroc": s.area.value}
    lead = dict(zip(("lead", "lead_low", "lead_high"), s.leads["t50"][:3], strict=True))
    return {name: found.word} | {f"{name}_{key}": value for key, value in (numbers | lead).items()}

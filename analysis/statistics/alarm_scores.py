"""What the alarms of a rule are worth on runs that it was not calibrated on: shares, leads, ranks. Runs and epochs in."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.alarm_ties import Tie, tie
from analysis.statistics.alarms import (
    FPR,
    Chances,
    Halves,
    Watched,
    auroc,
    crossed,
    detected,
    fire_epoch,
    floor,
    late_enough,
    pairs,
    unknown_pairs,
)
from analysis.statistics.estimates import Estimate, clopper_pearson, median_interval
from analysis.statistics.exact import one_sided_share

COVERAGE = (0.05, 0.10, 0.20)
"""False-positive rates at which the share of detected runs is told."""
WORST = 0.2
"""False-positive rate that the worst set may have."""
EVENTS = ("t10", "t50", "t99")

exact = functools.cache(clopper_pearson)
"""Few counts come up, and many times."""


class Rate(NamedTuple):
    """How many runs of a set fire.

    Attributes:
        fired, n: runs. share: with its exact interval. side: `below` or `above` where a one-sided 95 % bound is on that side of
            0.2, else `undecided`.
    """

    fired: int
    n: int
    share: Estimate
    side: str


class Score(NamedTuple):
    """What a rule is worth on held-out runs.

    Attributes:
        tpr: share of positives with an alarm after its first chance and before t50. later: at any time after its first chance.
        sounded: at any time at all. fpr: share of negatives with an alarm at any time. sets: of each control set, censored ones
            in `censored`. worst: the control set with the highest rate, of equal ones the one with the widest interval.
        leads: median of t10, t50, t99 less the alarm's epoch, of the positives in `later`. relative: that of t50 over t50.
        area: AUROC before t10. unknown: share of its pairs that an unknown value decides. least_area, least_set: on the control
            set where it is lowest.
        coverage: `tpr` by calibrated false-positive rate; empty of a printed rule. floor: as `floor` has it.
        tied: how the alarms in `later` go with t50, within groups.
        decay_tpr, decay_fpr: with a threshold from negatives without decay only, `later`, and false alarms of negatives with
            decay; unknown of a printed rule. edge_tpr, edge_fpr, edge_lead: at the edge, which positives have no part in.
        seen: share of positives in which an alarm can be given after the first chance and before t50.
        p: of detections and false alarms being of one rate, Fisher's, one-sided.
    """

    tpr: Estimate
    later: Estimate
    sounded: Estimate
    fpr: Estimate
    sets: dict[str, Rate]
    censored: dict[str, Rate]
    worst: str
    leads: dict[str, Estimate]
    relative: Estimate
    area: Estimate
    unknown: float
    least_area: float
    least_set: str
    coverage: dict[float, float]
    floor: float
    tied: Tie
    decay_tpr: Estimate
    decay_fpr: Estimate
    edge_tpr: Estimate
    edge_fpr: Estimate
    edge_lead: Estimate
    seen: Estimate
    p: float


class Alarms(NamedTuple):
    """Alarm epochs of runs, in their order, NaN of none.

    Attributes:
        epochs: by the rule. coverage: by calibrated false-positive rate. plain: with a threshold from negatives without decay.
        edge: at the edge. chances: when the rule can hold; none of a threshold, which needs two known neighbours.
    """

    epochs: list[float]
    coverage: Mapping[float, list[float]] = {}
    plain: Sequence[float] = ()
    edge: Sequence[float] = ()
    chances: Sequence[Chances] = ()

    def of(self, places: Sequence[int]) -> Alarms:
        """The same of some runs, by their places."""
        plain, edge, when = ([some[k] for k in places] if some else () for some in (self.plain, self.edge, self.chances))
        levels = {rate: [level[k] for k in places] for rate, level in self.coverage.items()}
        return Alarms([self.epochs[k] for k in places], levels, plain, edge, when)  # type: ignore[arg-type]


def alarms(runs: Sequence[Watched], calibration: Sequence[Watched], halves: Halves, *, by_group: bool = False) -> Alarms:
    """Alarms of each run by the thresholds of the other half of the seeds."""

    def fired(thresholds: Sequence[float]) -> list[float]:
        return [fire_epoch(run, level) for run, level in zip(runs, thresholds, strict=True)]

    levels = {rate: fired(crossed(runs, calibration, halves, rate, by_group=by_group)) for rate in COVERAGE}
    plain = crossed(runs, calibration, halves, by_group=by_group, among=lambda run: not run.decayed)
    edge = crossed(runs, calibration, halves, by_group=by_group, edge=True)
    return Alarms(levels[FPR], levels, fired(plain), fired(edge))


def score(runs: Sequence[Watched], found: Alarms, *, by_group: bool = False) -> Score:
    """The worth of alarms.

    Args:
        runs: positives, negatives and censored ones. found: their alarms. by_group: whether AUROC is of pairs of one group.
    """
    firsts, seconds = zip(*(found.chances or [run.chances for run in runs]), strict=True) if runs else ((), ())
    told = list(zip(runs, found.epochs, strict=True))
    good = [(run, epoch, first) for (run, epoch), first in zip(told, firsts, strict=True) if run.positive]
    positives, negatives = [run for run in runs if run.positive], [run for run in runs if run.negative]
    late = [(run, epoch) for run, epoch, first in good if late_enough(epoch, first)]
    early = sum(detected(*one) for one in good)
    false = [epoch for run, epoch in told if run.negative]
    sets = _by_set([(run, epoch) for run, epoch in told if run.negative])
    least, where = _least_area(positives, negatives, by_group)
    seen = sum(run.positive and second < run.t50 for run, second in zip(runs, seconds, strict=True))
    return Score(
        tpr=exact(early, len(good)),
        later=exact(len(late), len(good)),
        sounded=_share([epoch for _, epoch, _ in good]),
        fpr=_share(false),
        sets=sets,
        censored=_by_set([(run, epoch) for run, epoch in told if run.censored]),
        worst=max(sets, key=lambda name: (sets[name].share.value, sets[name].share.high), default=""),
        leads={name: _median(getattr(run, name) - epoch for run, epoch in late) for name in EVENTS},
        relative=_median((run.t50 - epoch) / run.t50 for run, epoch in late),
        area=auroc(positives, negatives, by_group=by_group),
        unknown=unknown_pairs(positives, negatives),
        least_area=least,
        least_set=where,
        coverage={rate: _mean(map(detected, runs, epochs, firsts), runs) for rate, epochs in found.coverage.items()},
        floor=floor(positives, negatives),
        tied=tie(late),
        **_others(runs, found, firsts),
        seen=exact(seen, len(good)),
        p=_fisher(early, len(good), sum(not math.isnan(epoch) for epoch in false), len(false)),
    )


def _others(runs: Sequence[Watched], found: Alarms, firsts: Sequence[float]) -> dict[str, Estimate]:
    """What a threshold from negatives without decay gives, at any time, and what the edge gives; unknown without them."""
    plain, edge = (list(zip(runs, some, firsts, strict=True)) if some else [] for some in (found.plain, found.edge))
    decayed = [epoch for run, epoch, _ in plain if run.negative and run.decayed]
    late = [late_enough(epoch, first) for run, epoch, first in plain if run.positive]
    at_edge = [one for one in edge if one[0].positive]
    return {
        "decay_tpr": exact(sum(late), len(late)),
        "decay_fpr": _share(decayed),
        "edge_tpr": exact(sum(detected(*one) for one in at_edge), len(at_edge)),
        "edge_fpr": _share([epoch for run, epoch, _ in edge if run.negative]),
        "edge_lead": _median(run.t50 - epoch for run, epoch, first in at_edge if late_enough(epoch, first)),
    }


@functools.cache
def rate_of(fired: int, n: int) -> Rate:
    """How many of a set fire, and on which side of 0.2 that is."""
    low, high = one_sided_share(fired, n) if n else (0.0, 1.0)
    side = "below" if high < WORST else "above" if low > WORST else "undecided"
    return Rate(fired, n, exact(fired, n), side)


def _by_set(told: Sequence[tuple[Watched, float]]) -> dict[str, Rate]:
    names = sorted({run.control for run, _ in told})
    epochs = {name: [epoch for run, epoch in told if run.control == name] for name in names}
    return {name: rate_of(sum(not math.isnan(epoch) for epoch in some), len(some)) for name, some in epochs.items()}


def _least_area(positives: Sequence[Watched], negatives: Sequence[Watched], by_group: bool) -> tuple[float, str]:
    """The lowest AUROC of one control set, and which; NaN without a pair."""
    table = pairs(positives, negatives)
    same = np.array([[not by_group or one.group == other.group for other in negatives] for one in positives], dtype=bool)
    sets = np.array([run.control for run in negatives], dtype=object)
    parts = [(str(name), table[:, sets == name], same[:, sets == name]) for name in dict.fromkeys(sets) if len(table)]
    return min(((float(x[counts].mean()), name) for name, x, counts in parts if counts.any()), default=(math.nan, ""))


@functools.cache
def _fisher(hits: int, good: int, false: int, bad: int) -> float:
    return float(stats.fisher_exact([[hits, good - hits], [false, bad - false]], alternative="greater").pvalue)


def _share(epochs: Sequence[float]) -> Estimate:
    return exact(sum(not math.isnan(epoch) for epoch in epochs), len(epochs))


def _median(values: Iterable[float]) -> Estimate:
    return median_interval(np.array(list(values), dtype=np.float64))


def _mean(outcomes: Iterable[bool], runs: Sequence[Watched]) -> float:
    """Over the runs that grok."""
    found = [one for one, run in zip(outcomes, runs, strict=True) if run.positive]
    return float(np.mean(found)) if found else math.nan

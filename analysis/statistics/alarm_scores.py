"""What the alarms of a rule are worth on runs that it was not calibrated on: shares, leads, ranks. Runs and epochs in."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.alarms import (
    FPR,
    Halves,
    Watched,
    auroc,
    crossed,
    detected,
    fire_epoch,
    floor,
    late_enough,
    pairs,
    sustained_peak,
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
        area: AUROC before t10. least_area: on the control set where it is lowest.
        coverage: `tpr` by calibrated false-positive rate; empty of a printed rule. floor: as `floor` has it.
        tied: mean over groups of Spearman's correlation of alarm and t50.
        decay_tpr, decay_fpr: with a threshold from negatives without decay only, `later`, and false alarms of negatives with
            decay; NaN of a printed rule. seen: share of positives with two neighbouring values before t50.
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
    least_area: float
    coverage: dict[float, float]
    floor: float
    tied: float
    decay_tpr: float
    decay_fpr: float
    seen: Estimate
    p: float


class Alarms(NamedTuple):
    """Alarm epochs of runs, in their order, NaN of none.

    Attributes:
        epochs: by the rule. coverage: by calibrated false-positive rate. plain: with a threshold from negatives without decay.
    """

    epochs: list[float]
    coverage: Mapping[float, list[float]] = {}
    plain: Sequence[float] = ()


def alarms(runs: Sequence[Watched], calibration: Sequence[Watched], halves: Halves, *, by_group: bool = False) -> Alarms:
    """Alarms of each run by the thresholds of the other half of the seeds."""

    def fired(thresholds: Sequence[float]) -> list[float]:
        return [fire_epoch(run, level) for run, level in zip(runs, thresholds, strict=True)]

    levels = {rate: fired(crossed(runs, calibration, halves, rate, by_group=by_group)) for rate in COVERAGE}
    plain = crossed(runs, calibration, halves, by_group=by_group, among=lambda run: not run.decayed)
    return Alarms(levels[FPR], levels, fired(plain))


def score(runs: Sequence[Watched], found: Alarms, *, by_group: bool = False) -> Score:
    """The worth of alarms.

    Args:
        runs: positives, negatives and censored ones. found: their alarms. by_group: whether AUROC is of pairs of one group.
    """
    told = list(zip(runs, found.epochs, strict=True))
    good = [(run, epoch) for run, epoch in told if run.positive]
    positives, negatives = [run for run in runs if run.positive], [run for run in runs if run.negative]
    late = [(run, epoch) for run, epoch in good if late_enough(run, epoch)]
    early = sum(detected(run, epoch) for run, epoch in good)
    false = [epoch for run, epoch in told if run.negative]
    sets = _by_set([(run, epoch) for run, epoch in told if run.negative])
    leads = {name: _median(getattr(run, name) - epoch for run, epoch in late) for name in EVENTS}
    return Score(
        exact(early, len(good)),
        exact(len(late), len(good)),
        _share([epoch for _, epoch in good]),
        _share(false),
        sets,
        _by_set([(run, epoch) for run, epoch in told if run.censored]),
        max(sets, key=lambda name: (sets[name].share.value, sets[name].share.high), default=""),
        leads,
        _median((run.t50 - epoch) / run.t50 for run, epoch in late),
        auroc(positives, negatives, by_group=by_group),
        _least_area(positives, negatives, by_group),
        {rate: _detections(runs, epochs) for rate, epochs in found.coverage.items()},
        floor(positives, negatives),
        tied(late),
        *_with_decay(runs, found.plain),
        exact(sum(math.isfinite(sustained_peak(run, run.t50)) for run in positives), len(positives)),
        _fisher(early, len(good), sum(not math.isnan(epoch) for epoch in false), len(false)),
    )


def tied(late: Sequence[tuple[Watched, float]]) -> float:
    """The mean over groups of Spearman's correlation of alarm and t50, of runs with their alarms.

    A group in which one of the two does not vary counts as 0, one of fewer than three runs is left out; 0 if none is left.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for run, epoch in late:
        groups.setdefault(run.group, []).append((epoch, run.t50))
    return float(np.mean([_spearman(*np.array(one).T) for one in groups.values() if len(one) >= 3] or [0.0]))


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


def _least_area(positives: Sequence[Watched], negatives: Sequence[Watched], by_group: bool) -> float:
    """The lowest AUROC of one control set; NaN without a pair."""
    table = pairs(positives, negatives)
    same = np.array([[not by_group or one.group == other.group for other in negatives] for one in positives], dtype=bool)
    sets = np.array([run.control for run in negatives], dtype=object)
    parts = [(table[:, sets == name], same[:, sets == name]) for name in dict.fromkeys(sets) if len(table)]
    return min((float(values[counts].mean()) for values, counts in parts if counts.any()), default=math.nan)


def _with_decay(runs: Sequence[Watched], epochs: Sequence[float]) -> tuple[float, float]:
    """Detections at any time, and false alarms of negatives with decay; NaN without alarms."""
    if not epochs:
        return math.nan, math.nan
    told = list(zip(runs, epochs, strict=True))
    return (
        _mean(late_enough(run, epoch) for run, epoch in told if run.positive),
        _mean(not math.isnan(epoch) for run, epoch in told if run.negative and run.decayed),
    )


def _detections(runs: Sequence[Watched], epochs: Sequence[float]) -> float:
    return _mean(detected(run, epoch) for run, epoch in zip(runs, epochs, strict=True) if run.positive)


@functools.cache
def _fisher(hits: int, good: int, false: int, bad: int) -> float:
    return float(stats.fisher_exact([[hits, good - hits], [false, bad - false]], alternative="greater").pvalue)


def _share(epochs: Sequence[float]) -> Estimate:
    return exact(sum(not math.isnan(epoch) for epoch in epochs), len(epochs))


def _median(values: Iterable[float]) -> Estimate:
    return median_interval(np.array(list(values), dtype=np.float64))


def _mean(outcomes: Iterable[bool]) -> float:
    found = list(outcomes)
    return float(np.mean(found)) if found else math.nan


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """0 where one of them does not vary."""
    return 0.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else float(stats.spearmanr(x, y).statistic)

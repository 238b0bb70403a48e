"""Alarms on runs: when a series gives one, a threshold from calibration runs, and how well a series ranks. Arrays in.

A series is oriented so that high values announce. An alarm is given at the second of two values at or above the threshold that
are neighbours in the epochs taken, so that whether a run fires depends on its *sustained peak*, the largest minimum of two
neighbours, alone. A run without a known value never fires.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.statistics.estimates import LEVEL, RESAMPLES, SEED, UNKNOWN, Estimate

FPR = 0.05
"""Most of the calibration negatives that may fire."""
REACHED = 0.8
"""Share of the calibration positives whose level by their t50 a threshold goes midway to."""

Halves = tuple[Collection[int], Collection[int]]
"""Seeds of either half: each gives the thresholds of the other."""


@dataclass(frozen=True, eq=False)
class Watched:
    """One run's series and what happened in it.

    Attributes:
        seed: of the run. positive: whether it grokked. control: name of its set, empty of a run that grokked.
        decayed: whether it had weight decay. t10, t50, t99: first epochs with such a test accuracy; NaN where it never had.
        epochs, values: (N,) that are taken, ascending, oriented; NaN where a value is not known. Both are empty of a run whose
            network feeds the series and that has no value.
        censored: whether it may grok later than its horizon: it is then neither positive nor negative.
        group: what a scale is of, the activation or the network.
    """

    seed: int
    positive: bool
    control: str
    decayed: bool
    t10: float
    t50: float
    t99: float
    epochs: np.ndarray
    values: np.ndarray
    censored: bool = False
    group: str = ""

    @property
    def negative(self) -> bool:
        """Whether it did not grok, and would not have later as far as is known."""
        return not self.positive and not self.censored

    @functools.cached_property
    def sustained(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each two neighbours the second's epoch, and the largest minimum so far: (N − 1,) each; −∞ before two are known."""
        if len(self.values) < 2:
            return np.array([]), np.array([])
        low = np.minimum(self.values[1:], self.values[:-1])
        return self.epochs[1:], np.maximum.accumulate(np.where(np.isfinite(low), low, -np.inf))

    @functools.cached_property
    def chances(self) -> Chances:
        """The first and second epoch at which an alarm can be given: of two neighbours that are known."""
        both = np.isfinite(self.values[1:]) & np.isfinite(self.values[:-1])
        return first_two(self.epochs[1:][both])


class Chances(NamedTuple):
    """The first two epochs at which a rule can give an alarm, whatever the values are; NaN of what never comes.

    An alarm at the first is no detection, so that a run can be detected only if the second is before its t50.
    """

    first: float
    second: float


def sustained_peak(run: Watched, before: float = math.inf) -> float:
    """The largest minimum of two known neighbours, both at epochs < `before`; −∞ without two."""
    seconds, peaks = run.sustained
    at = int(seconds.searchsorted(before))
    return float(peaks[at - 1]) if at else -math.inf


def sustained_peaks(run: Watched, before: np.ndarray) -> np.ndarray:
    """`sustained_peak` before each of some epochs."""
    seconds, peaks = run.sustained
    return np.concatenate(([-np.inf], peaks))[seconds.searchsorted(before)]


def fire_epoch(run: Watched, threshold: float) -> float:
    """The epoch of the alarm at a threshold, of the second of two values ≥ it; NaN if there is none."""
    seconds, peaks = run.sustained
    at = int(peaks.searchsorted(threshold))
    return math.nan if at == len(peaks) or math.isnan(threshold) else float(seconds[at])


def fire_epochs(run: Watched, thresholds: np.ndarray) -> np.ndarray:
    """`fire_epoch` at each of some thresholds."""
    seconds, peaks = run.sustained
    at = peaks.searchsorted(thresholds)
    fires = (at < len(peaks)) & ~np.isnan(thresholds)
    out = np.full(len(thresholds), np.nan)
    out[fires] = seconds[at[fires]]
    return out


def first_two(epochs: np.ndarray) -> Chances:
    """Of epochs at which a rule can hold, ascending."""
    found = [float(epoch) for epoch in epochs[:2]]
    return Chances(*found, *(math.nan,) * (2 - len(found)))


def first_chance(run: Watched) -> float:
    """The epoch at which an alarm can first be given; NaN if it never can."""
    return run.chances.first


def late_enough(epoch: float, first: float) -> bool:
    """Whether an alarm is given, and not at its first chance: what was so before anything was learned is no detection."""
    return epoch > first


def detected(run: Watched, epoch: float, first: float) -> bool:
    """Whether an alarm at an epoch, NaN of none, announces: it is given after the first chance and before t50."""
    return late_enough(epoch, first) and epoch < run.t50


def calibrate(negatives: Sequence[Watched], rate: float = FPR, positives: Sequence[Watched] = ()) -> float:
    """A threshold at which at most a share `rate` of the negatives fires; NaN without one.

    With n negatives ⌊rate · n⌋ may fire: the lowest such threshold is just above the next peak. There, at the edge of what
    negatives do by chance, about as many of others fire again; where 0.8 of the positives reach a higher peak by their t50 the
    threshold is midway to it. After t50 a level is that of having grokked, and midway to it comes late.

    Args:
        negatives, positives: of the calibration. rate: of negatives that may fire.
    """
    peaks = sorted((sustained_peak(run) for run in negatives), reverse=True)
    if not peaks:
        return math.nan
    edge = float(np.nextafter(peaks[math.floor(rate * len(peaks) + 1e-9)], math.inf))
    reached = sorted((sustained_peak(run, run.t50) for run in positives), reverse=True)
    peak = reached[math.ceil(REACHED * len(reached) - 1e-9) - 1] if reached else -math.inf
    return edge + (peak - edge) / 2 if peak > edge and math.isfinite(peak) else edge


def crossed(
    runs: Sequence[Watched],
    calibration: Sequence[Watched],
    halves: Halves,
    rate: float = FPR,
    *,
    by_group: bool = False,
    edge: bool = False,
    among: Callable[[Watched], bool] = lambda run: True,
) -> list[float]:
    """Of each run the threshold that the other half of the seeds gives; NaN where it gives none.

    Args:
        runs: of seeds of the halves. calibration: runs of which the thresholds are. halves: of the seeds.
        rate: as of `calibrate`. by_group: whether each group has a threshold of its own. edge: whether positives have no part
            in it. among: negatives that count.
    """
    kept: dict[tuple[bool, str], float] = {}
    for run in runs:
        key = run.seed in halves[0], run.group if by_group else ""
        if key not in kept:
            other = halves[1] if run.seed in halves[0] else halves[0]
            others = [one for one in calibration if one.seed in other and (not by_group or one.group == run.group)]
            calm = [one for one in others if one.negative and among(one)]
            kept[key] = calibrate(calm, rate, [] if edge else [one for one in others if one.positive])
    return [kept[run.seed in halves[0], run.group if by_group else ""] for run in runs]


def pairs(positives: Sequence[Watched], negatives: Sequence[Watched]) -> np.ndarray:
    """(P, N): 1 where a positive stands above a negative by data before the positive's t10, ½ of a tie; both are cut there.

    The same cut for both gives every clock exactly 1/2.
    """
    cuts = np.array([run.t10 for run in positives])
    own = np.array([sustained_peak(run, run.t10) for run in positives])
    others = [sustained_peaks(run, cuts) for run in negatives]
    return np.stack([(own > other) + 0.5 * (own == other) for other in others], axis=1) if others else np.empty((len(own), 0))


def unknown_pairs(positives: Sequence[Watched], negatives: Sequence[Watched]) -> float:
    """Share of `pairs` of which one run has no two known neighbours before the cut and the other has: an unknown decides."""
    own = np.array([math.isinf(sustained_peak(run, run.t10)) for run in positives], dtype=bool)
    cuts = np.array([run.t10 for run in positives])
    others = [np.isinf(sustained_peaks(run, cuts)) for run in negatives]
    return float(np.mean([own != other for other in others])) if others and len(own) else math.nan


def auroc(positives: Sequence[Watched], negatives: Sequence[Watched], *, by_group: bool = False) -> Estimate:
    """How often a run that will grok stands above one that will not, as `pairs` has it.

    The interval is of resampled runs, positives and negatives apart.

    Args:
        positives, negatives: runs. by_group: whether only pairs of one group count.

    Returns:
        The share of pairs, ties half; unknown without a pair.
    """
    table = pairs(positives, negatives)
    groups = [np.array([run.group for run in some], dtype=object) for some in (positives, negatives)]
    counts = (groups[0][:, None] == groups[1]) if by_group else np.ones_like(table, dtype=bool)
    if not counts.any():
        return UNKNOWN
    first, second = _drawn(*table.shape)
    above, every = (((first @ part) * second).sum(axis=1) for part in (table * counts, counts.astype(np.float64)))
    some = every > 0  # of few runs in many groups a draw may hold no pair
    low, high = np.quantile(above[some] / every[some], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(table[counts].mean()), float(low), float(high), len(positives) + len(negatives))


@functools.lru_cache(maxsize=32)
def _drawn(*sizes: int) -> list[np.ndarray]:
    """How often each run of some groups is drawn, with replacement: (draws, n) of each."""
    rng = np.random.default_rng(SEED)
    drawn = [rng.integers(0, n, (RESAMPLES // 5, n)) for n in sizes]
    return [np.stack([np.bincount(row, minlength=len(row)) for row in rows]).astype(np.float64) for rows in drawn]


def floor(positives: Sequence[Watched], negatives: Sequence[Watched], least: float = 0.5) -> float:
    """The smallest false-positive rate of any threshold that detects at least a share `least` of the positives; NaN if none.

    A score whose floor is high is no alarm, whatever its AUROC.
    """
    reached = np.array([sustained_peak(run, run.t50) for run in positives])
    levels = np.unique(reached[np.isfinite(reached)])
    if not len(levels) or not negatives:
        return math.nan
    epochs = np.stack([fire_epochs(run, levels) for run in positives])
    chance, t50 = (np.array(times)[:, None] for times in ([first_chance(run) for run in positives], [r.t50 for r in positives]))
    enough = ((epochs > chance) & (epochs < t50)).mean(axis=0) >= least
    peaks = np.array([sustained_peak(run) for run in negatives])
    rates = (peaks[:, None] >= levels).mean(axis=0)
    return float(rates[enough].min()) if enough.any() else math.nan

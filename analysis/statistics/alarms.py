"""Alarms on runs: a threshold from calibration runs, and what it is worth on others. Arrays in, estimates out.

A series is oriented so that high values announce. An alarm is given at the second of two neighbouring known values at or above
the threshold, so that whether a run fires depends on its *sustained peak*, the largest minimum of two neighbours, alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.estimates import LEVEL, RESAMPLES, SEED, UNKNOWN, Estimate, clopper_pearson, median_interval

FPR = 0.05
"""Most of the calibration negatives that may fire."""
COVERAGE = (0.05, 0.10, 0.20)
"""False-positive rates at which the share of detected runs is told."""
LEAST = 5
"""Held-out negatives and positives below which nothing is said."""
DETECTED, FALSE, WORST, ALARMS_ON_DECAY, RANKS, TIED, UNSTABLE = 0.8, 0.1, 0.2, 0.5, 0.8, 0.3, 0.1
"""Margins of the verdict: see `verdict`."""
WORDS = (
    "alarm",
    "follows",
    "clock",
    "sees weight decay, not grokking",
    "rank only",
    "unstable to rounding or estimator",
    "no information",
    "not testable",
)
"""What a signal can be."""


class Watched(NamedTuple):
    """One run's series and what happened in it.

    Attributes:
        seed: of the run. positive: whether it grokked. control: name of its control set, empty of a run that grokked.
        decayed: whether it had weight decay. t10, t50, t99: first epochs with such a test accuracy; NaN where it never had.
        epochs, values: (N,) of the series, ascending, oriented; NaN where it is not known.
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


def sustained_peak(run: Watched, before: float = math.inf) -> float:
    """The largest minimum of two neighbouring known values, both at epochs < `before`; −∞ with fewer than two."""
    known = np.isfinite(run.values) & (run.epochs < before)
    x = run.values[known]
    return float(np.minimum(x[1:], x[:-1]).max()) if len(x) > 1 else -math.inf


def fire_epoch(run: Watched, threshold: float) -> float:
    """The epoch of the alarm, of the second of two values ≥ threshold; NaN if there is none."""
    known = np.isfinite(run.values)
    x, epochs = run.values[known], run.epochs[known]
    both = np.flatnonzero(np.minimum(x[1:], x[:-1]) >= threshold) if len(x) > 1 else np.array([], dtype=int)
    return float(epochs[both[0] + 1]) if len(both) else math.nan


def first_chance(run: Watched) -> float:
    """The epoch at which an alarm can first be given; NaN if it never can."""
    known = run.epochs[np.isfinite(run.values)]
    return float(known[1]) if len(known) > 1 else math.nan


def detected(run: Watched, threshold: float) -> bool:
    """Whether it fires, and not at its first chance: what was so before anything was learned is no detection."""
    epoch = fire_epoch(run, threshold)
    return not math.isnan(epoch) and epoch > first_chance(run)


def calibrate(negatives: Sequence[Watched], rate: float = FPR, positives: Sequence[Watched] = ()) -> float:
    """A threshold at which at most a share `rate` of the negatives fires; NaN without one.

    With n negatives ⌊rate · n⌋ may fire: the lowest such threshold is just above the next peak. There, at the edge of what
    negatives do by chance, about as many of others fire again; where 0.8 of the positives reach a higher peak the threshold is
    midway to it.

    Args:
        negatives, positives: of the calibration. rate: of negatives that may fire.
    """
    peaks = sorted((sustained_peak(run) for run in negatives), reverse=True)
    if not peaks:
        return math.nan
    edge = float(np.nextafter(peaks[math.floor(rate * len(peaks) + 1e-9)], math.inf))
    reached = sorted(map(sustained_peak, positives), reverse=True)
    peak = reached[math.ceil(DETECTED * len(reached) - 1e-9) - 1] if reached else -math.inf
    return (edge + peak) / 2 if peak > edge > -math.inf else edge


def auroc(positives: Sequence[Watched], negatives: Sequence[Watched]) -> Estimate:
    """How often a run that will grok stands above one that will not, from data before its t10 only; both cut at that epoch.

    The same cut for both gives every clock exactly 1/2. The interval is of resampled runs, positives and negatives apart.

    Returns:
        The share of pairs, ties half; unknown without a pair.
    """
    if not positives or not negatives:
        return UNKNOWN
    table = np.empty((len(positives), len(negatives)))
    for i, run in enumerate(positives):
        own = sustained_peak(run, run.t10)
        others = np.array([sustained_peak(other, run.t10) for other in negatives])
        table[i] = (own > others) + 0.5 * (own == others)
    rng = np.random.default_rng(SEED)
    rows = rng.integers(0, len(positives), (RESAMPLES // 5, len(positives)))
    columns = rng.integers(0, len(negatives), (RESAMPLES // 5, len(negatives)))
    found = [table[np.ix_(r, c)].mean() for r, c in zip(rows, columns, strict=True)]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(table.mean()), float(low), float(high), len(positives) + len(negatives))


def floor(positives: Sequence[Watched], negatives: Sequence[Watched], least: float = 0.5) -> float:
    """The smallest false-positive rate of any threshold that detects at least a share `least` of the positives; NaN if none.

    A score whose floor is high is no alarm, whatever its AUROC.
    """
    peaks = sorted({sustained_peak(run) for run in positives if math.isfinite(sustained_peak(run))}, reverse=True)
    rates = [
        float(np.mean([not math.isnan(fire_epoch(run, peak)) for run in negatives]))
        for peak in peaks
        if negatives and np.mean([detected(run, peak) for run in positives]) >= least
    ]
    return min(rates, default=math.nan)


class Score(NamedTuple):
    """What a signal with a threshold is worth on held-out runs.

    Attributes:
        threshold: NaN of a printed rule. tpr, fpr: shares with exact intervals. sets: false-positive rate by control set.
        worst: the control set with the highest rate. leads: median of t10, t50, t99 less the alarm's epoch.
        relative: of the lead against t50 over t50. area: AUROC before t10. coverage: TPR by calibrated false-positive rate.
        floor: as `floor` has it. tied: Spearman correlation of alarm and t50 over detected runs.
        decay_tpr, decay_fpr: with a threshold from negatives without decay only: detected positives, and false alarms of
            held-out negatives with decay. p: of detections and false alarms being of one rate, Fisher's.
    """

    threshold: float
    tpr: Estimate
    fpr: Estimate
    sets: dict[str, Estimate]
    worst: str
    leads: dict[str, Estimate]
    relative: Estimate
    area: Estimate
    coverage: dict[float, float]
    floor: float
    tied: float
    decay_tpr: float
    decay_fpr: float
    p: float


def score(calibration: Sequence[Watched], held_out: Sequence[Watched], fired: Sequence[float] | None = None) -> Score:
    """A calibrated rule, or a printed one, on held-out runs.

    Args:
        calibration: runs whose negatives give the threshold. held_out: runs, of other seeds, on which it is told.
        fired: alarm epochs of `held_out` under a printed rule, NaN for none, in place of the threshold's.
    """
    calm, grown = [run for run in calibration if not run.positive], [run for run in calibration if run.positive]
    threshold = math.nan if fired is not None else calibrate(calm, FPR, grown)
    epochs = [fire_epoch(run, threshold) for run in held_out] if fired is None else list(fired)
    pairs = list(zip(held_out, epochs, strict=True))
    good = [(run, epoch) for run, epoch in pairs if run.positive]
    bad = [(run, epoch) for run, epoch in pairs if not run.positive]
    found = [(run, epoch) for run, epoch in good if epoch > first_chance(run)]
    sets = {name: _share([e for run, e in bad if run.control == name]) for name in sorted({run.control for run, _ in bad})}
    leads = {
        name: median_interval(np.array([getattr(run, name) - epoch for run, epoch in found], dtype=np.float64))
        for name in ("t10", "t50", "t99")
    }
    relative = median_interval(np.array([(run.t50 - epoch) / run.t50 for run, epoch in found], dtype=np.float64))
    positives, negatives = [run for run, _ in good], [run for run, _ in bad]
    levels = {rate: calibrate(calm, rate, grown) for rate in COVERAGE}
    plain = calibrate([run for run in calm if not run.decayed], FPR, grown)
    decayed = [run for run in negatives if run.decayed]
    hits, false = len(found), sum(not math.isnan(epoch) for _, epoch in bad)
    p = stats.fisher_exact([[hits, len(good) - hits], [false, len(bad) - false]], alternative="greater").pvalue
    return Score(
        threshold,
        clopper_pearson(hits, len(good)),
        _share([epoch for _, epoch in bad]),
        sets,
        max(sets, key=lambda name: sets[name].value, default=""),
        leads,
        relative,
        auroc(positives, negatives),
        {rate: _rate(detected(run, level) for run in positives) for rate, level in levels.items()},
        floor(positives, negatives),
        _spearman(np.array([epoch for _, epoch in found]), np.array([run.t50 for run, _ in found])),
        _rate(detected(run, plain) for run in positives),
        _rate(not math.isnan(fire_epoch(run, plain)) for run in decayed),
        float(p),
    )


def verdict(found: Score, unstable: float = 0.0) -> str:
    """What a signal is, in words; the first of these that holds.

    - *not testable*: fewer than five held-out runs that grok, or that do not.
    - of a signal that detects at least 0.8, with a false-positive rate of at most 0.1 pooled and 0.2 on the worst set:
      *unstable to rounding or estimator* where the alarm comes in one rounding and not in another in over a tenth of the runs
      that were replicated, *clock* where the alarm's epoch does not follow t50 (Spearman below 0.3),
      *alarm* where the median lead against t50 has its whole interval above 0, else *follows*.
    - *sees weight decay, not grokking*: with a threshold from negatives without decay it detects at least 0.8, and fires in at
      least half of the negatives with decay.
    - *unstable to rounding or estimator*, as above.
    - *rank only*: AUROC before t10 at least 0.8, its interval above 1/2.
    - *no information*.

    Args:
        found: on held-out runs. unstable: share of replicated runs whose alarm depends on the rounding.
    """
    worst = max((share.value for share in found.sets.values()), default=math.nan)
    holds = found.tpr.value >= DETECTED and found.fpr.value <= FALSE and worst <= WORST
    rules = (
        ("not testable", found.tpr.n < LEAST or found.fpr.n < LEAST),
        (WORDS[5], holds and unstable > UNSTABLE),
        ("clock", holds and found.tied < TIED),
        ("alarm", holds and found.leads["t50"].low > 0),
        ("follows", holds),
        ("sees weight decay, not grokking", found.decay_tpr >= DETECTED and found.decay_fpr >= ALARMS_ON_DECAY),
        (WORDS[5], unstable > UNSTABLE),
        ("rank only", found.area.value >= RANKS and found.area.low > 0.5),
    )
    return next((word for word, true in rules if true), "no information")


def _share(epochs: Sequence[float]) -> Estimate:
    return clopper_pearson(sum(not math.isnan(epoch) for epoch in epochs), len(epochs))


def _rate(outcomes: Iterable[bool]) -> float:
    found = list(outcomes)
    return float(np.mean(found)) if found else math.nan


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """0 where one of them does not vary or there are fewer than three."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)

"""What a signal is, in a word, by what its alarms are worth; and what it needs to beat another."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from analysis.statistics.alarm_scores import WORST, Score
from analysis.statistics.paired import beyond

LEAST = 5
"""Positives and negatives below which nothing is said."""
DETECTED, FALSE, ALARMS_ON_DECAY, RANKS, TIED, UNSTABLE, SIGNED = 0.8, 0.1, 0.5, 0.8, 0.3, 0.1, 0.05
"""Margins of the words: see `verdict`."""
ALARM, BY_GROUP, UNDECIDED, FOLLOWS, CLOCK, DECAY, RANK, ROUNDING, NOTHING, NEVER, ALWAYS, FALSELY, SLOW, UNTESTED = WORDS = (
    "alarm",
    "alarm, activation by activation",
    "lead not decided",
    "follows",
    "clock",
    "fires without grokking where decay is",
    "rank only",
    "unstable to rounding or estimator",
    "no information",
    "never fires",
    "always fires",
    "false alarms",
    "not testable at this cadence",
    "not testable",
)
"""What a signal can be, in the order of the leaderboard."""
ALARMS = (ALARM, BY_GROUP)


class Split(NamedTuple):
    """Runs repeated by other orders of summation: of how many the alarm is another there, and of how many it was tried."""

    split: int
    n: int

    @property
    def unstable(self) -> bool:
        """Two at least, and more than a tenth."""
        return self.split >= 2 and self.split > UNSTABLE * self.n


UNTRIED = Split(0, 0)


def verdict(found: Score, split: Split = UNTRIED, *, printed: bool = False) -> str:
    """What a signal is; the first of these that holds.

    - *not testable*: fewer than five runs that grok, or that do not.
    - *not testable at this cadence*: in fewer than 0.8 of the positives can an alarm be given after its first chance and before
      t50.
    - of false-positive rates of at most 0.1 pooled and 0.2 on the worst set, with a detection being an alarm before t50:
      *unstable to rounding or estimator* where 0.8 are detected, or fire at any time, and the alarm depends on the rounding in
      two runs at least and more than a tenth; *clock* where 0.8 are detected and the alarm's epoch does not follow t50 (mean of
      Spearman's correlations below 0.3); *alarm* where 0.8 are detected, that mean is more than chance gives (permutations at
      5 %) and the median lead against t50 has its whole interval above 0; *follows* where 0.8 fire at any time and that
      interval ends at or below 0; *lead not decided* where 0.8 fire at any time.
    - *fires without grokking where decay is*: with a threshold from negatives without decay at least 0.8 of the positives fire,
      and at least half of the negatives with decay.
    - *unstable to rounding or estimator*, as above.
    - *rank only*: AUROC before t10 at least 0.8, its interval above 1/2, and at least 0.8 on the worst control set.
    - *no information*.

    A printed rule has the words of `_printed` after the first two.

    Args:
        found: on held-out runs. split: of runs that were repeated. printed: whether the rule was printed.
    """
    fires = found.later.value >= DETECTED
    if found.tpr.n < LEAST or found.fpr.n < LEAST:
        return UNTESTED
    if found.seen.value < DETECTED:
        return SLOW
    if printed:
        return _printed(found, split)
    rules = (
        (ROUNDING, quiet(found) and fires and split.unstable),
        (_lead(found), quiet(found) and fires),
        (DECAY, found.decay_tpr.value >= DETECTED and found.decay_fpr.value >= ALARMS_ON_DECAY),
        (ROUNDING, split.unstable),
        (RANK, found.area.value >= RANKS and found.area.low > 0.5 and found.least_area >= RANKS),
    )
    return next((word for word, true in rules if true), NOTHING)


def quiet(found: Score) -> bool:
    """Whether false alarms are few enough, pooled and on the worst set."""
    worst = max((one.share.value for one in found.sets.values()), default=math.nan)
    return found.fpr.value <= FALSE and worst <= WORST


def _lead(found: Score) -> str:
    """The word of a signal whose false alarms are few and that fires in enough of the positives.

    Of few runs a correlation is above 0.3 by chance: where a permutation test does not refuse that it is none, neither word of
    a clock and an alarm is given.
    """
    early, lead = found.tpr.value >= DETECTED, found.leads["t50"]
    if early and found.tied.value < TIED:
        return CLOCK
    if early and lead.low > 0:
        return ALARM if found.tied.p < SIGNED else UNDECIDED
    return FOLLOWS if lead.high <= 0 else UNDECIDED


def _printed(found: Score, split: Split) -> str:
    """The word of a printed rule, to which no threshold can be given.

    *Always fires*: in every run. *False alarms*: more than 0.1 pooled or 0.2 on the worst set. *Never fires*: in no positive.
    Then *unstable to rounding or estimator*, and the words of the lead; of a rule that fires in fewer than 0.8 of the positives
    it is *not decided*.
    """
    if found.sounded.value == found.fpr.value == 1:
        return ALWAYS
    if not quiet(found):
        return FALSELY
    if found.sounded.value == 0:
        return NEVER
    if split.unstable:
        return ROUNDING
    return _lead(found) if found.later.value >= DETECTED else UNDECIDED


class Contest(NamedTuple):
    """The leads of two signals on the runs in which both fire.

    Attributes:
        longer, n: runs in which the first leads longer, of so many. p: of the exact sign test, two-sided.
    """

    longer: int
    n: int
    p: float

    @property
    def won(self) -> bool:
        """In more than half, by the test at 5 %; of several contests p is to be adjusted first."""
        return self.longer > self.n / 2 and self.p < SIGNED


def contest(first: np.ndarray, second: np.ndarray) -> Contest:
    """Whether alarms come before others, run by run; an equal epoch is none that does.

    Args:
        first, second: (R,) epochs of the alarms of the same runs, NaN of none.
    """
    lead = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    lead = lead[~np.isnan(lead)]
    return Contest(int((lead > 0).sum()), len(lead), beyond(lead, 0.0))

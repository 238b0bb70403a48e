"""The verdict rules: each judges one published number, and `judge` the claim that its numbers make.

Written before the runs were looked at, and changed since. After a first look: train accuracy is judged as a median against
"1.0"; a value inside an interval but off by more than a factor of 2 is only a caveat; `sign-match-saturates` compares
shares with room for rounding. After a review, with results known: the rebuttal's range is judged by its most favourable
reading, `marks-grokking` counts ReLU runs too, ratios are paired by seed, and what was not measured is not testable yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from analysis.exhibits.model import CAVEAT, CONTRADICTED, NOT_REPRODUCED, REPRODUCED, Entry, Measured
from analysis.exhibits.sources import ENOUGH, Absent
from analysis.statistics import estimates as statistics
from analysis.statistics.estimates import Estimate
from analysis.words import number, spread

NEAR = 0.1
"""A number off by at most this share of the published one is near it."""
FAR = 2.0
"""A number off by more than this factor contradicts."""
SAME_EPOCH = 1
"""Epochs by which a single run's event may be off."""
MOST_PARTS = 0.75

COUNT = (
    "A count: reproduced if equal; one run off, with a caveat; further off, not reproduced, and contradicted if Fisher's "
    "exact test tells it from the published count at 5 %."
)
MEDIAN = (
    "A median over seeds: reproduced if it rounds to the printed digits, or if its 95 % interval (order statistics; the range "
    "below six seeds) holds the published value and it is within a factor of 2; with a caveat if within 10 %, or in the "
    "interval only; within a factor of 2, not reproduced; beyond, or where an event never came, contradicted. A quantity that "
    "fewer than four fifths of the runs have measured is not testable yet."
)
QUARTILES = (
    "Quartiles: reproduced if the 95 % interval of each (order statistics) holds the published one; otherwise with a caveat."
)
RATIO = "A ratio of medians: as a median, with a bootstrap interval that draws seeds, both conditions of one at a time."
DIGITS = (
    "A number of one run: reproduced if it rounds to the printed digits; within 10 %, with a caveat; within a factor of 2, "
    "not reproduced; beyond, or where an event never came, contradicted; a quantity that was not measured, not testable yet."
)
EPOCHS = (
    "Epochs of single runs: reproduced if as many came and each is within one epoch; as many and each within 10 %, with a "
    "caveat; as many, not reproduced; otherwise contradicted."
)
SEED = (
    "A share measured on one run: reproduced if it rounds to the printed digits; otherwise not reproduced, and contradicted if "
    "the published share lies outside the range of all seeds that were run; not testable yet if that run did not measure it."
)
BETWEEN = (
    "A median over seeds of an event seen at a cadence: at best with a caveat where the cadence is above one epoch; so if the "
    "published value lies between the medians of the last observation before and the first at or after; otherwise by the "
    "latter, as a median."
)
PARTS = (
    "Several numbers: contradicted if one is; reproduced if all are; with a caveat if three quarters are at least that; "
    "otherwise not reproduced."
)


class Part(NamedTuple):
    """One published number beside the measured one."""

    name: str
    published: str
    text: str
    estimate: Estimate
    verdict: str


def judge(parts: Sequence[Part], note: str = "") -> Measured:
    """The claim that some numbers make together, by `PARTS`."""
    verdicts = [part.verdict for part in parts]
    good = sum(verdict in (REPRODUCED, CAVEAT) for verdict in verdicts)
    if CONTRADICTED in verdicts:
        verdict = CONTRADICTED
    elif all(verdict == REPRODUCED for verdict in verdicts):
        verdict = REPRODUCED
    else:
        verdict = CAVEAT if good >= MOST_PARTS * len(parts) else NOT_REPRODUCED
    text = "; ".join(f"{part.name} {part.text}" if len(parts) > 1 else part.text for part in parts)
    off = [
        f"{part.name} {part.text}, published {part.published} ({part.verdict})" for part in parts if part.verdict != REPRODUCED
    ]
    notes = ["Off: " + "; ".join(off) + "."] if off and len(parts) > 1 else []
    entries = tuple(Entry(part.name, {"quantity": part.name}, part.published, part.text, part.verdict) for part in parts)
    estimates = {part.name: part.estimate for part in parts}
    text_of_notes = " ".join([*notes, *([note] if note else [])])
    return Measured(text, verdict, estimates, text_of_notes, entries=entries if len(parts) > 1 else ())


def count(name: str, found: int, n: int, published: int, of: int) -> Part:
    """`found` of n runs against `published` of `of`, by `COUNT`."""
    expected = published * n / of
    if math.isclose(found, expected):
        verdict = REPRODUCED
    elif abs(found - expected) <= 1:
        verdict = CAVEAT
    else:
        verdict = CONTRADICTED if statistics.counts_differ(found, n, published, of) < 1 - statistics.LEVEL else NOT_REPRODUCED
    return Part(name, f"{published}/{of}", f"{found}/{n}", statistics.clopper_pearson(found, n), verdict)


def median(name: str, values: Iterable[float], published: str, *, event: bool = False) -> Part:
    """The median of a value per run, by `MEDIAN`.

    Args:
        values: NaN where an event never came, or a quantity was not measured.
        event: whether they are epochs of an event, which may never come.

    Raises:
        Absent: if too few runs have measured a quantity.
    """
    x = np.array(list(values), dtype=np.float64)
    if not event:
        measured(name, x)
    estimate = statistics.median_interval(x)
    return Part(name, published, spread(*estimate[:3]), estimate, _near(estimate, published))


def measured(name: str, values: np.ndarray) -> np.ndarray:
    """The known values of a quantity that every run should have measured.

    Raises:
        Absent: if fewer than `ENOUGH` of them are known: what was not measured speaks for nothing.
    """
    known = statistics.known(values)
    if not len(known) or len(known) < ENOUGH * np.size(values):
        raise Absent(f"{name} is known of {len(known)} of {np.size(values)} runs")
    return known


def quartiles(name: str, values: Iterable[float], published: tuple[float, float]) -> Part:
    """The quartiles of a value per run, by `QUARTILES`; beside a median, which has seen to it that there are values."""
    x = np.array(list(values), dtype=np.float64)
    estimate = statistics.quartiles(x)
    ends = (statistics.quantile_interval(x, p) for p in (0.25, 0.75))
    inside = all(end.low <= value <= end.high for end, value in zip(ends, published, strict=True))
    text = f"[{number(estimate.low)}, {number(estimate.high)}]"
    return Part(name, f"[{published[0]:g}, {published[1]:g}]", text, estimate, REPRODUCED if inside else CAVEAT)


def ratio(name: str, above: Iterable[float], below: Iterable[float], published: str) -> Part:
    """The ratio of two conditions' medians, entry i of both of one seed, by `RATIO`.

    Raises:
        Absent: if too few runs have measured the quantity.
    """
    a, b = (np.array(list(values), dtype=np.float64) for values in (above, below))
    measured(name, a + b)
    return interval(name, statistics.ratio_of_medians(a, b, paired=True), published)


def interval(name: str, estimate: Estimate, published: str) -> Part:
    """An estimate whose interval is known, by `MEDIAN`.

    Raises:
        Absent: if nothing is known.
    """
    measured(name, np.array([estimate.value]))
    return Part(name, published, spread(*estimate[:3]), estimate, _near(estimate, published))


def digits(name: str, value: float, published: str, *, event: bool = False) -> Part:
    """A number of one run, by `DIGITS`; NaN where an event never came, or a quantity was not measured.

    Raises:
        Absent: if a quantity was not measured.
    """
    if not event:
        measured(name, np.array([value]))
    estimate = Estimate(float(value), math.nan, math.nan, int(not math.isnan(value)))
    return Part(name, published, number(value), estimate, _near(estimate, published))


def epochs(name: str, values: Iterable[float], published: Sequence[float]) -> Part:
    """Epochs of single runs in any order, NaN where they never came, by `EPOCHS`."""
    found = np.sort(np.array(list(values), dtype=np.float64))
    wanted = np.sort(np.array(published, dtype=np.float64))
    came, expected = statistics.known(found), statistics.known(wanted)
    if len(came) != len(expected):
        verdict = CONTRADICTED
    elif np.all(np.abs(came - expected) <= SAME_EPOCH):
        verdict = REPRODUCED
    else:
        verdict = CAVEAT if np.all(np.abs(came - expected) <= NEAR * expected) else NOT_REPRODUCED
    return Part(name, _list(wanted), _list(found), statistics.median_interval(found), verdict)


def between(name: str, crossings: Sequence[tuple[float, float]], published: str) -> Part:
    """An event per run, known as (last observation before, first at or after), by `BETWEEN`."""
    before, after = (np.array([pair[end] for pair in crossings], dtype=np.float64) for end in (0, 1))
    part = median(name, after, published, event=True)
    if not crossings or np.all(after - before <= 1):
        return part
    low, high = float(np.median(before)), float(np.median(after))
    inside = low < float(published) <= high
    verdict = CAVEAT if inside or part.verdict == REPRODUCED else part.verdict
    return part._replace(
        text=f"in ({number(low)}, {number(high)}]", estimate=Estimate(high, low, high, len(after), "between"), verdict=verdict
    )


def share_of_seed(name: str, value: float, all_seeds: np.ndarray, published: str) -> Part:
    """A share of one run, beside that of every seed, by `SEED`.

    Raises:
        Absent: if that run did not measure it.
    """
    measured(name, np.array([value]))
    x = statistics.known(all_seeds)
    low, high = float(x.min()), float(x.max())
    verdict = NOT_REPRODUCED if low <= float(published) <= high else CONTRADICTED
    if rounds_to(value, published):
        verdict = REPRODUCED
    text = f"{number(value)} (all {len(x)} seeds {number(low)} to {number(high)})"
    return Part(name, published, text, Estimate(float(value), low, high, len(x), "range"), verdict)


def rounds_to(value: float, printed: str) -> bool:
    """Whether a value, rounded to the digits that were printed, is the printed number."""
    unit = Decimal(1).scaleb(int(Decimal(printed).as_tuple().exponent))
    return math.isfinite(value) and abs(Decimal(value) - Decimal(printed)) <= unit / 2


def _near(estimate: Estimate, published: str) -> str:
    target = float(published)
    if math.isnan(estimate.value):
        return CONTRADICTED
    inside = estimate.low <= target <= estimate.high
    within = estimate.value * target > 0 and 1 / FAR <= estimate.value / target <= FAR
    if rounds_to(estimate.value, published) or (inside and within):
        return REPRODUCED
    if inside or abs(estimate.value - target) <= NEAR * abs(target):
        return CAVEAT
    return NOT_REPRODUCED if within else CONTRADICTED


def _list(values: np.ndarray) -> str:
    return ", ".join(number(value) for value in values)

"""The verdict rules: each judges one published number, and `judge` the claim that its numbers make.

A number of named runs is a fact, compared as it is; one that stands for seeds at large is an estimate, tested against the
margin of its kind. `analysis/claims/PREREGISTRATION.md` has the rules, the margins, and every later change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from analysis.exhibits import margins
from analysis.exhibits.margins import (
    EPOCH,
    RUNS_PER_MISS,
    SHARE,
    SHARE_OF_RUNS,
    SIZE,
    Margin,
    half_unit,
    rounds_to,
)
from analysis.exhibits.model import (
    CAVEAT,
    CONTRADICTED,
    FAILED,
    HELD,
    IMPRECISE,
    NOT_REPRODUCED,
    REPRODUCED,
    weakest,
)
from analysis.exhibits.parts import (
    ALPHA,
    Part,
    against_margin,
    decide,
    each_known,
    either,
    far_ends,
    judge,
    margin_words,
    together,
)
from analysis.exhibits.rules import (
    AT_MOST,
    BETWEEN,
    COUNT,
    DIGITS,
    EPOCHS,
    EVERY,
    LINE,
    MEDIAN,
    PARTS,
    QUARTILES,
    RATIO,
    SEED,
)
from analysis.exhibits.sources import ENOUGH, Absent
from analysis.statistics import estimates as statistics
from analysis.statistics.clusters import Fit
from analysis.statistics.estimates import Estimate
from analysis.statistics.exact import Sides, one_sided_share, quantile_sides, student_sides
from analysis.words import number, spread

__all__ = [
    "ALPHA",
    "AT_MOST",
    "BETWEEN",
    "COUNT",
    "DIGITS",
    "EPOCHS",
    "EVERY",
    "LINE",
    "MEDIAN",
    "PARTS",
    "QUARTILES",
    "RATIO",
    "SEED",
    "Part",
    "at_most",
    "between",
    "count",
    "digits",
    "epochs",
    "every",
    "interval",
    "judge",
    "measured",
    "median",
    "never",
    "quartiles",
    "ratio",
    "relation",
    "rounds_to",
    "share_of_seed",
]


def count(name: str, found: int, n: int, published: int, of: int) -> Part:
    """`found` of n runs against `published` of `of`, by `COUNT`; what missing runs could do is counted in."""
    wanted = published * max(n, of) / of
    possible = {_count(found + more, max(n, of), wanted) for more in range(max(0, of - n) + 1)}
    held = possible <= set(HELD) or possible <= set(FAILED)
    verdict = weakest(tuple(possible)) if held else IMPRECISE
    room = max(n, of) // RUNS_PER_MISS
    estimate = statistics.clopper_pearson(found, n)
    margin = f"{room} run{'' if room == 1 else 's'}"
    because = {
        CAVEAT: f"it is off by at most {margin}, one in fifteen",
        NOT_REPRODUCED: f"it is off by more than {margin}, one in fifteen" if room else "of so few runs none may be off",
        CONTRADICTED: "more than half of the runs do the opposite",
        IMPRECISE: "the runs that are absent could decide it either way",
    }.get(verdict, "")
    return Part(name, f"{published}/{of}", f"{found}/{n}", estimate, verdict, margin=margin, because=because)


def _count(found: int, n: int, wanted: float) -> str:
    if math.isclose(found, wanted):
        return REPRODUCED
    if abs(found - wanted) <= n // RUNS_PER_MISS:
        return CAVEAT
    opposite = (wanted == n and 2 * found < n) or (wanted == 0 and 2 * found > n)
    return CONTRADICTED if opposite else NOT_REPRODUCED


def median(name: str, values: Iterable[float], published: str, *, event: bool = False, margin: Margin | None = None) -> Part:
    """The median of a value per run, by `MEDIAN`.

    Args:
        values: NaN where an event never came, or a quantity was not measured.
        event: whether they are epochs of an event, which may never come.
        margin: of the kind of quantity; by default that of epochs for an event, of shares of pairs otherwise.

    Raises:
        Absent: if too few runs have measured a quantity.
    """
    x = np.array(list(values), dtype=np.float64)
    if not event:
        measured(name, x)
    margin = margin or (EPOCH if event else SHARE)
    estimate = statistics.median_interval(x)
    sides, far = (quantile_sides(x, *ends) for ends in (margin.around(published), far_ends(float(published))))
    part = against_margin(name, published, spread(*estimate[:3]), estimate, margin, sides, far)
    return part._replace(values=each_known(x))


def relation(name: str, values: np.ndarray, published: str, near: tuple[float, float], far: tuple[float, float]) -> Part:
    """A relation that holds where the median of a value per run lies between two ends; contradicted outside of two others.

    Raises:
        Absent: if too few runs have measured the quantity.
    """
    estimate = statistics.median_interval(measured(name, values))
    sides, beyond = quantile_sides(values, *near), quantile_sides(values, *far).outside
    said = " … ".join(number(end) for end in near)
    text, decided = spread(*estimate[:3]), decide(sides, beyond)
    ends = " … ".join(number(end) for end in far)
    part = Part(name, published, text, estimate, decided, sides, beyond, said, each_known(values))
    return part._replace(beyond=f"outside of {ends}")


def measured(name: str, values: np.ndarray) -> np.ndarray:
    """The known values of a quantity that every run should have measured.

    Raises:
        Absent: if fewer than `ENOUGH` of them are known: what was not measured speaks for nothing.
    """
    known = statistics.known(values)
    if not len(known) or len(known) < ENOUGH * np.size(values):
        raise Absent(f"{name} is known of {len(known)} of {np.size(values)} runs")
    return known


def quartiles(name: str, values: Iterable[float], published: tuple[float, float], margin: Margin = SHARE) -> Part:
    """The quartiles of a value per run, by `QUARTILES`; beside a median, which has seen to it that there are values."""
    x = np.array(list(values), dtype=np.float64)
    estimate = statistics.quartiles(x)
    parts = []
    for p, value in zip((0.25, 0.75), published, strict=True):
        own, printed = statistics.quantile_interval(x, p), f"{value:g}"
        sides, far = (quantile_sides(x, *ends, p) for ends in (margin.around(printed), far_ends(value)))
        parts.append(against_margin(name, printed, "", own, margin, sides, far))
    text = f"[{number(estimate.low)}, {number(estimate.high)}]"
    room = "; ".join(part.margin for part in parts)
    whole = Part(name, f"[{published[0]:g}, {published[1]:g}]", text, estimate, REPRODUCED, margin=room)
    return _both(whole, parts)


def _both(whole: Part, parts: Sequence[Part]) -> Part:
    """A part that others make together, tested and not: no verdict among them is dropped."""
    tested, estimated = [part for part in parts if part.tested], [part for part in parts if part.estimated]
    sides = Sides(
        max((part.sides.inside for part in tested), default=math.nan),
        either(part.sides.outside for part in estimated) if estimated else math.nan,
    )
    far = either(part.far for part in estimated) if estimated else math.nan
    floor = together([part.verdict for part in parts if not part.tested])
    verdict = together([*([decide(sides, far)] if tested else []), floor])
    return whole._replace(verdict=verdict, sides=sides, far=far, by_digits=any(p.by_digits for p in parts), floor=floor)


def ratio(name: str, above: Iterable[float], below: Iterable[float], published: str, margin: Margin = margins.RATIO) -> Part:
    """The ratio of two conditions' medians, entry i of both of one seed, by `RATIO`.

    Raises:
        Absent: if too few runs have measured the quantity.
    """
    a, b = (np.array(list(values), dtype=np.float64) for values in (above, below))
    measured(name, a + b)
    estimate = statistics.ratio_of_medians(a, b, paired=True)
    sides, far = (quantile_sides(a / b, *ends) for ends in (margin.around(published), far_ends(float(published))))
    part = against_margin(name, published, spread(*estimate[:3]), estimate, margin, sides, far)
    return part._replace(values=each_known(a / b))


def interval(name: str, fit: Fit, published: str, margin: Margin) -> Part:
    """A number of a fitted line, by `LINE`.

    Raises:
        Absent: if nothing is known.
    """
    measured(name, np.array([fit.estimate.value]))
    ends = (margin.around(published), far_ends(float(published)))
    sides, far = (student_sides(fit.estimate.value, fit.error, fit.degrees, *each) for each in ends)
    return against_margin(name, published, spread(*fit.estimate[:3]), fit.estimate, margin, sides, far)


def digits(name: str, value: float, published: str, *, event: bool = False, margin: Margin | None = None) -> Part:
    """A number of one run, by `DIGITS`; NaN where an event never came, or a quantity was not measured.

    Raises:
        Absent: if a quantity was not measured.
    """
    if not event:
        measured(name, np.array([value]))
    margin = margin or (EPOCH if event else SIZE)
    estimate = Estimate(float(value), math.nan, math.nan, int(not math.isnan(value)))
    verdict, said = _fact(value, published, margin), margin_words(margin, published)
    because = _because_of_fact(verdict, said, never=math.isnan(value))
    return Part(name, published, number(value), estimate, verdict, margin=said, because=because)


def _because_of_fact(verdict: str, margin: str, *, never: bool) -> str:
    return {
        CAVEAT: f"it is inside the margin, {margin}, without the printed digits",
        NOT_REPRODUCED: f"it is outside the margin, {margin}",
        CONTRADICTED: "it never came" if never else "it is beyond a factor of 2 of what was published",
    }.get(verdict, "")


def _fact(value: float, published: str, margin: Margin) -> str:
    (low, high), (least, most) = margin.around(published), far_ends(float(published))
    if math.isnan(value) or not least <= value <= most:
        return CONTRADICTED
    if rounds_to(value, published):
        return REPRODUCED
    return CAVEAT if low <= value <= high else NOT_REPRODUCED


def at_most(name: str, value: float, published: str) -> Part:
    """A bound that no run may pass, by `AT_MOST`: half a unit of the printed digit is all the room that it has.

    Raises:
        Absent: if nothing was measured.
    """
    measured(name, np.array([value]))
    bound, (_, most) = float(published) + half_unit(published), far_ends(float(published))
    verdict = REPRODUCED if value <= bound else NOT_REPRODUCED if value <= most else CONTRADICTED
    estimate = Estimate(float(value), math.nan, math.nan, 1)
    because = {
        NOT_REPRODUCED: f"it is above the bound, {number(bound)} with half a unit of the printed digit",
        CONTRADICTED: "it is more than twice the bound",
    }.get(verdict, "")
    return Part(name, f"≤ {published}", number(value), estimate, verdict, margin=f"at most {number(bound)}", because=because)


def epochs(name: str, values: Iterable[float], published: Sequence[float]) -> Part:
    """Epochs of named runs in any order, NaN where they never came, by `EPOCHS`."""
    found = np.sort(np.array(list(values), dtype=np.float64))
    wanted = np.sort(np.array(published, dtype=np.float64))
    came, expected = statistics.known(found), statistics.known(wanted)
    if len(came) != len(expected):
        verdict, because = CONTRADICTED, f"it came in {len(came)} runs, and in {len(expected)} as published"
    else:
        each = [_fact(one, f"{other:.0f}", EPOCH) for one, other in zip(came, expected, strict=True)]
        verdict = together(each) if each else REPRODUCED
        because = {
            CAVEAT: f"each is within {EPOCH.width}, not all are equal",
            NOT_REPRODUCED: f"one is off by more than {EPOCH.width}",
            CONTRADICTED: "one is beyond a factor of 2 of what was published",
        }.get(verdict, "")
    estimate = statistics.median_interval(found)
    part = Part(name, _list(wanted), _list(found), estimate, verdict, margin=EPOCH.width, values=each_known(found))
    return part._replace(because=because)


def between(name: str, crossings: Sequence[tuple[float, float]], published: str) -> Part:
    """An event per run, known as (last observation before, first at or after), by `BETWEEN`."""
    before, after = (np.array([pair[end] for pair in crossings], dtype=np.float64) for end in (0, 1))
    part = median(name, after, published, event=True)
    if not crossings or np.all(after - before <= 1):
        return part
    first = before + 1
    low, high = float(np.median(first)), float(np.median(after))

    def sides(ends: tuple[float, float]) -> Sides:
        one, two = quantile_sides(first, *ends), quantile_sides(after, *ends)
        outside = two.outside if high < ends[0] else one.outside if low > ends[1] else 1.0
        return Sides(max(one.inside, two.inside), outside)

    found, far = sides(EPOCH.around(published)), sides(far_ends(float(published))).outside
    text = f"in ({number(float(np.median(before)))}, {number(high)}]"
    estimate = Estimate(high, float(np.median(before)), high, len(after), "between")
    return Part(name, published, text, estimate, decide(found, far), found, far, part.margin)


def share_of_seed(name: str, value: float, all_seeds: np.ndarray, published: str) -> Part:
    """A share of one run, beside that of every seed, by `SEED`.

    Raises:
        Absent: if that run did not measure it.
    """
    measured(name, np.array([value]))
    x = statistics.known(all_seeds)
    low, high = float(x.min()), float(x.max())
    near, far = SHARE.around(published)
    if rounds_to(value, published):
        verdict = REPRODUCED
    elif near <= value <= far:
        verdict = CAVEAT
    else:
        verdict = NOT_REPRODUCED if low <= float(published) <= high else CONTRADICTED
    text = f"{number(value)} (all {len(x)} seeds {number(low)} to {number(high)})"
    said = margin_words(SHARE, published)
    because = {
        CAVEAT: f"it is inside the margin, {said}, without the printed digits",
        NOT_REPRODUCED: f"it is outside the margin, {said}, though the seeds reach the printed share",
        CONTRADICTED: f"none of {len(x)} seeds reaches the printed share",
    }.get(verdict, "")
    estimate = Estimate(float(value), low, high, len(x), "range")
    return Part(name, published, text, estimate, verdict, margin=said, because=because)


def every(name: str, found: int, n: int) -> Part:
    """`found` of n runs do what every run is said to do, judged for all seeds, by `EVERY`."""
    sides = Sides(float(stats.binom.sf(found - 1, n, SHARE_OF_RUNS)), float(stats.binom.cdf(found, n, SHARE_OF_RUNS)))
    far, (low, high) = float(stats.binom.cdf(found, n, 0.5)), one_sided_share(found, n)
    text = f"{found}/{n}, one-sided 95 % bounds {number(low)} and {number(high)}"
    room = f"at least {SHARE_OF_RUNS} of all seeds"
    part = Part(name, "every run", text, statistics.clopper_pearson(found, n), decide(sides, far), sides, far, room)
    return part._replace(beyond="below one half of all seeds")


def never(name: str, fires: int, n: int) -> Part:
    """`fires` of n runs do what none is said to do, judged for all seeds, by `EVERY` of those that do not."""
    low, high = one_sided_share(fires, n)
    text = f"{fires} of {n} fire, one-sided 95 % bounds {number(low)} and {number(high)}"
    room = f"at most {number(1 - SHARE_OF_RUNS)} of all seeds"
    part = every(name, n - fires, n)
    return part._replace(published="none", text=text, estimate=statistics.clopper_pearson(fires, n), margin=room)


def _list(values: np.ndarray) -> str:
    return ", ".join(number(value) for value in values)

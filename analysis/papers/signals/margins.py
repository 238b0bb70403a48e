"""How near a number of a paper on signals must be, as PREREGISTRATION-signals.md in `analysis/claims` has it."""

from __future__ import annotations

import math
from typing import NamedTuple

from analysis.exhibits.model import (
    CONTRADICTED,
    IMPRECISE,
    NOT_REPRODUCED,
    REPRODUCED,
    Entry,
    Measured,
    weakest,
)
from analysis.exhibits.sources import Absent
from analysis.statistics.estimates import Estimate
from analysis.words import spread

OUTSIDE = 4
"""Beyond so many margins is contradicted; of a factor, its fourth power."""


class Margin(NamedTuple):
    """Of a kind of quantity: a width, or a factor."""

    kind: str
    width: float
    factor: bool = False


R_SQUARED = Margin("R²", 0.1)
SHARE = Margin("share of runs, AUROC, Gini", 0.1)
FACTOR = Margin("rate, exponent or ratio of times", 1.5, factor=True)
ERROR = Margin("mean absolute error as a share", 0.1)
PAIRS = Margin("share of the pairs", 0.03)
MARGINS = (R_SQUARED, SHARE, FACTOR, ERROR, PAIRS)
RULE = (
    "Each number within the margin of its kind, fixed in PREREGISTRATION-signals.md: reproduced; the interval reaching into "
    "the margin: not precise enough to tell; beyond four margins or of the other sign: contradicted; else not reproduced. "
    "The claim has the weakest verdict of its numbers."
)


def verdict(found: Estimate, printed: float, margin: Margin, *, event: bool = False) -> str:
    """The verdict on one number, by its value; an interval that reaches into the margin leaves it open.

    Args:
        found: the number. printed: the paper's. margin: of its kind. event: whether it is of an event, which may never come.

    Raises:
        Absent: if it is not known, and no event that never came.
    """
    if math.isnan(found.value):
        if event:
            return CONTRADICTED
        raise Absent(f"a {margin.kind} cannot be told from {found.n} runs")
    if margin.factor:
        if found.value * printed <= 0:
            return CONTRADICTED
        width = math.log(margin.width)
        off, ends = math.log(found.value / printed), [math.log(x / printed) for x in (found.low, found.high) if x * printed > 0]
    else:
        width = margin.width
        off, ends = found.value - printed, [x - printed for x in (found.low, found.high) if not math.isnan(x)]
    if abs(off) <= width:
        return REPRODUCED
    if len(ends) == 2 and min(ends) <= width and max(ends) >= -width:
        return IMPRECISE
    return CONTRADICTED if abs(off) > OUTSIDE * width else NOT_REPRODUCED


def entry(name: str, found: Estimate, printed: str, judged: str) -> Entry:
    """A number beside the printed one; unknown is that no run has the event that it is of."""
    told = "never" if math.isnan(found.value) else f"{spread(*found[:3])}, n = {found.n}"
    return Entry(name, {"quantity": name}, printed, told, judged)


FIRST_SCREEN = 60
"""Characters of what the first screen shows, at most."""


def measured(entries: list[Entry], estimates: dict[str, Estimate], note: str = "", short: str = "") -> Measured:
    """A claim of several numbers.

    Args:
        entries: the numbers. estimates: by name. note: of the claim. short: of `Measured`; where it is empty and one number
            alone is judged, that with its name.
    """
    judged = [one.verdict for one in entries if one.verdict]
    whole = IMPRECISE if IMPRECISE in judged and not {CONTRADICTED, NOT_REPRODUCED} & set(judged) else weakest_of(judged)
    text = "; ".join(f"{one.id} {one.measured} (printed {one.published})" for one in entries)
    named = [f"{one.id} {one.measured}" for one in entries if one.verdict]
    own = named[0] if len(named) == 1 and len(named[0]) <= FIRST_SCREEN else ""
    return Measured(text, whole, estimates, note, entries=tuple(entries), short=short or own)


def runs(share: Estimate) -> str:
    """A share of runs as a count.

    Example:
        >>> runs(Estimate(0.25, 0.0, 0.7, 8))
        '2/8 runs'
    """
    return f"{round(share.value * share.n)}/{share.n} runs"


def weakest_of(judged: list[str]) -> str:
    """Contradicted before not reproduced before the sides that hold."""
    for one in (CONTRADICTED, NOT_REPRODUCED):
        if one in judged:
            return one
    return weakest(judged)

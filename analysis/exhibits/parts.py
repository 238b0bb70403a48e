"""A published number beside the measured one, and the claim that several of them make together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.exhibits.margins import BY_DIGITS, DECIDED, FAR, Margin, rounds_to
from analysis.exhibits.model import (
    CONTRADICTED,
    FAILED,
    HELD,
    IMPRECISE,
    NOT_REPRODUCED,
    REPRODUCED,
    Entry,
    Measured,
    weakest,
)
from analysis.statistics import estimates as statistics
from analysis.statistics.estimates import Estimate
from analysis.statistics.exact import NO_TEST, Sides
from analysis.words import number

ALPHA = 1 - statistics.LEVEL


class Part(NamedTuple):
    """One published number beside the measured one.

    Attributes:
        name, published, text, estimate, verdict: of the number.
        sides: its p-values against the margin; `NO_TEST` of a fact, and no `inside` where the printed digits decide.
        far: p-value of lying outside a factor of 2. margin: around the published value, in words.
        values: of each run, where there is one per run. by_digits: whether printed digits decide it, or a part of it.
        floor: the verdict on the parts of it that no test decides.
        because: the condition that decided a fact, a clause. beyond: where an estimate contradicts what was published.
    """

    name: str
    published: str
    text: str
    estimate: Estimate
    verdict: str
    sides: Sides = NO_TEST
    far: float = math.nan
    margin: str = ""
    values: tuple[float, ...] = ()
    by_digits: bool = False
    floor: str = REPRODUCED
    because: str = ""
    beyond: str = "beyond a factor of 2 of what was published"

    @property
    def tested(self) -> bool:
        """Whether it is an estimate that a test decides, and not a fact or printed digits."""
        return not math.isnan(self.sides.inside)

    @property
    def estimated(self) -> bool:
        """Whether it is an estimate, whatever decides it: one of the numbers that "outside" is adjusted for."""
        return not math.isnan(self.sides.outside)


def judge(parts: Sequence[Part], note: str = "") -> Measured:
    """The claim that some numbers make together, by `PARTS`."""
    shown = _over_parts(parts)
    verdict = together([part.verdict for part in shown])
    text = "; ".join(f"{part.name} {part.text}" if len(parts) > 1 else part.text for part in parts)
    off = [
        f"{part.name} {part.text}, published {part.published} ({part.verdict})" for part in shown if part.verdict != REPRODUCED
    ]
    notes = ["Off: " + "; ".join(off) + "."] if off and len(parts) > 1 else []
    alike = [part.name for part in shown if part.by_digits]
    notes += [f"Printed digits decide, and no test: {', '.join(alike)}."] if alike else []
    entries = tuple(Entry(part.name, _setting(part), part.published, part.text, part.verdict) for part in shown)
    estimates = {part.name: part.estimate for part in parts}
    said = " ".join([*notes, *([note] if note else [])])
    samples = {part.name: part.values for part in parts if part.values}
    why = _why(shown, verdict)
    return Measured(text, verdict, estimates, said, entries=entries, p=_p(shown, verdict), samples=samples, why=why)


def _why(parts: Sequence[Part], verdict: str) -> str:
    """The condition that gave a claim its verdict, of the first number that has it; empty where all numbers hold."""
    decides = next((part for part in parts if part.verdict == verdict), None)
    if verdict == REPRODUCED or decides is None or not (clause := condition(decides)):
        return ""
    if len(parts) == 1:
        return f"{clause[0].upper()}{clause[1:]}."
    return f"{decides.name} is {decides.text} where {decides.published} was published: {clause}."


def condition(part: Part) -> str:
    """Which condition of its rule decided a number, a clause."""
    if not part.tested:
        return part.because
    return {
        REPRODUCED: f"tests put it inside the margin, {part.margin}",
        NOT_REPRODUCED: f"tests put it outside the margin, {part.margin}",
        CONTRADICTED: f"tests put it {part.beyond}",
        IMPRECISE: f"tests put it neither inside nor outside the margin, {part.margin}",
    }.get(part.verdict, part.because)


def _setting(part: Part) -> dict[str, str]:
    return {"quantity": part.name, "margin": part.margin} | ({DECIDED: BY_DIGITS} if part.by_digits else {})


def each_known(values: np.ndarray) -> tuple[float, ...]:
    """The known values, for the eye."""
    return tuple(float(value) for value in statistics.known(values))


def _over_parts(parts: Sequence[Part]) -> list[Part]:
    """The same, with what lies outside adjusted for the number of estimates, by Benjamini and Hochberg."""
    estimated = [part for part in parts if part.estimated]
    if not estimated:
        return list(parts)
    outside = stats.false_discovery_control([part.sides.outside for part in estimated])
    far = stats.false_discovery_control([part.far for part in estimated])
    adjusted = iter(zip(outside.tolist(), far.tolist(), strict=True))

    def again(part: Part) -> Part:
        own, beyond = next(adjusted)
        if not part.tested:
            return part
        return part._replace(verdict=together([decide(part.sides._replace(outside=own), beyond), part.floor]))

    return [again(part) if part.estimated else part for part in parts]


def together(verdicts: Sequence[str]) -> str:
    """One verdict of several by `PARTS`; reproduced of none."""
    for one in (CONTRADICTED, NOT_REPRODUCED, IMPRECISE):
        if one in verdicts:
            return one
    return weakest(verdicts) if verdicts else REPRODUCED


def _p(parts: Sequence[Part], verdict: str) -> float:
    """The p-value of a claim's decision, of "outside" by Simes; NaN where facts decide it, or printed digits a part of it.

    What has the printed digits has failed the test for "inside": a p-value over the other numbers would choose what is tested
    by the outcome of the test.
    """
    tested, digits_too = [part for part in parts if part.tested], any(part.by_digits for part in parts)
    facts = {part.floor if part.tested else part.verdict for part in parts}
    if not tested or (verdict in FAILED and facts & set(FAILED)) or (verdict in HELD and digits_too):
        return math.nan
    inside = max(part.sides.inside for part in tested) if facts <= set(HELD) and not digits_too else 1.0
    outside = either(part.sides.outside for part in parts if part.estimated)
    return inside if verdict in HELD else outside if verdict in FAILED else min(inside, outside)


def decide(sides: Sides, far: float) -> str:
    """The verdict on an estimate."""
    if sides.inside <= ALPHA:
        return REPRODUCED
    if far <= ALPHA:
        return CONTRADICTED
    return NOT_REPRODUCED if sides.outside <= ALPHA else IMPRECISE


def against_margin(name: str, published: str, text: str, estimate: Estimate, margin: Margin, sides: Sides, far: Sides) -> Part:
    """An estimate against its margin; the printed digits decide where it has them and no interval too wide for that."""
    said, (low, high) = margin_words(margin, published), far_ends(float(published))
    if math.isnan(estimate.value):
        return Part(name, published, text, estimate, CONTRADICTED, margin=said, because="it never came")
    narrow = low <= estimate.low and estimate.high <= high
    if sides.inside > ALPHA and rounds_to(estimate.value, published) and narrow:
        alike = sides._replace(inside=math.nan)
        return Part(name, published, text, estimate, REPRODUCED, alike, far.outside, said, by_digits=True)
    return Part(name, published, text, estimate, decide(sides, far.outside), sides, far.outside, said)


def far_ends(published: float) -> tuple[float, float]:
    """A factor of 2 either way."""
    ends = published / FAR, published * FAR
    return min(ends), max(ends)


def margin_words(margin: Margin, published: str) -> str:
    """`low … high` around a published value."""
    low, high = margin.around(published)
    return f"{number(low)} … {number(high)}"


def either(ps: Iterable[float]) -> float:
    """The p-value that one of several is so, by Simes."""
    return float(min(stats.false_discovery_control(list(ps))))

"""Margins of the lifecycle's numbers, as PREREGISTRATION-lifecycle.md in `analysis/claims` has them, and a number's verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from analysis.exhibits.margins import half_unit
from analysis.exhibits.model import BY_DEFINITION, CONTRADICTED, NOT_REPRODUCED, REPRODUCED, Entry
from analysis.words import number

RAMP = 800
"""Up to this step rounding moves little; beyond it more (LIFECYCLE: 900 to 1600 is a ramp, later only distributions agree)."""
OUTSIDE = 4
"""Outside by more than so many margins is contradicted; of a factor, its fourth power."""
WITHIN = "within"
"""What the setting of an entry calls the margin that one run is held to, without a test."""


class Margin(NamedTuple):
    """How near is equal.

    Attributes:
        kind: of quantity. near, far: up to step `RAMP` and beyond. factor: whether these are factors.
    """

    kind: str
    near: Callable[[float], float]
    far: Callable[[float], float]
    factor: bool = False


def _flat(near: float, far: float | None = None) -> tuple[Callable[[float], float], Callable[[float], float]]:
    return lambda _: near, lambda _: near if far is None else far


SHARE = Margin("grad%", *_flat(0.03, 0.12))
ACCURACY = Margin("accuracy or its change", *_flat(0.02, 0.05))
R_SQUARED = Margin("R²", *_flat(0.03, 0.05))
SIZE = Margin("eigenvalue, g₂₃ or curvature", *_flat(1.25, 2.0), factor=True)
RATIO = Margin("ratio of two sizes", *_flat(1.5, 2.0), factor=True)
ANGLE = Margin("angle", *_flat(3.0))
STEP = Margin("step", *_flat(100.0))
LOGGED = 200
"""Steps between the evaluations that the paper's grok steps of Dyck-1 were read from."""
LOGGED_STEP = Margin("step of a run that was logged at every 200th", *_flat(float(LOGGED)))
PLANE = Margin("change by a random plane", *_flat(1e-4))
FIVE_PERCENT = Margin("norm or entropy", lambda printed: 0.05 * abs(printed), lambda printed: 0.05 * abs(printed))


def verdict(value: float, printed: str, margin: Margin, step: int) -> str:
    """The verdict on one number.

    Args:
        value: measured, finite; NaN for an event that never came. printed: with its digits. step: of the number; 0 for the run.
    """
    target = float(printed)
    if math.isnan(value):
        return CONTRADICTED
    width = (margin.near if step <= RAMP else margin.far)(target)
    if margin.factor:
        if value * target <= 0:
            return CONTRADICTED
        off = abs(math.log(value / target))
        near = abs(value - target) <= half_unit(printed) or off <= math.log(width)
        return REPRODUCED if near else CONTRADICTED if off > OUTSIDE * math.log(width) else NOT_REPRODUCED
    off = abs(value - target)
    if off <= max(width, half_unit(printed)):
        return REPRODUCED
    return CONTRADICTED if off > OUTSIDE * width or value * target < 0 else NOT_REPRODUCED


def among(one: Entry, values: Sequence[float]) -> Entry:
    """A number of one seed late in a run with the range over our seeds: where that covers the print nothing contradicts it."""
    low, high = min(values), max(values)
    half = half_unit(one.published)
    covers = low - half <= float(one.published) <= high + half
    told = f"{one.measured}, over {len(values)} seeds {number(low)} to {number(high)}"
    return replace(one, measured=told, verdict=NOT_REPRODUCED if covers and one.verdict == CONTRADICTED else one.verdict)


def entry(name: str, value: float, printed: str, margin: Margin, step: int = 0, undecidable: str = "") -> Entry:
    """A number beside the measured one; with a reason why it is so by definition, undecidable."""
    judged = BY_DEFINITION if undecidable else verdict(value, printed, margin, step)
    told = "never" if math.isnan(value) else number(value)
    setting = {"quantity": name}
    if not undecidable:
        setting[WITHIN] = " … ".join(number(end) for end in within(printed, margin, step))
    return Entry(name, setting, printed, told + (f" ({undecidable})" if undecidable else ""), judged)


def within(printed: str, margin: Margin, step: int = 0) -> tuple[float, float]:
    """The ends of the margin around a printed number, as `verdict` holds a value to it.

    Args:
        printed: with its digits. margin: of its kind. step: of the number; 0 for the run.
    """
    target, half = float(printed), half_unit(printed)
    width = (margin.near if step <= RAMP else margin.far)(target)
    near = (target / width, target * width) if margin.factor else (target - width, target + width)
    return min(*near, target - half), max(*near, target + half)

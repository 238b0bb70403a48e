"""Margins of equivalence: how far from a published number a quantity may lie and still be the same, by kind of quantity.

Fixed before the runs that they judge; `analysis/claims/PREREGISTRATION.md` has this table and every later change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

FAR = 2.0
"""Beyond this factor, either way, a number is contradicted and not only not reproduced."""


class Margin(NamedTuple):
    """How near is equal, for one kind of quantity.

    Attributes:
        kind: of the quantity, in words. width: of the margin, in words. reason: why this wide, a sentence.
        reach: a published value to the ends of the margin around it, before the printed digits widen it.
    """

    kind: str
    width: str
    reason: str
    reach: Callable[[float], tuple[float, float]]

    def around(self, published: str) -> tuple[float, float]:
        """The ends of the margin around a printed number, never nearer than half a unit of its last digit.

        Example:
            >>> EPOCH.around("17"), EPOCH.around("174")
            ((15.0, 19.0), (165.3, 182.7))
        """
        value, half = float(published), half_unit(published)
        low, high = self.reach(value)
        return min(low, value - half), max(high, value + half)


def half_unit(printed: str) -> float:
    """Half a unit of the last digit of a printed number: it is known no better.

    Example:
        >>> half_unit("0.020"), half_unit("8.4e-6"), half_unit("174")
        (0.0005, 5e-08, 0.5)
    """
    return float(Decimal(1).scaleb(int(Decimal(printed).as_tuple().exponent)) / 2)


def rounds_to(value: float, printed: str) -> bool:
    """Whether a value, rounded to the digits that were printed, is the printed number."""
    unit = Decimal(1).scaleb(int(Decimal(printed).as_tuple().exponent))
    return math.isfinite(value) and abs(Decimal(value) - Decimal(printed)) <= unit / 2


def _plus_minus(width: Callable[[float], float]) -> Callable[[float], tuple[float, float]]:
    return lambda value: (round(value - width(value), 10), round(value + width(value), 10))


def _factor(of: Callable[[float], float]) -> Callable[[float], tuple[float, float]]:
    def reach(value: float) -> tuple[float, float]:
        ends = value / of(value), value * of(value)
        return min(ends), max(ends)

    return reach


EPOCH = Margin(
    "epoch of an event, or a number of epochs between two",
    "5 % of it, at least 2 epochs",
    "A convention (before or after the step, > or ≥) moves an event by one epoch and the median of an even number by another; "
    "5 % is less than half of the smallest step that the slope column of the η table relies on (199 to 173).",
    _plus_minus(lambda value: max(2.0, 0.05 * abs(value))),
)
RATIO = Margin(
    "ratio or spectral gap",
    "a factor of 1.25, at most half of its logarithm",
    "The limits of bioequivalence, symmetric in logarithms; 1 means no gap, and a reproduced gap must be nearer to the printed "
    "one than to none.",
    _factor(lambda value: math.exp(min(math.log(1.25), 0.5 * abs(math.log(value))) if value > 0 else math.log(1.25))),
)
SIZE = Margin(
    "eigenvalue, or level of ρ",
    "a factor of 1.1",
    "An eigenvalue of the Gram is a squared length: 10 % of it is 5 % of the length; the levels of ρ in the table are 7 to 20 "
    "% apart.",
    _factor(lambda _: 1.1),
)
ACCURACY = Margin(
    "accuracy",
    "0.01",
    "The paper's own line for a solved task is 0.99; chance is 0.014.",
    _plus_minus(lambda _: 0.01),
)
SHARE = Margin(
    "share of pairs of features",
    "0.02",
    "Four of 200 pairs, and a sixth of the printed rise from 0.865 to 0.985.",
    _plus_minus(lambda _: 0.02),
)
R_SQUARED = Margin(
    "R²",
    "0.05",
    "A twentieth of the variance; the printed value is given to 0.01.",
    _plus_minus(lambda _: 0.05),
)
MARGINS = (EPOCH, RATIO, SIZE, ACCURACY, SHARE, R_SQUARED)

RUNS_PER_MISS = 15
"""A count may be off by one run in fifteen; below fifteen runs it must be equal."""
SHARE_OF_RUNS = 0.9
"""`Every` and `never` of runs that nobody has published: at least, and at most one minus, this share of all seeds."""
DECIDED, BY_DIGITS = "decided by", "printed digits"
"""What an entry says of an estimate that no test puts inside its margin and that has every printed digit."""
PLATEAU = 2.0
"""`A plateau`: within this factor of itself."""

"""The rules that papers print beside their signals, each from a signal's series to where it holds; none looks ahead.

Shapes: N measured epochs, ascending.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Fires = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""(epochs (N,), values (N,), first epoch with training accuracy ≥ 0.99 or NaN) → (N,) bool, entry i from entries ≤ i only."""


def known(epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
    """Where a value is known."""
    return np.isfinite(np.asarray(values, dtype=np.float64))


@dataclass(frozen=True)
class PrintedRule:
    """When a paper says that its signal announces.

    Attributes:
        text: the rule as printed, with what had to be added to make it run. holds: the same in code.
        could: where it could hold, of other values at the same epochs: a baseline or a lag must be behind it. It holds nowhere
            else.
    """

    text: str
    holds: Fires
    could: Fires = known

    def first_chance(self, epochs: np.ndarray, values: np.ndarray, memorised: float) -> float:
        """The first epoch at which it could hold; NaN if there is none."""
        there = np.flatnonzero(self.could(epochs, values, memorised))
        return float(epochs[there[0]]) if len(there) else float("nan")


def at_least(level: float) -> Fires:
    """Value ≥ level."""
    return functools.partial(_not_below, level)  # no closure: a monitor that has it can be pickled


def _not_below(level: float, epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
    return np.asarray(values) >= level


def at_most(level: float) -> Fires:
    """Value ≤ level."""
    return lambda epochs, values, memorised: np.asarray(values) <= level


def times_memorised(factor: float) -> Fires:
    """Value ≥ factor times that at the first measured epoch at or after memorisation."""

    def holds(epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
        out, after = np.zeros(len(values), dtype=bool), np.flatnonzero(np.asarray(epochs) >= memorised)
        if len(after):
            out[after] = np.asarray(values)[after] >= factor * values[after[0]]
        return out

    return holds


def past_memorised(epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
    """Where a value is known, and another at or after memorisation before it: what `times_memorised` compares with."""
    after = np.flatnonzero(np.asarray(epochs) >= memorised)
    there = known(epochs, values, memorised)
    there[: after[0] + 1 if len(after) else len(there)] = False
    return there & bool(len(after) and np.isfinite(values[after[0]]))


def times_first(factor: float, count: int, least: float = -np.inf, sustained: int = 1) -> Fires:
    """Value > factor times the median of the first `count` known ones, and > least, so many times on end after these."""

    def holds(epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
        x = np.asarray(values, dtype=np.float64)
        first = np.flatnonzero(np.isfinite(x))[:count]
        if len(first) < count:
            return np.zeros(len(x), dtype=bool)
        over = (x > factor * np.median(x[first])) & (x > least)
        over[: first[-1] + 1] = False
        return np.array([i + 1 >= sustained and bool(over[i + 1 - sustained : i + 1].all()) for i in range(len(x))])

    return holds


def past_first(count: int, sustained: int = 1) -> Fires:
    """Where the last so many values are known, all of them after the first `count` known ones: what `times_first` needs."""

    def could(epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
        there = known(epochs, values, memorised)
        first = np.flatnonzero(there)[:count]
        there[: first[-1] + 1 if len(first) == count else len(there)] = False
        return np.array([i + 1 >= sustained and bool(there[i + 1 - sustained : i + 1].all()) for i in range(len(there))])

    return could


def slope_above(threshold: float, lag: int, first: int) -> Fires:
    """[log v(t) − log v(t − lag)] / lag > threshold at an epoch ≥ first; both ends must have been measured."""
    return functools.partial(_slope_holds, threshold, lag, first)  # as for `at_least`


def _slope_holds(
    threshold: float, lag: int, first: int, epochs: np.ndarray, values: np.ndarray, memorised: float
) -> np.ndarray:
    known = {int(epoch): float(value) for epoch, value in zip(epochs, values, strict=True) if value > 0}
    rises = [np.log(known[e] / known[e - lag]) / lag if e in known and e - lag in known else -np.inf for e in map(int, epochs)]
    holds: np.ndarray = (np.array(rises) > threshold) & (np.asarray(epochs) >= first)
    return holds


def with_lag(lag: int, first: int) -> Fires:
    """Where a value and the one `lag` epochs before it are known and positive, at an epoch ≥ first."""
    return functools.partial(_lagged, lag, first)  # as for `at_least`


def _lagged(lag: int, first: int, epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
    there = {int(epoch) for epoch, value in zip(epochs, values, strict=True) if value > 0}
    return np.array([e >= first and e in there and e - lag in there for e in map(int, epochs)], dtype=bool)


def later_than_memorised(epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
    """Where a value is known after memorisation."""
    return known(epochs, values, memorised) & (np.asarray(epochs) > memorised)


def after_memorised(level: float) -> Fires:
    """Value ≥ level after memorisation."""
    return lambda epochs, values, memorised: (np.asarray(values) >= level) & (np.asarray(epochs) > memorised)

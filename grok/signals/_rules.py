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


@dataclass(frozen=True)
class PrintedRule:
    """When a paper says that its signal announces.

    Attributes:
        text: the rule as printed, with what had to be added to make it run. holds: the same in code.
    """

    text: str
    holds: Fires


def at_least(level: float) -> Fires:
    """Value ≥ level."""
    return lambda epochs, values, memorised: np.asarray(values) >= level


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


def times_first(factor: float, count: int, least: float = -np.inf, sustained: int = 1) -> Fires:
    """Value > factor times the median of the first `count` known ones, and > least, so many times on end."""

    def holds(epochs: np.ndarray, values: np.ndarray, memorised: float) -> np.ndarray:
        x = np.asarray(values, dtype=np.float64)
        first = np.flatnonzero(np.isfinite(x))[:count]
        if len(first) < count:
            return np.zeros(len(x), dtype=bool)
        over = (x > factor * np.median(x[first])) & (x > least)
        over[: first[-1] + 1] = False
        return np.array([i + 1 >= sustained and bool(over[i + 1 - sustained : i + 1].all()) for i in range(len(x))])

    return holds


def slope_above(threshold: float, lag: int, first: int) -> Fires:
    """[log v(t) − log v(t − lag)] / lag > threshold at an epoch ≥ first; both ends must have been measured."""
    return functools.partial(_slope_holds, threshold, lag, first)  # no closure: a monitor that has it can be pickled


def _slope_holds(
    threshold: float, lag: int, first: int, epochs: np.ndarray, values: np.ndarray, memorised: float
) -> np.ndarray:
    known = {int(epoch): float(value) for epoch, value in zip(epochs, values, strict=True) if value > 0}
    rises = [np.log(known[e] / known[e - lag]) / lag if e in known and e - lag in known else -np.inf for e in map(int, epochs)]
    holds: np.ndarray = (np.array(rises) > threshold) & (np.asarray(epochs) >= first)
    return holds


def after_memorised(level: float) -> Fires:
    """Value ≥ level after memorisation."""
    return lambda epochs, values, memorised: (np.asarray(values) >= level) & (np.asarray(epochs) > memorised)

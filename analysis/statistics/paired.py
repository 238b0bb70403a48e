"""Differences within seeds: their median with an exact interval, and which way they go."""

from __future__ import annotations

import math

import numpy as np

from analysis.statistics.estimates import Estimate, median_interval
from analysis.statistics.exact import quantile_sides

RISES, FALLS, ALIKE, UNCLEAR = "rises", "falls", "alike", "not precise enough to tell"


def differences(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """After − before of each seed, those left out of which either is NaN.

    Args:
        after, before: (n,) float64, entry i of both of one seed.

    Raises:
        ValueError: if they are not as many.
    """
    a, b = np.asarray(after, dtype=np.float64), np.asarray(before, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must be as many on both sides, got {a.shape} and {b.shape}. Match them by seed.")
    found = a - b
    return found[~np.isnan(found)]


def median_difference(after: np.ndarray, before: np.ndarray) -> Estimate:
    """The median over seeds of after − before, with the exact interval between two order statistics.

    With fewer than six seeds the interval is the range, as `estimates.quantile_interval` says.
    """
    return median_interval(differences(after, before))


def beyond(values: np.ndarray, bound: float, *, above: bool = True) -> float:
    """Two-sided p-value of the exact sign test that the median lies on one side of a bound; small means that it does.

    It is below 0.05 where the exact interval of the median is clear of the bound on that side.

    Args:
        values: one per run; NaN is left out. bound: in their unit. above: on which side.
    """
    sides = quantile_sides(values, -math.inf, bound) if above else quantile_sides(values, bound, math.inf)
    return min(1.0, 2 * sides.outside)


def direction(estimate: Estimate, margin: float) -> str:
    """Which way a difference goes, by its interval.

    `rises` or `falls`: the interval is clear of 0 and the median at least the margin away; `alike`: the interval is within the
    margin on both sides; otherwise it is not precise enough to tell.

    Example:
        >>> direction(Estimate(0.05, 0.01, 0.09, 15), 0.02), direction(Estimate(0.01, -0.01, 0.02, 15), 0.02)
        ('rises', 'alike')
    """
    if estimate.low > 0 and estimate.value >= margin:
        return RISES
    if estimate.high < 0 and estimate.value <= -margin:
        return FALLS
    return ALIKE if -margin <= estimate.low and estimate.high <= margin else UNCLEAR

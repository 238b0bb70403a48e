"""A line over R runs, with intervals of resampled runs."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from analysis.exhibits.sources import Absent
from analysis.statistics.estimates import RESAMPLES, SEED, Estimate


def fit(x: np.ndarray, y: np.ndarray) -> tuple[Estimate, Estimate]:
    """Slope and R² of a line by least squares, with percentile intervals of resampled runs.

    Args:
        x, y: (R,).

    Raises:
        Absent: if one of them is not known of a run, or x does not vary.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise Absent("a line needs numbers of every run, and some are not known")
    if not len(x) or np.ptp(x) == 0:
        raise Absent(f"a line needs two settings, and of {len(x)} runs that grok all have one")

    def both(rows: np.ndarray) -> tuple[float, float]:
        if np.ptp(x[rows]) == 0:
            return math.nan, math.nan
        if np.ptp(y[rows]) == 0:
            return 0.0, 0.0  # a flat line, which explains nothing
        found = stats.linregress(x[rows], y[rows])
        return float(found.slope), float(found.rvalue) ** 2

    rng, every = np.random.default_rng(SEED), np.arange(len(x))
    drawn = np.array([both(rng.integers(0, len(x), len(x))) for _ in range(RESAMPLES // 10)])
    slope, square = both(every)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return Estimate(slope, float(low[0]), float(high[0]), len(x)), Estimate(square, float(low[1]), float(high[1]), len(x))

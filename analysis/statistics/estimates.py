"""Intervals and tests for few seeds: arrays in, `Estimate` or a p-value out.

Seeded: the same data gives the same bytes. A value that never came (a detector that did not fire) is NaN and is left out of
medians; n says how many were left.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

LEVEL = 0.95
RESAMPLES = 9999
SEED = 20260508
"""Of every bootstrap and permutation."""


class Estimate(NamedTuple):
    """A number with its interval.

    Attributes:
        value: NaN where nothing is known. low, high: ends of the interval, NaN where none can be given. n: runs behind it.
        kind: of the interval: `95 %`; `quartiles` or `range`, a spread of runs; `between`, two observations of an event.
    """

    value: float
    low: float
    high: float
    n: int
    kind: str = "95 %"


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)
"""No data."""


def known(values: np.ndarray) -> np.ndarray:
    """The values that are not NaN, float64."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return flat[~np.isnan(flat)]


def clopper_pearson(successes: int, n: int, level: float = LEVEL) -> Estimate:
    """A share with its exact interval, which covers at `level` or more.

    Args:
        successes: in [0, n]. n: trials; at 0 nothing is known.

    Source: Clopper and Pearson, Biometrika 26 (1934).
    """
    if n == 0:
        return UNKNOWN
    found = scipy.stats.binomtest(int(successes), n).proportion_ci(level, "exact")
    return Estimate(successes / n, float(found.low), float(found.high), n, _percent(level))


def quantile_interval(values: np.ndarray, p: float, level: float = LEVEL) -> Estimate:
    """A quantile with the exact interval between two order statistics, which covers at `level` or more.

    An end that no order statistic can give at that level is the smallest or largest value, and the kind is then `range`: the
    median of n < 6 values has their range, which covers at 1 − 2^(1−n) (0.94 at five, 0.75 at three).

    Args:
        values: one per run; NaN is left out. p: in (0, 1).

    Source: Conover, Practical Nonparametric Statistics, 3rd ed. (1999), §3.2.
    """
    x = known(values)
    if len(x) == 0:
        return UNKNOWN
    ordered = np.sort(x)
    ends = [math.nan if place is None else float(ordered[place]) for place in _order_statistics(len(x), p, level)]
    limits = zip(ends, (x.min(), x.max()), strict=True)
    low, high = (float(end if math.isfinite(end) else limit) for end, limit in limits)
    kind = _percent(level) if all(map(math.isfinite, ends)) else "range"
    return Estimate(float(np.quantile(x, p)), low, high, len(x), kind)


@functools.lru_cache(maxsize=1024)
def _order_statistics(n: int, p: float, level: float) -> tuple[int | None, ...]:
    """Places of an interval's ends among n sorted values, which n, p and the level alone decide; None where none does."""
    ends = scipy.stats.quantile_test(np.arange(n, dtype=np.float64), p=p).confidence_interval(level)
    return tuple(int(end) if math.isfinite(end) else None for end in ends)


def median_interval(values: np.ndarray, level: float = LEVEL) -> Estimate:
    """The median with its exact interval, as `quantile_interval` has it."""
    return quantile_interval(values, 0.5, level)


def quartiles(values: np.ndarray) -> Estimate:
    """The median between its quartiles: a spread of runs, not an interval of the median."""
    x = known(values)
    if len(x) == 0:
        return UNKNOWN
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    return Estimate(float(middle), float(low), float(high), len(x), "quartiles")


def quartile_columns(name: str, values: ArrayLike) -> dict[str, float]:
    """Median and quartiles of the known values as columns: `name`, `name_q1`, `name_q3`; NaN if there is none."""
    found = quartiles(np.asarray(values, dtype=np.float64))
    return {name: found.value, f"{name}_q1": found.low, f"{name}_q3": found.high}


def ratio_of_medians(a: np.ndarray, b: np.ndarray, *, paired: bool = False, level: float = LEVEL) -> Estimate:
    """median(a) / median(b) with a bootstrap interval (percentile).

    Percentile, since the jackknife of BCa does not work for a median. At fifteen a side it covers at 0.97 … 0.985, not less.

    Args:
        a, b: positive, one per run; NaN is left out.
        paired: entry i of both is of one seed; a pair with a NaN is left out.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13.
    """
    x, y = _pairs(a, b) if paired else (known(a), known(b))
    if min(len(x), len(y)) == 0:
        return UNKNOWN
    value = float(np.median(x) / np.median(y))
    if min(len(x), len(y)) < 2:
        return Estimate(value, math.nan, math.nan, len(x) + len(y))

    def ratio(u: np.ndarray, v: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.median(u, axis=axis) / np.median(v, axis=axis))

    found = scipy.stats.bootstrap(
        (x, y),
        ratio,
        paired=paired,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high), len(x) + len(y), _percent(level))


def permutation_test(a: np.ndarray, b: np.ndarray, *, paired: bool = False) -> float:
    """Two-sided p-value of equal means under exchange of labels; exact where 9,999 exchanges cover all.

    Args:
        a, b: one per run.
        paired: entry i of both is of one seed; labels are then exchanged within pairs.

    Returns:
        p in (0, 1]; NaN with fewer than two runs in either.

    Raises:
        ValueError: if a value is NaN, which has no mean.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if np.isnan(x).any() or np.isnan(y).any():
        raise ValueError("values must be known, got NaN. Leave those runs out, or compare counts.")
    if min(len(x), len(y)) < 2:
        return math.nan

    def difference(u: np.ndarray, v: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(u.mean(axis=axis) - v.mean(axis=axis))

    found = scipy.stats.permutation_test(
        (x, y),
        difference,
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)


def counts_differ(successes: int, n: int, others: int, m: int) -> float:
    """p-value of Fisher's exact test that `successes` of n and `others` of m have one rate."""
    table = [[successes, n - successes], [others, m - others]]
    return float(scipy.stats.fisher_exact(table).pvalue)


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The entries at which both are known."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"paired values must be as many on both sides, got {x.shape} and {y.shape}. Match them by seed.")
    both = ~(np.isnan(x) | np.isnan(y))
    return x[both], y[both]

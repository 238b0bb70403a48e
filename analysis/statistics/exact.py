"""Exact tests for few seeds: of a quantile against a margin, of pairs on shared seeds, and what a design can tell."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.estimates import LEVEL, known

MOST_FLIPPED = 20
"""Pairs of which all 2ⁿ signs are tried: a million sums."""


class Sides(NamedTuple):
    """Two p-values of one quantity against a margin; small means that it lies there.

    Attributes:
        inside: of the hypothesis that it lies outside, by two one-sided tests: the larger of both p-values.
        outside: of the hypothesis that it lies inside, by a one-sided test at the nearer end: the smaller of both p-values.
    """

    inside: float
    outside: float


NO_TEST = Sides(math.nan, math.nan)
"""Of a fact about named runs, which is compared as it is."""


def quantile_sides(values: np.ndarray, low: float, high: float, p: float = 0.5) -> Sides:
    """Exact binomial (sign) tests of where a quantile lies.

    With q the p-quantile of the population: if q < low, at least a share p of draws are below low, so that few such draws
    speak for q ≥ low; likewise at the other end. No form of the distribution is assumed; the ends belong to the margin.

    Args:
        values: one per run; NaN is left out. low, high: ends of the margin. p: in (0, 1).

    Returns:
        Both p-values; 1 of no value.

    Source: two one-sided tests, D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987); Conover (1999), §3.2.
    """
    x = known(values)
    n = len(x)
    above_low = float(stats.binom.cdf((x < low).sum(), n, p))
    below_high = float(stats.binom.sf((x <= high).sum() - 1, n, p))
    under, over = float(stats.binom.sf((x < low).sum() - 1, n, p)), float(stats.binom.cdf((x <= high).sum(), n, p))
    return Sides(max(above_low, below_high), min(under, over)) if n else Sides(1.0, 1.0)


def student_sides(value: float, error: float, degrees: int, low: float, high: float) -> Sides:
    """T tests of where an estimate with a standard error lies.

    Args:
        value, error: of the estimate; an error of 0 leaves no doubt. degrees: of freedom. low, high: ends of the margin.
    """
    if error == 0:
        return Sides(0.0, 1.0) if low <= value <= high else Sides(1.0, 0.0)
    above_low, below_high = (float(stats.t.sf(z, degrees)) for z in ((value - low) / error, (high - value) / error))
    return Sides(max(above_low, below_high), min(1 - above_low, 1 - below_high))


class Paired(NamedTuple):
    """A test on shared seeds: its two-sided p-value, the smallest that the design can give, and the pairs that tell."""

    p: float
    smallest: float
    n: int


def mcnemar(first: np.ndarray, second: np.ndarray) -> Paired:
    """McNemar's exact test that two conditions have one rate, on the same seeds.

    Only seeds that differ tell: given how many do, they split like a fair coin under the hypothesis.

    Args:
        first, second: (n,) bool, entry i of both of one seed.

    Returns:
        p, the smallest p of that many discordant pairs, 2^(1 − d), and d.

    Source: Q. McNemar, Psychometrika 12 (1947); exact binomial form.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"outcomes must be as many on both sides, got {a.shape} and {b.shape}. Match them by seed.")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    d = only_a + only_b
    if not d:
        return Paired(1.0, 1.0, 0)
    return Paired(float(stats.binomtest(only_a, d).pvalue), min(1.0, 2.0 ** (1 - d)), d)


def sign_flip(differences: np.ndarray) -> Paired:
    """The exact test that paired differences are symmetric about 0: all 2ⁿ signs of the mean.

    Args:
        differences: (n,) one per seed, n ≤ 20; NaN is left out.

    Returns:
        p, the smallest that n pairs can give, 2 / 2ⁿ, and n; p = 1 of no pair.

    Raises:
        ValueError: beyond `MOST_FLIPPED` pairs, where `quantile_sides` or Wilcoxon's test does as well.

    Source: R. A. Fisher, The Design of Experiments (1935), §21.
    """
    d = known(differences)
    n = len(d)
    if n > MOST_FLIPPED:
        raise ValueError(f"differences must be at most {MOST_FLIPPED} to try every sign, got {n}. Use a sign test.")
    if not n:
        return Paired(1.0, 1.0, 0)
    sums = np.zeros(1)
    for value in np.abs(d):
        sums = np.concatenate([sums + value, sums - value])
    reached = np.abs(sums) >= abs(d.sum()) - 1e-12 * np.abs(d).sum()
    return Paired(float(reached.mean()), min(1.0, 2.0 / 2**n), n)


class Power(NamedTuple):
    """What n runs can tell, by arithmetic.

    Attributes:
        n: runs. sign: smallest one-sided p of a sign test. needed: runs on one side of a bound that a sign test at 5 % needs;
            0 if n is too small. quartile: smallest one-sided p for a lower quartile above a bound. never: upper one-sided 95 %
            bound of a share of which no run has it. flips: smallest two-sided p of a sign-flip test of n pairs.
        difference: smallest share of discordant seeds, all one way, that McNemar's test finds at 5 % with a power of 0.8; NaN
            if none.
    """

    n: int
    sign: float
    needed: int
    quartile: float
    never: float
    flips: float
    difference: float


def power(n: int, level: float = LEVEL, wanted: float = 0.8) -> Power:
    """What a design of n seeds can tell.

    Args:
        n: ≥ 1. level: of the tests' confidence. wanted: power.
    """
    alpha = 1 - level
    enough = [k for k in range(n + 1) if stats.binom.sf(k - 1, n, 0.5) <= alpha]
    discordant = next((d for d in range(1, n + 1) if 2.0 ** (1 - d) <= alpha), n + 1)
    shares = np.linspace(0.001, 1, 1000)
    found = stats.binom.sf(discordant - 1, n, shares) >= wanted
    return Power(
        n,
        0.5**n,
        min(enough, default=0),
        0.75**n,
        1 - alpha ** (1 / n),
        min(1.0, 2.0 / 2**n),
        float(shares[found][0]) if found.any() else math.nan,
    )


def one_sided_share(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact one-sided bounds of a share, each at `level`: the ends of a Clopper–Pearson interval at 2 · level − 1."""
    found = stats.binomtest(int(successes), n).proportion_ci(2 * level - 1, "exact")
    return float(found.low), float(found.high)

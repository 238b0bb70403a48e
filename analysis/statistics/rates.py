"""Rates and their difference with score intervals: honest where a rate is 0 or 1, as a bootstrap is not."""

from __future__ import annotations

import numpy as np
from scipy import stats

from analysis.statistics.estimates import LEVEL, UNKNOWN, Estimate


def wilson(successes: int, n: int, level: float = LEVEL) -> Estimate:
    """A proportion with Wilson's score interval.

    Source: E. B. Wilson, JASA 22 (1927).
    """
    if n == 0:
        return UNKNOWN
    interval = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n)


def youden(fires: int, n: int, false: int, controls: int, level: float = LEVEL) -> Estimate:
    """Youden's J, a true-positive rate less a false-positive one, with Newcombe's hybrid score interval.

    With p₁ = TPR, p₂ = FPR and their Wilson intervals [l, u]:
    J − √((p₁ − l₁)² + (u₂ − p₂)²) … J + √((u₁ − p₁)² + (p₂ − l₂)²). Runs count as independent, though a grokking run and
    a control of one seed share their split and initial weights.

    Args:
        fires, n: grokking runs on which it fires, and how many there are. false, controls: the same of control runs.

    Source: W. J. Youden, Cancer 3 (1950); R. G. Newcombe, Statistics in Medicine 17 (1998), method 10.
    """
    if not n or not controls:
        return UNKNOWN
    one, two = wilson(fires, n, level), wilson(false, controls, level)
    value = one.value - two.value
    low = value - np.hypot(one.value - one.low, two.high - two.value)
    high = value + np.hypot(one.high - one.value, two.value - two.low)
    return Estimate(value, float(low), float(high), n + controls)

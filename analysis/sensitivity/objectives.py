"""What a setting is worth: fire epochs in, rates, Youden's J and lead with intervals out. Arrays only.

Shapes: R runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analysis.statistics import rates
from analysis.statistics.estimates import LEVEL, Estimate


class Outcome(NamedTuple):
    """One setting on some runs.

    Attributes:
        fires, n: grokking runs on which it fires, and how many there are.
        false, controls: the same of control runs.
        lead: median epochs from firing to test accuracy ≥ 0.5; a run on which it never fires counts as firing at its end.
        leads: (n,) of each grokking run that reaches 0.5.
    """

    fires: int
    n: int
    false: int
    controls: int
    lead: float
    leads: np.ndarray

    @property
    def tpr(self) -> float:
        """True-positive rate."""
        return self.fires / self.n if self.n else float("nan")

    @property
    def fpr(self) -> float:
        """False-positive rate."""
        return self.false / self.controls if self.controls else float("nan")

    @property
    def j(self) -> float:
        """Youden's J = TPR − FPR (Youden 1950)."""
        return self.tpr - self.fpr


def outcome(
    grok: np.ndarray, controls: np.ndarray, test_50: np.ndarray | None = None, epochs: np.ndarray | None = None
) -> Outcome:
    """Count where a setting fires.

    Args:
        grok, controls: (R,) fire epochs, NaN if never.
        test_50: (R,) of the grokking runs, first epoch with test accuracy ≥ 0.5, NaN if never; None leaves the lead out.
        epochs: (R,) of the grokking runs, their last epoch.
    """
    leads = np.empty(0)
    if test_50 is not None and epochs is not None:
        known = np.isfinite(test_50)
        leads = test_50[known] - np.where(np.isfinite(grok), grok, epochs)[known]
    lead = float(np.median(leads)) if len(leads) else float("nan")
    return Outcome(int(np.isfinite(grok).sum()), len(grok), int(np.isfinite(controls).sum()), len(controls), lead, leads)


def youden(found: Outcome, level: float = LEVEL) -> Estimate:
    """J of an outcome with its interval, as `rates.youden` has it."""
    return rates.youden(found.fires, found.n, found.false, found.controls, level)


def holds(found: Outcome) -> bool:
    """The published conclusion: TPR ≥ 14/15 and FPR ≤ 1/15, in whole runs whatever their number."""
    return enough(found.fires, found.n) and few(found.false, found.controls)


def enough(fires: int, n: int) -> bool:
    """fires/n ≥ 14/15."""
    return n > 0 and 15 * fires >= 14 * n


def few(fires: int, n: int) -> bool:
    """fires/n ≤ 1/15."""
    return n > 0 and 15 * fires <= n

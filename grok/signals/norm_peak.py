"""How far the norm of all weights is below its peak."""

from __future__ import annotations

import numpy as np

from grok.numerics import passage
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(norms: np.ndarray) -> np.ndarray:
    """1 − ‖θ(t)‖ / max over s ≤ t of ‖θ(s)‖, at every epoch: (T + 1,)."""
    return passage.below_peak(norms)


SIGNAL = Signal(
    "norm_peak",
    compute,
    needs=("norms",),
    direction="rising",
    title="share by which the norm of all weights is below its running maximum",
    source="Khanh (arXiv 2606.07563): a peak before grokking in 92 % of 111 runs",
    cost="nothing beside the norms that every run records",
    printed=PrintedRule("past a peak: below the maximum by 0.01 (ours; the depth is not published)", _rules.at_least(0.01)),
)

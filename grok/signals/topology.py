"""What the last windows of the Fiedler value warn of."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from grok.numerics import dynamics, topology
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(weights: dict[str, Tensor], moved: dict[str, Tensor] | None) -> np.ndarray:
    """(2,): the Fiedler value, and the entropy of the sizes of what moved since the epoch seen before."""
    return np.array([dynamics.fiedler(weights), topology.histogram_entropy(moved)])


SIGNAL = Signal(
    "topology",
    compute,
    topology.warnings,
    needs=("weights", "moved"),
    layers=(("w", "v"), ("embedding", "w1", "v")),
    variants={"": {}, "detrended": {}, "ar1": {}, "ar1_detrended": {}, "variance_ratio": {}},
    over_options={
        "detrended": {"detrend": True},
        "ar1": {"show": "ar1"},
        "ar1_detrended": {"show": "ar1", "detrend": True},
        "variance_ratio": {"show": "variance"},
    },
    cadence="observed",
    direction="rising",
    title="autocorrelation and ratio of variances of the Fiedler value over 20 measurements",
    source="Benfield, public code on structural topology monitoring; subject to a patent application (GB2611542.8)",
    cost="one eigenvalue by Lanczos, and a histogram of all weights' changes",
    printed=PrintedRule(
        "autocorrelation over the mean of its first values + 0.1, variance ratio over 1, entropy falling",
        _rules.at_least(1e-12),
    ),
)

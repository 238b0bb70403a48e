"""How badly a linear map predicts the quantiles of the margins."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from grok.numerics import dynamics
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal

PROBES = 100
"""Training samples that are watched, the first of the split."""


def compute(logits: Tensor, labels: Tensor) -> np.ndarray:
    """(19,) quantiles 0.05 … 0.95 of the margins z_y − max of the others."""
    return dynamics.quantiles(dynamics.margins(logits[:PROBES], labels[:PROBES]))


SIGNAL = Signal(
    "hankel_dmd",
    compute,
    dynamics.hankel_residual,
    needs=("logits", "labels"),
    variants={"": {}, "delays 10": {}, "energy 0.999": {}},
    over_options={"delays 10": {"delays": 10}, "energy 0.999": {"energy": 0.999}},
    cadence="observed",
    direction="rising",
    title="residual of a Hankel dynamic mode decomposition of the margins' quantiles",
    source="Wang et al. (arXiv 2605.08237), margins in place of log-probabilities; delays and rank, not published, are ours",
    cost="a singular value decomposition of 95 by 250 numbers",
    printed=PrintedRule(
        "over 10 times the run's baseline (median of its first 10 values), twice on end",
        _rules.times_first(10, 10, sustained=2),
    ),
)

"""How badly a linear map predicts the quantiles of the margins."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from grok.numerics import dynamics
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal

PROBES = 100
"""Training samples that are watched, the first of the split."""


def compute(logits: Tensor, labels: Tensor, *, log_p: bool = False) -> np.ndarray:
    """(19,) quantiles 0.05 … 0.95 of the margins z_y − max of the others; `log_p` of log p(y|x) instead."""
    of = dynamics.log_probabilities if log_p else dynamics.margins
    return dynamics.quantiles(of(logits[:PROBES], labels[:PROBES]))


SIGNAL = Signal(
    "hankel_dmd",
    compute,
    dynamics.hankel_residual,
    needs=("logits", "labels"),
    variants={"": {}, "delays 10": {}, "energy 0.999": {}, "rows 50": {}, "log_p rows 20": {"log_p": True}},
    over_options={
        "delays 10": {"delays": 10},
        "energy 0.999": {"energy": 0.999},
        "rows 50": {"window": 50},  # 500 steps of every tenth epoch
        "log_p rows 20": {"window": 20},  # 500 steps of every 25th epoch
    },
    cadence="observed",
    direction="rising",
    title="residual of a Hankel dynamic mode decomposition of the margins' quantiles",
    source="Wang et al. (arXiv 2605.08237): log-probabilities, windows of 500 steps, 250 values; margins for a squared loss. "
    "The first variant has the 250 values, `rows` the 500 steps; delays and rank, not published, are ours",
    cost="for each variant a singular value decomposition of 95 (of 10 delays 190) by as many numbers as rows, up to 250",
    printed=PrintedRule(
        "over 10 times the run's baseline (median of its first 10 values), twice on end",
        _rules.times_first(10, 10, sustained=2),
        _rules.past_first(10, 2),
    ),
)

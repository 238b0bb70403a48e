"""How large the training outputs are."""

from __future__ import annotations

import math

from torch import Tensor

from grok.signals.base import Signal


def compute(logits: Tensor) -> float:
    """Log of the mean ‖z(x)‖ over training inputs; NaN where all outputs are 0."""
    size = float(logits.double().norm(dim=1).mean())
    return math.log(size) if size > 0 else math.nan


SIGNAL = Signal(
    "logit_scale",
    compute,
    needs=("logits",),
    cadence="observed",
    direction="rising",
    title="logarithm of the mean norm of the outputs",
    source="Khanh (arXiv 2606.18465), which says that under a squared loss the channel is absent",
    cost="the training outputs",
)

"""The largest margin of a training input."""

from __future__ import annotations

import math

from torch import Tensor

from grok.numerics import dynamics
from grok.signals.base import Signal


def compute(logits: Tensor, labels: Tensor) -> float:
    """Log of the largest z_y − max of the others over training inputs; NaN where none is positive."""
    size = float(dynamics.margins(logits, labels).max())
    return math.log(size) if size > 0 else math.nan


SIGNAL = Signal(
    "max_margin",
    compute,
    needs=("logits", "labels"),
    cadence="observed",
    direction="rising",
    title="logarithm of the largest margin",
    source="Khanh (arXiv 2606.18465), its max-margin variant of the logit scale",
    cost="the training outputs",
)

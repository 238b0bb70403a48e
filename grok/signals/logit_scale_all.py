"""How large the outputs are on all inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from grok.signals.base import Signal


def compute(logits: Tensor, held_out_logits: Tensor) -> float:
    """Log of the mean ‖z(x)‖ over all inputs; NaN where all outputs are 0."""
    size = float(torch.cat((logits, held_out_logits)).double().norm(dim=1).mean())
    return math.log(size) if size > 0 else math.nan


SIGNAL = Signal(
    "logit_scale_all",
    compute,
    needs=("logits", "held_out_logits"),
    information="TH",
    cadence="observed",
    direction="rising",
    title="logarithm of the mean norm of the outputs on all inputs",
    source="Khanh (arXiv 2606.18465), its variant on all inputs",
    cost="the outputs on all pairs",
)

"""How many samples a softmax in float32 no longer tells from certain."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import dynamics
from grok.signals.base import Signal


def compute(logits: Tensor) -> float:
    """Share of training samples of which Σ exp(z) in float32 equals exp of the maximum."""
    return dynamics.collapsed(logits)


SIGNAL = Signal(
    "softmax_collapse",
    compute,
    needs=("logits",),
    cadence="observed",
    direction="rising",
    title="share of samples on which a softmax in float32 has collapsed",
    source="counted as Khanh (arXiv 2606.18465) does: float32 gives a spurious grok at high norm",
    cost="the training outputs",
)

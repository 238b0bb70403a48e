"""How far the heads of attention differ in spread."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import heads
from grok.signals.base import Signal


def compute(attention: Tensor) -> float:
    """Mean over blocks of the standard deviation over heads of the mean row entropy, in nats."""
    return heads.entropy_spread(attention)


SIGNAL = Signal(
    "head_entropy",
    compute,
    needs=("attention",),
    cadence="observed",
    direction="rising",
    title="spread over heads of the entropy of attention",
    source="Verma (arXiv 2605.20441); its author's follow-up finds no value beyond clock, loss and norm",
    cost="the attention on the training samples",
)

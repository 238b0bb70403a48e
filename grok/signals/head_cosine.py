"""How alike the heads of attention are."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import heads
from grok.signals.base import Signal


def compute(attention: Tensor) -> float:
    """Mean over blocks of the mean cosine of two heads' flattened attention."""
    return heads.cosine(attention)


SIGNAL = Signal(
    "head_cosine",
    compute,
    needs=("attention",),
    cadence="observed",
    direction="rising",
    title="mean cosine of two heads' attention",
    source="Verma (arXiv 2605.20441); its author's follow-up finds no value beyond clock, loss and norm",
    cost="the attention on the training samples",
)

"""How many different heads of attention there are."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import heads
from grok.signals.base import Signal


def compute(attention: Tensor) -> float:
    """1/(1 + CV²) of the eigenvalues of the heads' similarity, mean over blocks."""
    return heads.participation(attention)


SIGNAL = Signal(
    "head_participation",
    compute,
    needs=("attention",),
    cadence="observed",
    direction="falling",
    title="normalised participation ratio of the heads' similarity",
    source="Verma (arXiv 2605.20441)",
    cost="the attention on the training samples",
)

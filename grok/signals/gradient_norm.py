"""The norm of the gradient, a control."""

from __future__ import annotations

import math

from torch import Tensor

from grok.signals.base import Signal


def compute(gradients: dict[str, Tensor]) -> float:
    """‖∇L‖ of the training loss, without weight decay."""
    return math.sqrt(sum(float(g.double().square().sum()) for g in gradients.values()))


SIGNAL = Signal(
    "gradient_norm",
    compute,
    needs=("gradients",),
    direction="rising",
    title="Euclidean norm of the training loss's gradient",
    source="ours, as a control; over whole runs it is undecidable to rounding",
    cost="a pass over the gradient",
)

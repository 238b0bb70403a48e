"""The training loss, a control."""

from __future__ import annotations

import numpy as np

from grok.signals.base import Signal


def compute(train_loss: np.ndarray) -> np.ndarray:
    """The training loss at every epoch: (T + 1,)."""
    return train_loss


SIGNAL = Signal(
    "loss",
    compute,
    needs=("train_loss",),
    direction="falling",
    title="training loss",
    source="ours, as a control: a signal that says no more than the training loss is no news",
    cost="nothing",
)

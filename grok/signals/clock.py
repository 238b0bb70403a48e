"""The clock, a control."""

from __future__ import annotations

import numpy as np

from grok.signals.base import Signal


def compute(epoch: np.ndarray) -> np.ndarray:
    """The epoch itself: (T + 1,)."""
    return epoch


SIGNAL = Signal(
    "clock",
    compute,
    needs=("epoch",),
    information="C",
    direction="rising",
    title="number of epochs",
    source="ours, as a control: where runs all grok at about one time, a fixed epoch announces it",
    cost="nothing",
)

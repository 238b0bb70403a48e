"""The norm of all weights."""

from __future__ import annotations

import numpy as np

from grok.signals.base import Signal


def compute(norms: np.ndarray) -> np.ndarray:
    """‖θ‖ = √(Σ over layers of ‖W‖_F²), at every epoch: (T + 1,)."""
    out: np.ndarray = np.sqrt(np.square(norms).sum(axis=1))
    return out


SIGNAL = Signal(
    "weight_norm",
    compute,
    needs=("norms",),
    direction="falling",
    title="Euclidean norm of all weights",
    source="Liu et al., Omnigrok (arXiv 2210.01117): the norm decays to a shell on which the network generalises",
    cost="nothing beside the norms that every run records",
)

"""How much an update turns away from the one before it."""

from __future__ import annotations

import numpy as np

from grok.numerics.series import cosine_distance
from grok.signals.base import Signal


def compute(band: np.ndarray) -> np.ndarray:
    """1 − cos(Δ_t, Δ_{t−1}), at every epoch: (T + 1,)."""
    return cosine_distance(band[1:])


SIGNAL = Signal(
    "cosine",
    compute,
    needs=("band",),
    direction="rising",
    title="cosine distance of neighbouring updates",
    source="ours: the plainest thing that the band of inner products holds, beside its spectrum",
    cost="nothing beside the band that every run records",
)

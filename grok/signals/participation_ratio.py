"""How many directions the features fill."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals.base import Signal


def compute(features: Tensor) -> float:
    """PR = (tr C)² / tr C² of the features' covariance."""
    return geometry.participation_ratio(features)


SIGNAL = Signal(
    "participation_ratio",
    compute,
    needs=("features",),
    cadence="checkpoint",
    direction="falling",
    title="participation ratio of the features' covariance",
    source="standard",
    cost="one product as large as the smaller of samples and width",
)

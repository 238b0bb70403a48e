"""How far one direction dominates the features' covariance."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals.base import Signal


def compute(features: Tensor) -> float:
    """K λ_max(C) / tr C."""
    return geometry.anisotropy(features)


SIGNAL = Signal(
    "anisotropy",
    compute,
    needs=("features",),
    cadence="checkpoint",
    direction="rising",
    title="largest eigenvalue of the features' covariance over their mean",
    source="stands for β_c = 1/λ_max of Yang (arXiv 2605.24057), whose estimator of β(t) is not public",
    cost="one product as large as the smaller of samples and width, and its largest eigenvalue",
)

"""How far one direction dominates the features' covariance."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals.base import Signal


def compute(features: Tensor, *, of_rank: bool = False) -> float:
    """K λ_max(C) / tr C; `of_rank` with min(n − 1, K) in place of K."""
    return geometry.anisotropy(features, of_rank=of_rank)


SIGNAL = Signal(
    "anisotropy",
    compute,
    needs=("features",),
    variants={"": {}, "of_rank": {"of_rank": True}},
    cadence="checkpoint",
    direction="rising",
    title="largest eigenvalue of the features' covariance over their mean",
    source="stands for β_c = 1/λ_max of Yang (arXiv 2605.24057), whose estimator of β(t) is not public",
    cost="one product as large as the smaller of samples and width, and its largest eigenvalue",
)

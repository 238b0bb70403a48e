"""The effective rank of the features."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals.base import Signal


def compute(features: Tensor) -> float:
    """Exp of the entropy of s²/Σs², s the singular values of the centred features."""
    return geometry.feature_rank(features)


SIGNAL = Signal(
    "effective_rank_f",
    compute,
    needs=("features",),
    cadence="checkpoint",
    direction="falling",
    title="effective rank of the features",
    source="standard: Roy and Vetterli (2007), of squared singular values",
    cost="all eigenvalues of a matrix as large as the smaller of samples and width",
)

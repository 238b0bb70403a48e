"""How evenly the features' covariance is spread."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(features: Tensor) -> float:
    """−Σ p_i log p_i / log K of the covariance's eigenvalues."""
    return geometry.spectral_entropy(features)


SIGNAL = Signal(
    "spectral_entropy",
    compute,
    needs=("features",),
    cadence="checkpoint",
    direction="falling",
    title="normalised entropy of the eigenvalues of the features' covariance",
    source="Truong et al. (arXiv 2604.13123)",
    cost="all eigenvalues of a matrix as large as the smaller of samples and width",
    printed=PrintedRule("at most 0.609", _rules.at_most(0.609)),
)

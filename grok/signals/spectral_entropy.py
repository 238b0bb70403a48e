"""How evenly the features' covariance is spread."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(features: Tensor, *, of_rank: bool = False) -> float:
    """−Σ p_i log p_i / log K of the covariance's eigenvalues; `of_rank` over log min(n − 1, K)."""
    return geometry.spectral_entropy(features, of_rank=of_rank)


SIGNAL = Signal(
    "spectral_entropy",
    compute,
    needs=("features",),
    variants={"": {}, "of_rank": {"of_rank": True}},
    cadence="checkpoint",
    direction="falling",
    title="normalised entropy of the eigenvalues of the features' covariance",
    source="Truong et al. (arXiv 2604.13123)",
    cost="all eigenvalues of a matrix as large as the smaller of samples and width",
    printed=PrintedRule("at most 0.609", _rules.at_most(0.609)),
)

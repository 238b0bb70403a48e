"""How far the features' kernel is from the one of a random network."""

from __future__ import annotations

from torch import Tensor

from grok.numerics.features import feature_observables
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(features: Tensor) -> float:
    """ρ = ‖FFᵀ − [(a − b) I + b 11ᵀ]‖_F / ‖FFᵀ‖_F, a and b the mean diagonal and off-diagonal entry of FFᵀ."""
    return feature_observables(features)["features/rho"]


SIGNAL = Signal(
    "rho",
    compute,
    needs=("features",),
    cadence="observed",
    direction="rising",
    title="share of the features' kernel that is not diagonal plus constant",
    source="Tian (arXiv 2509.21519) Fig. 3; Xu (arXiv 2605.08119) reads ρ ≥ 0.075 off the raw FFᵀ, as here",
    cost="one K×K product of the features",
    printed=PrintedRule("at least 0.075", _rules.at_least(0.075)),
)

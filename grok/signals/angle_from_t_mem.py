"""How far the weights have turned since memorisation."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals.base import Signal


def compute(weights: dict[str, Tensor], memorised: dict[str, Tensor] | None) -> float:
    """Arccos ⟨θ_t, θ_mem⟩ / (‖θ_t‖ ‖θ_mem‖) in radians; NaN before memorisation."""
    return geometry.angle(weights, memorised)


SIGNAL = Signal(
    "angle_from_t_mem",
    compute,
    needs=("weights", "memorised"),
    cadence="observed",
    direction="rising",
    title="angle between the weights and those at memorisation",
    source="Truong et al. (arXiv 2605.18845)",
    cost="a pass over the weights",
)

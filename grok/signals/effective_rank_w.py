"""The effective rank of the first layer."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals.base import Signal


def compute(weights: dict[str, Tensor], *, participation: bool = False) -> float:
    """Exp of the entropy of p = s²/Σs², s the singular values; `participation` is 1/Σp²."""
    return geometry.effective_rank(weights["w"], participation=participation)


SIGNAL = Signal(
    "effective_rank_w",
    compute,
    needs=("weights",),
    layers=(("w",),),
    variants={"": {}, "participation": {"participation": True}},
    cadence="observed",
    direction="falling",
    title="effective rank of W",
    source="standard: Roy and Vetterli (2007), of squared singular values",
    cost="the singular values of W",
)

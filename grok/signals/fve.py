"""How much of the outputs depends on a + b − c alone."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import harmonics
from grok.signals.base import Signal


def compute(grid_logits: Tensor, modulus: int) -> float:
    """FVE = Σ z̄² / Σ z², z̄ the outputs averaged over orbits of the group."""
    return harmonics.explained(grid_logits, modulus)


SIGNAL = Signal(
    "fve",
    compute,
    needs=("grid_logits", "modulus"),
    information="GH",
    cadence="observed",
    direction="rising",
    title="share of the outputs' energy that a + b − c alone explains",
    source="ours, after Nanda et al. (arXiv 2301.05217): orbits need no look at the final network",
    cost="the outputs on all pairs",
)

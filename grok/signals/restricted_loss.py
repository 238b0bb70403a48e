"""The loss of the outputs averaged over orbits."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import harmonics
from grok.signals.base import Signal


def compute(grid_logits: Tensor, modulus: int, cross_entropy: bool) -> float:
    """The loss of z̄ over all pairs, z̄ the outputs averaged over orbits of the group."""
    return harmonics.restricted_loss(grid_logits, modulus, cross_entropy=cross_entropy)


SIGNAL = Signal(
    "restricted_loss",
    compute,
    needs=("grid_logits", "modulus", "cross_entropy"),
    information="GH",
    cadence="observed",
    direction="falling",
    title="loss of the part of the outputs that depends on a + b − c alone",
    source="Nanda et al. (arXiv 2301.05217), with orbits in place of key frequencies, which it reads off the final network",
    cost="the outputs on all pairs",
)

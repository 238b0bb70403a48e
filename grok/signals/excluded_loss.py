"""The training loss without the part that depends on a + b − c alone."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import harmonics
from grok.signals.base import Signal


def compute(grid_logits: Tensor, inputs: Tensor, grid_labels: Tensor, modulus: int, cross_entropy: bool) -> float:
    """The training loss of z − z̄, z̄ the outputs averaged over orbits of the group."""
    return harmonics.excluded_loss(grid_logits, inputs, grid_labels, modulus, cross_entropy=cross_entropy)


SIGNAL = Signal(
    "excluded_loss",
    compute,
    needs=("grid_logits", "inputs", "grid_labels", "modulus", "cross_entropy"),
    information="TGH",
    cadence="observed",
    direction="rising",
    title="training loss when what depends on a + b − c alone is taken out of the outputs",
    source="Nanda et al. (arXiv 2301.05217), with orbits in place of key frequencies, which it reads off the final network",
    cost="the outputs on all pairs",
)

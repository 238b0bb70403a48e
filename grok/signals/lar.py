"""How well the last layer is aligned with its features."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals.base import Signal


def compute(features: Tensor, readout: Tensor, *, centre: bool = False, zero_mean: bool = False) -> float:
    """LAR = log_K( rms(F V) / (rms F · rms V) )."""
    return geometry.log_alignment(features, readout, centre=centre, zero_mean=zero_mean)


SIGNAL = Signal(
    "lar",
    compute,
    needs=("features", "readout"),
    variants={"raw": {}, "zero_meaned": {"zero_mean": True}, "centred": {"centre": True}},
    cadence="observed",
    direction="rising",
    title="log-alignment ratio of the last layer and its input",
    source="Shehper and Vaswani (arXiv 2605.28975)",
    cost="the training outputs",
)

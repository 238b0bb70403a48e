"""Distance between classes over distance within them, on training features."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals.base import Signal


def compute(features: Tensor, labels: Tensor, *, floor: bool = False) -> float:
    """ILDR on the training samples."""
    return geometry.class_distances(features, labels, floor=floor)


SIGNAL = Signal(
    "ildr_train",
    compute,
    needs=("features", "labels"),
    variants={"": {}, "floor_subtracted": {"floor": True}},
    cadence="observed",
    direction="rising",
    title="distance between classes over distance within them, of training features",
    source="ours: Golwala's ratio (arXiv 2604.20923) without held-out samples, which makes it class T",
    cost="a pass over the features",
)

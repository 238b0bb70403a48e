"""Distance between classes over distance within them, on held-out features."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import geometry
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(features: Tensor, labels: Tensor, *, limit: int | None = 1500, floor: bool = False) -> float:
    """ILDR on the first `limit` held-out samples in the order of the split."""
    return geometry.class_distances(features, labels, limit, floor=floor)


SIGNAL = Signal(
    "ildr",
    compute,
    needs=("held_out_features", "held_out_labels"),
    information="HL",
    variants={"": {}, "all": {"limit": None}, "floor_subtracted": {"floor": True}},
    cadence="observed",
    direction="rising",
    title="distance between classes over distance within them, of held-out features",
    source="Golwala (arXiv 2604.20923)",
    cost="a pass over the held-out features",
    printed=PrintedRule("2.5 times its value at memorisation", _rules.times_memorised(2.5), _rules.past_memorised),
)

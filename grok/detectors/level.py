"""The gap stands at or above a level."""

from __future__ import annotations

import numpy as np

from grok.detectors.base import Detector, Range
from grok.numerics.series import at_least


def hits(log_gap: np.ndarray, first_epoch: int, *, level: float) -> np.ndarray:
    """Gap(t) ≥ level."""
    return at_least(log_gap, np.log(level), first_epoch)


DETECTOR = Detector(
    "level",
    {"level": Range(1.5, 1000.0, log=True)},
    hits,
    rank=1,
    title="the gap is at or above a level",
    source="Xu (arXiv 2605.08119): levels 100 and 200 of λ₁/λ₂",
    cost="a comparison an epoch",
)

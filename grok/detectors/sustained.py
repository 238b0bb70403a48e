"""The gap stands at or above a level for some epochs in a row."""

from __future__ import annotations

import numpy as np

from grok.detectors.base import Detector, Range
from grok.numerics.series import at_least


def hits(log_gap: np.ndarray, first_epoch: int, *, level: float, hold: int) -> np.ndarray:
    """Gap ≥ level at each of the last `hold` epochs, the first of which may lie before `first_epoch`."""
    start = max(first_epoch - hold + 1, 0)
    over = at_least(log_gap, np.log(level), start)
    epochs = np.arange(log_gap.shape[1])
    last_below = np.maximum.accumulate(np.where(over, -1, epochs), axis=1)
    held: np.ndarray = epochs - last_below >= hold
    held[:, :first_epoch] = False
    return held


DETECTOR = Detector(
    "sustained",
    {"level": Range(1.5, 1000.0, log=True), "hold": Range(2, 50, whole=True)},
    hits,
    rank=2,
    title="the gap is at or above a level for some epochs in a row",
    source="ours: a level that one noisy epoch cannot reach",
    cost="a running maximum an epoch",
)

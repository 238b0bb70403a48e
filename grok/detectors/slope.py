"""The published detector: the log gap grows by more than a threshold an epoch."""

from __future__ import annotations

import numpy as np

from grok.detectors.base import DIRECTIONS, Detector, Range
from grok.numerics.series import backward_slope


def hits(
    log_gap: np.ndarray, first_epoch: int, *, slope_threshold: float, slope_lag: int, direction: str = "rising"
) -> np.ndarray:
    """[log gap(t) − log gap(t − lag)] / lag > threshold (Xu eq. 3; `falling`: of the inverse gap)."""
    out = np.zeros(log_gap.shape, dtype=bool)
    start = max(first_epoch, slope_lag)
    if start < log_gap.shape[1]:
        rise = backward_slope(log_gap[:, start - slope_lag :], slope_lag)
        if direction == "falling":
            np.negative(rise, out=rise)
        np.greater(rise, slope_threshold, out=out[:, start:])
    return out


DETECTOR = Detector(
    "slope",
    {"slope_threshold": Range(-0.05, 0.15), "slope_lag": Range(1, 60, whole=True), "direction": DIRECTIONS},
    hits,
    rank=0,
    title="the log gap rises, or falls, faster than a threshold",
    source="Xu (arXiv 2605.08119), eq. 3: lag 25, threshold 0.04 per epoch; the ranges span it and what grokking runs show",
    cost="a difference an epoch",
)

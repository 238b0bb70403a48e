"""Page's CUSUM of the log gap's increments."""

from __future__ import annotations

import numpy as np

from grok.detectors.base import DIRECTIONS, Detector, Range, rising


def hits(
    log_gap: np.ndarray, first_epoch: int, *, cusum_drift: float, cusum_threshold: float, direction: str = "rising"
) -> np.ndarray:
    """Page's one-sided CUSUM of the log gap's increments, begun at `first_epoch`.

        S(t) = max(0, S(t − 1) + log gap(t) − log gap(t − 1) − drift) ≥ threshold,

    in closed form Y(t) − min_{s ≤ t} Y(s) with Y(t) = log gap(t) − drift · t.

    Source: E. S. Page, Biometrika 41 (1954).
    """
    out = np.zeros(log_gap.shape, dtype=bool)
    if first_epoch < log_gap.shape[1]:
        drifting = rising(log_gap[:, first_epoch:], direction) - cusum_drift * np.arange(log_gap.shape[1] - first_epoch)
        known = np.isfinite(drifting)
        lowest = np.minimum.accumulate(np.where(known, drifting, np.inf), axis=1)
        out[:, first_epoch:] = known & (np.where(known, drifting, -np.inf) - lowest >= cusum_threshold)
    return out


DETECTOR = Detector(
    "cusum",
    {"cusum_drift": Range(0.0, 0.05), "cusum_threshold": Range(0.2, 8.0, log=True), "direction": DIRECTIONS},
    hits,
    rank=3,
    title="the summed rise, or fall, of the log gap beyond a drift passes a threshold",
    source="E. S. Page, Biometrika 41 (1954)",
    cost="a running minimum an epoch",
)

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
        y = drifted(log_gap[:, first_epoch:], np.arange(log_gap.shape[1] - first_epoch), cusum_drift, direction)
        known = np.isfinite(y)
        lowest = np.minimum.accumulate(np.where(known, y, np.inf), axis=1)
        out[:, first_epoch:] = passed(y, lowest, cusum_threshold)
    return out


def drifted(log_gap: np.ndarray, since: np.ndarray | int, drift: float, direction: str) -> np.ndarray:
    """Y(t) = log gap(t) − drift · t, of the negative log gap where it is to fall; t counts from the first epoch."""
    return rising(log_gap, direction) - drift * since


def passed(y: np.ndarray, lowest: np.ndarray | float, threshold: float) -> np.ndarray:
    """Where Y(t), which is finite, is at least a threshold above its lowest value so far."""
    known = np.isfinite(y)
    held: np.ndarray = known & (np.where(known, y, -np.inf) - lowest >= threshold)
    return held


DETECTOR = Detector(
    "cusum",
    {"cusum_drift": Range(0.0, 0.05), "cusum_threshold": Range(0.2, 8.0, log=True), "direction": DIRECTIONS},
    hits,
    rank=3,
    title="the summed rise, or fall, of the log gap beyond a drift passes a threshold",
    source="E. S. Page, Biometrika 41 (1954)",
    cost="a running minimum an epoch",
)

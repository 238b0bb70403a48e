"""What is read off a series: epochs, by slope of the log gap or by level, causal; and the late level of a gap."""

from __future__ import annotations

import numpy as np

GAP_FLOOR = 1e-6
"""Gaps are clipped here before the logarithm (Xu §2)."""
LATE_EPOCHS = (200, 400)
"""First and last epoch of the late-stage gap (Xu §2)."""


def slope(gap: np.ndarray, lag: int) -> np.ndarray:
    """Backward log-slope of a spectral gap.

        s(t) = [log gap(t) − log gap(t − lag)] / lag,  gap clipped below at 1e-6

    Causal: entry t uses epochs ≤ t only, so a fire epoch read from it is honest.

    Args:
        gap: (T + 1,) float64, dimensionless; NaN where the window is not yet filled.
        lag: epochs between the two values, ≥ 1.

    Returns:
        (T + 1,) float64, per epoch; NaN for t < lag or where either end is NaN.

    Raises:
        ValueError: if lag < 1 or gap is not one-dimensional.

    Source: Xu (arXiv 2605.08119), eq. 3; lag = 25 there.
    """
    gap = np.asarray(gap, dtype=np.float64)
    if lag < 1 or gap.ndim != 1:
        raise ValueError(f"lag must be ≥ 1 and gap one-dimensional, got {lag} and shape {gap.shape}. Pass one series.")
    out = np.full(gap.shape, np.nan)
    if len(gap) > lag:
        logs = np.log(np.maximum(gap, GAP_FLOOR))
        out[lag:] = (logs[lag:] - logs[:-lag]) / lag
    return out


def first_crossing(series: np.ndarray, threshold: float, first_epoch: int = 0, *, strict: bool = True) -> int | None:
    """First epoch t ≥ first_epoch at which the series exceeds a threshold.

        min{ t ≥ first_epoch : series(t) > threshold },  ≥ in place of > unless strict

    Args:
        series: (T + 1,) float64, entry t is epoch t; NaN never fires.
        threshold: in the unit of the series.
        first_epoch: ≥ 0.
        strict: `>` for slopes (Xu eq. 3), `≥` for levels such as ρ ≥ 0.075 and accuracy ≥ 0.5.

    Returns:
        The epoch, or None if the series never crosses.
    """
    series = np.asarray(series, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        over = series > threshold if strict else series >= threshold
    hits = np.flatnonzero(over[first_epoch:])
    return int(hits[0]) + first_epoch if len(hits) else None


def fire_epoch(gap: np.ndarray, lag: int, threshold: float, first_epoch: int) -> int | None:
    """The slope detector: min{ t ≥ first_epoch : s(t) > threshold }, or None.

    Args:
        gap: (T + 1,) float64, λ₂/λ₃ in the paper.
        lag, threshold, first_epoch: 25, 0.04 per epoch and 100 in the paper.

    Source: Xu (arXiv 2605.08119), eq. 3.
    """
    return first_crossing(slope(gap, lag), threshold, first_epoch)


def late_median(series: np.ndarray) -> float:
    """The late level of a series: its median over epochs 200 … 400, of a run that reaches epoch 400.

    Args:
        series: (T + 1,) float64, entry t is epoch t; NaN where it is not known.

    Returns:
        In the unit of the series; NaN of a series that ends before epoch 400, since a median over a shorter stretch is another
        quantity, and of one that is finite nowhere in it.

    Source: Xu (arXiv 2605.08119), §2.
    """
    late = np.asarray(series, dtype=np.float64)[LATE_EPOCHS[0] : LATE_EPOCHS[1] + 1]
    if len(series) <= LATE_EPOCHS[1] or not np.isfinite(late).any():
        return float("nan")
    return float(np.nanmedian(late))

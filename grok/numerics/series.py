"""Series over epochs: slope of the log gap, trailing means, crossings. Causal: entry t uses epochs ≤ t only.

Shapes: T updates, R runs, L lags; entry t of T + 1 is epoch t.
"""

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

    Example: a gap that grows by a tenth of its logarithm an epoch.
        >>> slope(np.exp(0.1 * np.arange(5)), lag=2).round(12).tolist()
        [nan, nan, 0.1, 0.1, 0.1]
    """
    gap = np.asarray(gap, dtype=np.float64)
    if lag < 1 or gap.ndim != 1:
        raise ValueError(f"lag must be ≥ 1 and gap one-dimensional, got {lag} and shape {gap.shape}. Pass one series.")
    out = np.full(gap.shape, np.nan)
    if len(gap) > lag:
        out[lag:] = backward_slope(np.log(np.maximum(gap, GAP_FLOOR)), lag)
    return out


def backward_slope(log_gap: np.ndarray, lag: int) -> np.ndarray:
    """[log gap(t) − log gap(t − lag)] / lag for every t ≥ lag, of one run or of many.

    Args:
        log_gap: (…, T + 1) float64. lag: in [1, T].

    Returns:
        (…, T + 1 − lag) float64, its first entry at epoch lag.

    Source: Xu (arXiv 2605.08119), eq. 3.

    Example:
        >>> backward_slope(np.array([[0.0, 1.0, 3.0, 6.0]]), lag=2).tolist()
        [[1.5, 2.5]]
    """
    rise: np.ndarray = log_gap[..., lag:] - log_gap[..., :-lag]
    rise /= lag
    return rise


def at_least(series: np.ndarray, threshold: float, first_epoch: int = 0) -> np.ndarray:
    """Where the series of many runs are ≥ a threshold, from an epoch on.

    Args:
        series: (R, T + 1) float64; NaN is never above. threshold: in the unit of the series.
        first_epoch: ≥ 0, before which the answer is no.

    Returns:
        (R, T + 1) bool.

    Example:
        >>> at_least(np.array([[5.0, 1.0, 2.0, np.nan]]), 2.0, first_epoch=1).tolist()
        [[False, False, True, False]]
    """
    out = np.zeros(series.shape, dtype=bool)
    np.greater_equal(series[:, first_epoch:], threshold, out=out[:, first_epoch:])
    return out


def smoothed(log_gap: np.ndarray, epochs: int) -> np.ndarray:
    """Trailing mean of the log gap over `epochs` epochs, the geometric mean of the gap; NaN until that many are known.

    Args:
        log_gap: (R, T + 1) float64.
        epochs: ≥ 1; 1 gives the series itself.

    Returns:
        (R, T + 1) float64; entry t uses epochs t − epochs + 1 … t only.

    Example:
        >>> smoothed(np.array([[1.0, 3.0, 5.0]]), epochs=2).tolist()
        [[nan, 2.0, 4.0]]
    """
    if epochs == 1:
        return log_gap
    out = np.full(log_gap.shape, np.nan)
    if epochs <= log_gap.shape[1]:
        known = np.isfinite(log_gap)
        total = np.cumsum(np.where(known, log_gap, 0.0), axis=1)
        count = np.cumsum(known, axis=1)
        out[:, epochs - 1 :] = total[:, epochs - 1 :]
        out[:, epochs:] -= total[:, :-epochs]
        count[:, epochs:] -= count[:, :-epochs].copy()
        out /= epochs
        out[count < epochs] = np.nan
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

    Example:
        >>> first_crossing(np.array([0.1, 0.5, 0.4, 0.9]), 0.5)
        3
        >>> first_crossing(np.array([0.1, 0.5, 0.4, 0.9]), 0.5, strict=False)
        1
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

    Example: level until epoch 5, then the log gap grows by 0.1 an epoch; over a lag of 4 its slope passes 0.04 at epoch 7.
        >>> fire_epoch(np.exp(0.1 * np.maximum(np.arange(20) - 5, 0)), lag=4, threshold=0.04, first_epoch=0)
        7
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


def cosine_distance(band: np.ndarray) -> np.ndarray:
    """1 − cos(Δ_t, Δ_{t−1}) at every epoch, from two lags of the band.

    Args:
        band: (T, L ≥ 2) float64.

    Returns:
        (T + 1,) float64 in [0, 2]; NaN for t < 2 or where an update is zero.

    Example: the second update turns by a right angle, the third turns back on it.
        >>> cosine_distance(np.array([[1.0, np.nan], [4.0, 0.0], [1.0, -2.0]])).tolist()
        [nan, nan, 1.0, 2.0]
    """
    out = np.full(len(band) + 1, np.nan)
    if len(band) > 1:
        scale = np.sqrt(band[1:, 0] * band[:-1, 0])
        with np.errstate(invalid="ignore", divide="ignore"):
            out[2:] = np.where(scale > 0, 1 - band[1:, 1] / scale, np.nan)
    return out

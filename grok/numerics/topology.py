"""Warnings that are read off a window of a series: autocorrelation, ratio of variances, entropy of what moved.

Shapes: T measured epochs, w rows of a window.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from torch import Tensor

WINDOW, FIRST, RISE, BINS = 20, 10, 0.1, 64
"""Rows of a window and of the baseline, 200 and 100 steps at a cadence of 10; what the autocorrelation must rise by; bins."""
KERNEL = 1 / 8
"""Width of the kernel that takes a trend out, in windows."""


def histogram_entropy(moved: dict[str, Tensor] | None, bins: int = BINS) -> float:
    """Entropy, in nats, of the sizes of all weights' changes in equal bins up to the largest; NaN where nothing moved.

    Args:
        moved: changes by layer.
    """
    if moved is None:
        return float("nan")
    sizes = np.concatenate([layer.detach().abs().double().flatten().cpu().numpy() for layer in moved.values()])
    largest = float(sizes.max())  # NaN where one of them is
    if not 0 < largest < np.inf:
        return float("nan")
    counts = np.histogram(sizes, bins=bins, range=(0.0, largest))[0] / len(sizes)
    return float(-(counts[counts > 0] * np.log(counts[counts > 0])).sum())


def autocorrelation(x: np.ndarray) -> float:
    """Pearson's correlation of x_t and x_{t−1}; NaN where one does not vary."""
    a, b = x[1:] - x[1:].mean(), x[:-1] - x[:-1].mean()
    scale = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


@cache
def _kernel(window: int) -> np.ndarray:
    """(w, w): takes a window to its trend, a local line at each place with Gaussian weights, so that a line leaves nothing."""
    place = np.arange(window)
    out = np.empty((window, window))
    for at in place:
        weights = np.exp(-0.5 * np.square((place - at) / (window * KERNEL)))
        design = np.stack((np.ones(window), place - at), axis=1)
        out[at] = np.linalg.solve(design.T @ (weights[:, None] * design), design.T * weights)[0]
    return out


def warnings(values: np.ndarray, *, show: str = "alarm", detrend: bool = False, window: int = WINDOW) -> np.ndarray:
    """What a window says of the Fiedler value, at every row.

        AR1 = lag-1 autocorrelation, VR = Var(last fifth) / Var(first four fifths)
        alarm = min(AR1 − mean of its first 10 − 0.1, VR − 1) where the entropy is below its mean in the window, else −1

    Causal: row t uses rows t − w + 1 … t, and the first ones. The rule holds where the alarm is > 0.

    Args:
        values: (T, 2): Fiedler value, entropy of what moved. show: `alarm`, `ar1` or `variance`.
        detrend: take a Gaussian kernel's local line out of each window first: AR1 of a series with a trend is near 1.
        window: w.

    Returns:
        (T,); NaN before a window is full or where one is not known.

    Source: Benfield, public code on structural topology monitoring (patent application GB2611542.8); detrending is ours.
    """
    ar1, variance, falls = (np.full(len(values), np.nan) for _ in range(3))
    for t in range(window - 1, len(values)):
        x, entropy = values[t - window + 1 : t + 1].T
        if not np.isfinite(x).all():
            continue
        x = x - _kernel(window) @ x if detrend else x
        ar1[t] = autocorrelation(x)
        cut = window - window // 5
        before = float(x[:cut].var())
        variance[t] = float(x[cut:].var()) / before if before > 0 else np.nan
        known = entropy[np.isfinite(entropy)]
        falls[t] = float(len(known) > 0 and entropy[-1] < known.mean())
    if show == "ar1":
        return ar1
    if show == "variance":
        return variance
    out = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(ar1))
    if len(known) <= FIRST:
        return out
    score = np.minimum(ar1 - ar1[known[:FIRST]].mean() - RISE, variance - 1)
    later = np.arange(len(values)) > known[FIRST - 1]
    out[later] = np.where(falls[later] > 0, score[later], np.where(np.isnan(falls[later]), np.nan, -1.0))
    return out

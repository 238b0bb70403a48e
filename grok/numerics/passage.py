"""Laws of the norm's decay: the forecast of first passage, and the peak of the norm.

Shapes: T updates.
"""

from __future__ import annotations

import math

import numpy as np

MEMORISED = 0.99
"""Training accuracy from which a run has memorised."""


def delay(norm: float, target: float, rate: float) -> float:
    """T_grok − T_mem = log(V / V*) / rate, in epochs; NaN of a rate ≤ 0.

    Args:
        norm: ‖θ‖ at memorisation, V its square. target: V*. rate: of the decay of log V per epoch, 2 κ η λ in the law.

    Example: half the square of the norm at a rate of a thousandth.
        >>> round(delay(2.0, 2.0, 0.001), 6)
        693.147181

    Source: Truong et al. (arXiv 2605.18845).
    """
    return math.log(norm**2 / target) / rate if rate > 0 else math.nan


def remaining(
    norms: np.ndarray, accuracy: np.ndarray, target: float, *, rate: float | None = None, window: int = 10
) -> np.ndarray:
    """Epochs that are left by the forecast, at every epoch from memorisation on.

        r(t) = [log V(t − w) − log V(t)] / w,  left(t) = log(V(t) / V*) / r(t)

    Causal: entry t uses epochs ≤ t.

    Args:
        norms: (T + 1, layers). accuracy: (T + 1,) of training. target: V*.
        rate: 2 κ η λ in place of r(t). window: w.

    Returns:
        (T + 1,) float64; NaN before memorisation and where log V does not fall, or is not to. At most 0 once V ≤ V*.
    """
    logs = np.log(np.square(norms).sum(axis=1))
    out = np.full(len(logs), np.nan)
    memorised = np.flatnonzero(accuracy >= MEMORISED)
    if not len(memorised):
        return out
    for t in range(max(int(memorised[0]), window if rate is None else 0), len(logs)):
        fitted = (logs[t - window] - logs[t]) / window if rate is None else rate
        if fitted > 0:
            out[t] = (logs[t] - math.log(target)) / fitted
    return out


def below_peak(norms: np.ndarray) -> np.ndarray:
    """1 − ‖θ(t)‖ / max over s ≤ t of ‖θ(s)‖: (T + 1,), of norms (T + 1, layers)."""
    total = np.sqrt(np.square(norms).sum(axis=1))
    out: np.ndarray = 1 - total / np.fmax.accumulate(total)
    return out


def tanh_fit(epochs: np.ndarray, accuracy: np.ndarray) -> tuple[float, float, float]:
    """t_g, w and R² of A(t) = ½[1 + tanh((t − t_g)/w)] by least squares; NaN where it cannot be fitted.

    Args:
        epochs, accuracy: (T + 1,).

    Source: Khanh (arXiv 2606.07563).
    """
    from scipy.optimize import curve_fit

    known = np.isfinite(accuracy)
    t, a = epochs[known].astype(np.float64), accuracy[known]
    if not len(a) or a.max() < 0.5:
        return math.nan, math.nan, math.nan
    first = float(t[int(np.argmax(a >= 0.5))])

    def shape(x: np.ndarray, middle: float, width: float) -> np.ndarray:
        out: np.ndarray = 0.5 * (1 + np.tanh((x - middle) / width))
        return out

    try:
        found, _ = curve_fit(shape, t, a, p0=(first, max(1.0, 0.1 * first)), maxfev=5000)
    except RuntimeError:
        return math.nan, math.nan, math.nan
    rest = float(np.square(a - shape(t, *found)).sum())
    return float(found[0]), abs(float(found[1])), 1 - rest / float(np.square(a - a.mean()).sum())

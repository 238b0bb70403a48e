"""The gap flow equation, evaluated: what it predicts of dg/dt term by term, against what was measured and a persistence null.

Shapes: T snapshots that are N steps apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Flow(NamedTuple):
    """Terms of dg/dt at each snapshot, per step, (T,) float64 each; g = d₁ − d₂.

    Attributes:
        curvature: −η (h₁ − h₂) d̄. damping: −η (h̄ + ω) g. driving: η W (|G₁|² / d₁ − |G₂|² / d₂).
    """

    curvature: np.ndarray
    damping: np.ndarray
    driving: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """The predicted dg/dt."""
        return np.asarray(self.curvature + self.damping + self.driving)


class Judged(NamedTuple):
    """A prediction of dg/dt against the measured one.

    Attributes:
        r_squared: 1 − Σ (measured − predicted)² / Σ (measured − mean)². persistence: of the last measured dg/dt as prediction.
        signs: share of intervals whose sign is right. correlation: of the two. n: intervals. one_sign: the share that saying
            always the same sign has right; last_sign: that saying the last one again has. Scores are NaN where the gap, or what
            is predicted of it, never changes its pace.
    """

    r_squared: float
    persistence: float
    signs: float
    correlation: float
    n: int
    one_sign: float
    last_sign: float


def flow(d: np.ndarray, h: np.ndarray, gradient: np.ndarray, learning_rate: float, weight_decay: float, window: float) -> Flow:
    """The terms of the equation for k* = 1.

    Args:
        d: (T, 2) σ₁ and σ₂. h: (T, 2) vᵀ H v of the training loss. gradient: (T, 2) ⟨v, ∇L⟩.
        learning_rate: η. weight_decay: ω. window: W; the paper leaves open whether in rows or in steps.

    Source: Xu (arXiv 2603.28964), the gap flow equation.
    """
    mean_d, mean_h, gap = d.mean(axis=1), h.mean(axis=1), d[:, 0] - d[:, 1]
    driven = gradient**2 / d
    return Flow(
        -learning_rate * (h[:, 0] - h[:, 1]) * mean_d,
        -learning_rate * (mean_h + weight_decay) * gap,
        learning_rate * window * (driven[:, 0] - driven[:, 1]),
    )


def judge(predicted: np.ndarray, gap: np.ndarray, every: float) -> Judged:
    """Predicted dg/dt at snapshots 0 … T − 2 against (g_{t+1} − g_t) / N.

    Args:
        predicted: (T,) per step. gap: (T,) g. every: N.

    Raises:
        ValueError: if there are fewer than four snapshots.
    """
    if len(gap) < 4:
        raise ValueError(f"gap must have at least 4 snapshots, got {len(gap)}. Train longer.")
    measured = np.diff(gap) / every
    last, now, then = measured[:-1], measured[1:], predicted[1:-1]
    spread, signs = float(((now - now.mean()) ** 2).sum()), float((np.sign(now) == np.sign(then)).mean())
    nulls = float(max((now > 0).mean(), (now < 0).mean())), float((np.sign(now) == np.sign(last)).mean())
    if spread == 0 or np.ptp(then) == 0:
        return Judged(float("nan"), float("nan"), signs, float("nan"), len(now), *nulls)
    return Judged(
        1 - float(((now - then) ** 2).sum()) / spread,
        1 - float(((now - last) ** 2).sum()) / spread,
        signs,
        float(np.corrcoef(now, then)[0, 1]),
        len(now),
        *nulls,
    )

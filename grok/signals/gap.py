"""The spectral gap of the weight updates."""

from __future__ import annotations

import numpy as np

from grok.numerics import spectra
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(eigenvalues: np.ndarray, window: int, *, k: int) -> np.ndarray:
    """λ_k / λ_{k+1} of the last w updates' Gram, at every epoch: (T + 1,)."""
    return spectra.gap(eigenvalues, k, window)


SIGNAL = Signal(
    "gap",
    compute,
    needs=("eigenvalues", "window"),
    variants={"23": {"k": 2}, "12": {"k": 1}, "34": {"k": 3}},
    direction="rising",
    title="ratio of two neighbouring eigenvalues of the last updates' Gram",
    source="Xu (arXiv 2605.08119) §2: λ₂/λ₃, window 20; eq. 3 reads the slope of its logarithm",
    cost="nothing beside the spectra that every run records",
    printed=PrintedRule(
        "log-slope over 25 epochs above 0.04 at an epoch ≥ 100", _rules.slope_above(0.04, 25, 100), _rules.with_lag(25, 100)
    ),
)

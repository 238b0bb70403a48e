"""How many epochs are left by the law of first passage."""

from __future__ import annotations

import numpy as np

from grok.numerics import passage
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal

TARGET, KAPPA = 2501.0, 0.252
"""V* and κ as calibrated for a transformer at p = 97; of the published MLP κ is 0.206. κ scales the variant `kappa`, so that
with another no alarm is another."""
CLAMPED = 55.0**2
"""V* of the MLP at p = 59: the square of its published norm at grokking (arXiv 2606.13753)."""


def compute(
    norms: np.ndarray,
    train_accuracy: np.ndarray,
    learning_rate: float,
    weight_decay: float,
    *,
    target: float = TARGET,
    kappa: float | None = None,
) -> np.ndarray:
    """Log(V/V*) over the rate of the decay of log V in the last 10 epochs, or 2 κ η λ, at every epoch: (T + 1,)."""
    rate = None if kappa is None else 2 * kappa * learning_rate * weight_decay
    return passage.remaining(norms, train_accuracy, target, rate=rate)


SIGNAL = Signal(
    "first_passage",
    compute,
    needs=("norms", "train_accuracy", "learning_rate", "weight_decay"),
    variants={"": {}, "kappa": {"kappa": KAPPA}, "clamped": {"target": CLAMPED}},
    direction="falling",
    title="epochs left until the squared norm of all weights has decayed to V*",
    source="Truong et al. (arXiv 2605.18845); V* of a transformer; where the norm grows after memorisation its premise fails",
    cost="nothing beside the norms that every run records",
    version=2,
    printed=PrintedRule(
        "no epoch left of the forecast (ours: the paper forecasts a time and prints no alarm)", _rules.at_most(0.0)
    ),
)

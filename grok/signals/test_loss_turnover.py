"""How far the test loss has fallen from its maximum, a control."""

from __future__ import annotations

import numpy as np

from grok.numerics.passage import MEMORISED
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(test_loss: np.ndarray, train_accuracy: np.ndarray) -> np.ndarray:
    """1 − L(t) / max over s ≤ t of L(s), at every epoch: (T + 1,), NaN before memorisation."""
    out: np.ndarray = 1 - test_loss / np.fmax.accumulate(test_loss)
    memorised = np.maximum.accumulate(train_accuracy >= MEMORISED)
    return np.where(memorised, out, np.nan)


SIGNAL = Signal(
    "test_loss_turnover",
    compute,
    needs=("test_loss", "train_accuracy"),
    information="L",
    direction="rising",
    title="share by which the test loss has fallen from its running maximum",
    source="ours, as a control: what sees the test loss turn must be beaten by what does not see it",
    cost="nothing",
    version=2,
    printed=PrintedRule(
        "a fall of 0.1 after memorisation (ours; the fraction is not published)",
        _rules.after_memorised(0.1),
        _rules.later_than_memorised,
    ),
)

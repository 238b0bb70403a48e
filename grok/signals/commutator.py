"""How much the order of two minibatch steps matters."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import dynamics
from grok.signals import _rules
from grok.signals.base import PrintedRule, Signal


def compute(minibatch_gradients: Tensor, *, hessian: bool = False) -> float:
    """D = ‖θ_AB − θ_BA‖ / (‖η_c g_A‖ ‖η_c g_B‖) from differences of gradients; `hessian` is its limit for small steps."""
    return dynamics.commutator(minibatch_gradients, hessian=hessian)


SIGNAL = Signal(
    "commutator",
    compute,
    needs=("minibatch_gradients",),
    variants={"": {}, "hessian": {"hessian": True}},
    cadence="checkpoint",
    direction="rising",
    title="commutator defect of two minibatch steps",
    source="Xu (arXiv 2602.16967): step 1e-3, minibatches of 512 with replacement, median of 5; by gradients in float64 (ours)",
    cost="20 gradients and 10 Hessian products of 512 samples in float64",
    printed=PrintedRule(
        "over 10 times the median of its first 3 values, and over 20", _rules.times_first(10, 3, 20), _rules.past_first(3)
    ),
)

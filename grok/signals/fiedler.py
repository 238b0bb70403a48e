"""How well connected the graph of neurons is."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import dynamics
from grok.signals.base import Signal


def compute(weights: dict[str, Tensor], *, degree: bool = False) -> float:
    """λ₂ of the Laplacian with |w_ij| as edges; `degree` is the smallest degree of a hidden neuron, which it is close to."""
    return dynamics.fiedler(weights, degree=degree)


SIGNAL = Signal(
    "fiedler",
    compute,
    needs=("weights",),
    layers=(("w", "v"), ("embedding", "w1", "v")),
    variants={"": {}, "smallest_degree": {"degree": True}},
    cadence="observed",
    direction="falling",
    title="second-smallest eigenvalue of the Laplacian of the weights' graph",
    source="Benfield, public code on structural topology monitoring; subject to a patent application (GB2611542.8)",
    cost="one eigenvalue by Lanczos, with a factor as large as the smaller side of the graph",
)

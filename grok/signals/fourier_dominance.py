"""How far one frequency dominates each neuron of the first layer."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import harmonics
from grok.signals.base import Signal


def compute(
    weights: dict[str, Tensor], modulus: int, seed: int, *, weighted: bool = True, permuted: bool = False, squares: bool = False
) -> float:
    """F = Σ_j ω_j max_k s_kj, s_kj the share of frequency k in neuron j; `permuted` under a random order of the tokens.

    `squares` has Σ_k s_kj² in place of the maximum.
    """
    return harmonics.dominance(weights["w"], modulus, weighted=weighted, permute=seed if permuted else None, squares=squares)


SIGNAL = Signal(
    "fourier_dominance",
    compute,
    needs=("weights", "modulus", "seed"),
    layers=(("w",),),
    information="G",
    variants={"": {}, "unweighted": {"weighted": False}, "permuted": {"permuted": True}, "squares": {"squares": True}},
    direction="rising",
    title="share of each neuron's strongest frequency",
    source="Nanda et al. (arXiv 2301.05217), without the final network's frequencies; weighted by ‖w_j‖² as neurons die (ours)",
    cost="one discrete Fourier transform of W",
)

"""How tight the clusters of the features are."""

from __future__ import annotations

from torch import Tensor

from grok.numerics import mixture
from grok.signals.base import Signal


def compute(features: Tensor, modulus: int, *, clusters: int | None = 12) -> float:
    """β/β_c = λ_max(C)/σ² of an isotropic mixture of so many clusters; None: as many as the group has elements."""
    return mixture.precision_ratio(features, modulus if clusters is None else clusters)


SIGNAL = Signal(
    "mixture_precision",
    compute,
    needs=("features", "modulus"),
    variants={"": {}, "classes": {"clusters": None}},
    cadence="checkpoint",
    direction="rising",
    title="inverse temperature of a mixture of the features over its critical value",
    source="stands for β/β_c of Yang (arXiv 2605.24057), whose estimator is not public: EM in 32 components, cold start (ours)",
    cost="32 eigenvectors of a matrix as large as the smaller of samples and width, and 30 steps of EM",
)

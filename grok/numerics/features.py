"""Feature and gradient observables of one network at one epoch.

Shapes: n samples, K width, M classes. F (n, K) are the features, F̃ = F − column means.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from grok.numerics.kept import Kept
from grok.numerics.linalg import gram_panels, product

COLUMN_PAIRS = 500


def feature_observables(features: Tensor) -> dict[str, float]:
    """ρ, the off-diagonal ratio of F̃ᵀF̃ and the number of dead features.

        ρ = ‖FFᵀ − [(a − b) I + b 11ᵀ]‖_F / ‖FFᵀ‖_F,  a, b = mean diagonal and off-diagonal entry of FFᵀ
        ρ² ‖FFᵀ‖² = ‖FFᵀ‖² − n a² − n (n − 1) b²   (I and 11ᵀ − I are orthogonal, a and b the projections)
        ‖FFᵀ‖² = ‖F̃ᵀF̃‖² + 2 n μᵀF̃ᵀF̃μ + n² ‖μ‖⁴,  tr FFᵀ = ‖F‖²,  1ᵀFFᵀ1 = n² ‖μ‖²

    One symmetric K×K product is formed, a panel at a time; the rank-one part, which cancels, is taken in float64. What was
    found is kept as long as the features live unchanged: a signal asks for it too.

    Args:
        features: (n, K), n ≥ 2, raw (not centred).

    Returns:
        `features/rho`; `features/offdiag_ratio`, mean |off-diagonal| / mean |diagonal| of F̃ᵀF̃; `features/dead`,
        the count of all-zero columns. ρ and the ratio are NaN where the features have vanished: where the squares of the Gram's
        entries are no normal numbers of the features' dtype, 0 or not.

    Source: Tian (arXiv 2509.21519) Fig. 3; Xu (arXiv 2605.08119), whose code uses the raw FFᵀ as here.

    Example: one feature that alternates in sign over four samples, and a dead one: ρ = √(1 − 1/4 − 1/12).
        >>> found = feature_observables(torch.tensor([[1.0, 0.0], [-1.0, 0.0]] * 2))
        >>> round(found["features/rho"], 6), found["features/dead"]
        (0.816497, 1.0)
    """
    return dict(KEPT.of(features, "observables", lambda: _feature_observables(features)))


KEPT = Kept()


def _feature_observables(features: Tensor) -> dict[str, float]:
    samples, width = features.shape
    columns = features.T.clone(memory_format=torch.contiguous_format)
    mean = columns.mean(dim=1, dtype=torch.float64)
    dead = (~columns[mean == 0].any(dim=1)).sum().double()  # all zeros have the mean 0
    centred = columns.sub_(mean.to(columns.dtype)[:, None])
    sums = mean.new_zeros(3)  # of squares, of sizes, of the diagonal
    for _, panel in gram_panels(centred):
        size = len(panel)
        for part, times in ((panel[:, :size], 1), (panel[:, size:], 2)):  # what is right of the square block counts twice
            sums[0] += times * torch.linalg.vector_norm(part, dim=1).double().square().sum()
            sums[1] += times * torch.linalg.vector_norm(part, ord=1, dim=1).double().sum()
        sums[2] += panel.diagonal().double().sum()
    norm, absolute, trace = sums
    off_diagonal, mean_square = absolute - trace, mean.square().sum()
    cross = (mean.to(columns.dtype) @ centred).double().square().sum()

    kernel_trace = trace + samples * mean_square
    kernel_norm = norm + 2 * samples * cross + samples**2 * mean_square**2
    a = kernel_trace / samples
    b = (samples**2 * mean_square - kernel_trace) / (samples * (samples - 1))
    residual = kernel_norm - samples * a**2 - samples * (samples - 1) * b**2
    values = torch.stack((residual, kernel_norm, off_diagonal, trace, dead, kernel_trace / width)).tolist()
    residual_, kernel_norm_, off_diagonal_, trace_, dead_, entry_ = values
    vanished = entry_ < math.sqrt(torch.finfo(features.dtype).tiny / torch.finfo(features.dtype).eps)
    return {
        "features/rho": math.nan if vanished else math.sqrt(max(residual_, 0.0) / kernel_norm_),
        "features/offdiag_ratio": math.nan if vanished else off_diagonal_ / (trace_ * (width - 1)) if trace_ > 0 else 0.0,
        "features/dead": dead_,
    }


def kernel_observables(features: Tensor) -> dict[str, float]:
    """`features/kernel_offdiag_ratio`: mean |off-diagonal| / mean |diagonal| of P₁⊥FFᵀ, the rows' mean removed.

        P₁⊥FFᵀ = F̃F̃ᵀ + (F̃μ)1ᵀ,  F = F̃ + 1μᵀ: a symmetric product and a column

    It takes an n×n product of its own, so it is taken at checkpoint epochs only.

    Args:
        features: (n, K), n ≥ 2, raw.

    Source: Tian (arXiv 2509.21519) Fig. 3.

    Example: two samples of one feature, ±1: all entries of the kernel are as large as its diagonal.
        >>> kernel_observables(torch.tensor([[1.0], [-1.0]]))
        {'features/kernel_offdiag_ratio': 1.0}
    """
    mean = features.mean(dim=0)
    centred = features - mean
    column = centred @ mean
    diagonal = off = 0.0
    for rows, panel in gram_panels(centred):
        size = len(panel)
        diagonal_ = float((panel.diagonal() + column[rows]).abs().double().sum())
        block = float((panel[:, :size] + column[rows, None]).abs_().sum(dim=1).double().sum())
        rest = panel[:, size:]
        mirrored = float((rest + column[rows.stop :]).abs_().sum(dim=1).double().sum())
        diagonal += diagonal_
        off += block - diagonal_ + mirrored + float(rest.add_(column[rows, None]).abs_().sum(dim=1).double().sum())
    ratio = off / (diagonal * (len(features) - 1)) if diagonal > 0 else 0.0
    return {"features/kernel_offdiag_ratio": ratio}


def gradient_observables(features: Tensor, v: Tensor, labels: Tensor, seed: int) -> dict[str, float]:
    """Size and alignment of the backpropagated gradient G_F = P₁⊥(Y − F V)Vᵀ.

    Args:
        features: (n, K). v: (K, M). labels: (n,) int64, whose one-hots are Y.
        seed: of the 500 column pairs, the same at every epoch of a run.

    Returns:
        `gradient/norm`, ‖G_F‖_F; `gradient/cos_median` and `gradient/cos_p95`, of |cos(g_j, g_j')| over the pairs
        (0 for a zero column).

    Source: Tian (arXiv 2509.21519) Fig. 3.

    Example: an output layer of zeros sends nothing back.
        >>> gradient_observables(torch.eye(3), torch.zeros(3, 2), torch.tensor([0, 1, 0]), seed=0)["gradient/norm"]
        0.0
    """
    residual = -product(features[None], v.T[None])[0].double()
    residual[torch.arange(len(labels), device=labels.device), labels] += 1
    residual -= residual.mean(dim=0)
    inner = residual.T @ residual  # (M, M): g_j = R v_j, so g_j · g_j' = v_jᵀ (RᵀR) v_j', whatever n
    rows = v.double()
    norm = (inner * (rows.T @ rows)).sum().clamp_min(0).sqrt()
    pairs = random_pairs(len(rows), COLUMN_PAIRS, np.random.default_rng(seed)).T
    weighted = rows @ inner
    sizes = (weighted * rows).sum(dim=1).clamp_min(0).sqrt()
    dots = (weighted[pairs[0]] * rows[pairs[1]]).sum(dim=1)
    cos = (dots / (sizes[pairs[0]] * sizes[pairs[1]]).clamp_min(1e-300)).abs()
    quantiles = torch.quantile(cos, cos.new_tensor([0.5, 0.95])).tolist()
    return {"gradient/norm": float(norm), "gradient/cos_median": quantiles[0], "gradient/cos_p95": quantiles[1]}


def random_pairs(items: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """(count, 2) int64: pairs of different items in [0, items), independent and uniform.

    Example:
        >>> random_pairs(2, 3, np.random.default_rng(0)).sum(axis=1).tolist()
        [1, 1, 1]
    """
    first = generator.integers(0, items, count)
    second = (first + generator.integers(1, items, count)) % items
    return np.stack((first, second), axis=1)

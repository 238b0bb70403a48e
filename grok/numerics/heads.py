"""How alike and how spread the heads of an attention block are.

Shapes: B blocks, n samples, H heads, T places.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from grok.numerics.fourier import entropy


def _similarity(attention: Tensor) -> Tensor:
    """Cosines of flattened heads, (B, H, H) float64."""
    heads = attention.double().transpose(1, 2).flatten(2)
    heads = heads / heads.norm(dim=2, keepdim=True)
    out: Tensor = heads @ heads.transpose(1, 2)
    return out


def cosine(attention: Tensor) -> float:
    """s̄: mean over blocks of the mean cosine of two heads; NaN with one head.

    Args:
        attention: (B, n, H, T, T), rows sum to 1.

    Source: Verma (arXiv 2605.20441).
    """
    found = _similarity(attention)
    heads = found.shape[1]
    if heads < 2:
        return math.nan
    return float((found.sum(dim=(1, 2)) - found.diagonal(dim1=1, dim2=2).sum(dim=1)).mean()) / (heads * (heads - 1))


def entropy_spread(attention: Tensor) -> float:
    """σ_H: mean over blocks of the standard deviation over heads of the mean entropy of a row, in nats.

    Args:
        attention: (B, n, H, T, T).

    Source: as `cosine`.
    """
    means = torch.stack([entropy(block.double()).mean(dim=(0, 2)) for block in attention])
    return float(means.std(dim=1, correction=0).mean())


def participation(attention: Tensor) -> float:
    """1/(1 + CV²) of the eigenvalues of the heads' similarity: 1 of orthogonal heads, 1/H of equal ones; mean over blocks.

    Args:
        attention: (B, n, H, T, T).

    Source: as `cosine`.
    """
    values = torch.linalg.eigvalsh(_similarity(attention))
    spread = values.var(dim=1, correction=0) / values.mean(dim=1).square()
    return float((1 / (1 + spread)).mean())

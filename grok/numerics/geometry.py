"""Geometry of features, weights and outputs: class distances, alignment, covariance, effective rank.

Shapes: n samples, K features, M classes. All sums are taken in float64.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor

from grok.numerics.linalg import symmetric, upper_gram

FLOOR = 1e-8
"""Added to the distance within classes, as published."""


def class_distances(features: Tensor, labels: Tensor, limit: int | None = None, *, floor: bool = False) -> float:
    """Mean distance between classes over mean distance within them.

        ILDR = mean_{c<c'} ‖μ_c − μ_c'‖² / (mean_c mean_{i in c} ‖φ_i − μ_c‖² + 1e-8)

    Means of N_c samples lie apart by chance: samples of one distribution with variance s² have E‖μ_c − μ_c'‖² = 2s²/N_c and
    E‖φ_i − μ_c‖² = s²(1 − 1/N_c), a ratio of 2/(N_c − 1). `floor` subtracts twice the mean of 1/(N_c − 1) over classes.

    Args:
        features: (n, K). labels: (n,) int64. limit: only the first so many samples. floor: subtract what chance alone gives.

    Returns:
        The ratio; NaN with fewer than two classes, or with `floor` where a class has one sample only.

    Source: Golwala (arXiv 2604.20923).
    """
    f, y = features[:limit].double(), labels[:limit]
    _, index, counts = torch.unique(y, return_inverse=True, return_counts=True)
    classes = len(counts)
    if classes < 2 or (floor and int(counts.min()) < 2):
        return math.nan
    means = f.new_zeros(classes, f.shape[1]).index_add_(0, index, f) / counts[:, None]
    spread = (f - means[index]).square().sum(dim=1)
    within = float((f.new_zeros(classes).index_add_(0, index, spread) / counts).mean())
    centred = means - means.mean(dim=0)
    between = 2 * float(centred.square().sum()) / (classes - 1)  # Σ_{c<c'} ‖μ_c − μ_c'‖² = C Σ_c ‖μ_c − μ̄‖²
    chance = 2 * float((1 / (counts.double() - 1)).mean()) if floor else 0.0
    return between / (within + FLOOR) - chance


def log_alignment(features: Tensor, readout: Tensor, *, centre: bool = False, zero_mean: bool = False) -> float:
    """How well a layer is aligned with its input, as a power of the input's dimension.

        LAR = log_K( rms(F V) / (rms F · rms V) ): 1/2 for independent entries, 1 where one direction carries all

    Args:
        features: (n, K), the input. readout: (K, M), the layer. centre: take column means out of F.
        zero_mean: take the mean over classes out of V, as the loss does of the outputs.

    Returns:
        The ratio; NaN where an rms is 0.

    Source: Shehper and Vaswani (arXiv 2605.28975).
    """
    f, v = features.double(), readout.double()
    if centre:
        f = f - f.mean(dim=0)
    if zero_mean:
        v = v - v.mean(dim=1, keepdim=True)
    sizes = [float(x.square().mean().sqrt()) for x in (f @ v, f, v)]
    if not min(sizes) > 0:
        return math.nan
    return math.log(sizes[0] / (sizes[1] * sizes[2])) / math.log(f.shape[1])


def centred_gram(features: Tensor) -> Tensor:
    """F̃ᵀF̃ or F̃F̃ᵀ, whichever is smaller, in float64: both have the same eigenvalues but for zeros.

    The last one is kept as long as its features live unchanged, since several signals ask for the same one; not to be changed.
    """
    owner, version, gram = _LAST[:3]
    if owner() is features and version == features._version and isinstance(gram, Tensor):
        return gram
    f = features.double()
    f = f - f.mean(dim=0)
    gram = symmetric(upper_gram((f if f.shape[0] >= f.shape[1] else f.T).contiguous()))
    _LAST[:] = [weakref.ref(features), features._version, gram, None, None]
    return gram


_LAST: list[Any] = [lambda: None, 0, None, None, None]
"""Whose Gram was computed last, the features' version then, the Gram; if asked for its eigenvalues, rank and `principal`."""


def principal(features: Tensor, rank: int) -> tuple[np.ndarray, float]:
    """The centred features in their first principal components, (n, ≤ rank), and the largest eigenvalue of their covariance.

    By Lanczos from a fixed vector; kept with the Gram, as several variants of a signal ask for them.
    """
    gram = centred_gram(features).cpu().numpy()
    if _LAST[4] is not None and _LAST[4][0] == rank:
        kept: tuple[np.ndarray, float] = _LAST[4][1]
        return kept
    n, trace = len(features), float(np.trace(gram))
    if rank + 1 < len(gram) and trace > 0:
        start = np.random.default_rng(0).standard_normal(len(gram))
        values, vectors = eigsh(gram / trace, k=rank, v0=start)
        values = values * trace
    else:
        values, vectors = (part[..., -rank:] for part in np.linalg.eigh(gram))
    f = features.double().cpu().numpy()
    by_features = f.shape[0] >= f.shape[1]
    z = (f - f.mean(axis=0)) @ vectors if by_features else vectors * np.sqrt(np.maximum(values, 0))
    found = z, float(values.max()) / n
    _LAST[4] = rank, found
    return found


def spectral_entropy(features: Tensor) -> float:
    """−Σ p_i log p_i / log K, p the eigenvalues of the features' covariance over their sum; NaN where they vanish.

    Source: Truong et al. (arXiv 2604.13123).
    """
    return _entropy(_eigenvalues(features)) / math.log(features.shape[1])


def feature_rank(features: Tensor) -> float:
    """Exp of the entropy of s²/Σs², s the singular values of the centred features; NaN where they vanish."""
    return math.exp(_entropy(_eigenvalues(features)))


def _eigenvalues(features: Tensor) -> Tensor:
    """Of `centred_gram`; kept with it."""
    gram = centred_gram(features)
    if _LAST[3] is None:
        _LAST[3] = torch.linalg.eigvalsh(gram)
    found: Tensor = _LAST[3]
    return found


def participation_ratio(features: Tensor) -> float:
    """PR = (tr C)² / tr C² of the features' covariance; no eigenvalue is needed. NaN where the features do not vary."""
    gram = centred_gram(features)
    square = float(gram.square().sum())
    return float(gram.trace()) ** 2 / square if square > 0 else math.nan


def anisotropy(features: Tensor) -> float:
    """K λ_max(C) / tr C of the features' covariance, at least 1; NaN where the features do not vary.

    λ_max by Lanczos from a fixed vector, so that the same features give the same bits.
    """
    gram = centred_gram(features).cpu().numpy()
    trace = float(np.trace(gram))
    if not trace > 0:
        return math.nan
    start = np.random.default_rng(0).standard_normal(len(gram))
    largest = float(eigsh(gram / trace, k=1, v0=start, return_eigenvectors=False)[0])
    return features.shape[1] * largest


def effective_rank(weights: Tensor, *, participation: bool = False) -> float:
    """Exp of the entropy of p = s²/Σs², s the singular values, or with `participation` 1/Σp²; NaN of zeros.

    Source: Roy and Vetterli (2007), of squared values.
    """
    w = weights.double()
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    if participation:
        square = float(gram.square().sum())
        return float(gram.trace()) ** 2 / square if square > 0 else math.nan
    return math.exp(_entropy(torch.linalg.eigvalsh(gram)))


def angle(weights: dict[str, Tensor], others: dict[str, Tensor] | None) -> float:
    """The angle in radians between all weights of two networks; NaN where there is no other."""
    if others is None:
        return math.nan
    parts = [(w.double(), others[name].double()) for name, w in weights.items()]
    norms = [math.sqrt(sum(float(pair[side].square().sum()) for pair in parts)) for side in (0, 1)]
    if not min(norms) > 0:
        return math.nan
    # half-angle form: arccos of a dot product loses half of the digits at small angles
    apart, together = (
        math.sqrt(sum(float((a / norms[0] + sign * b / norms[1]).square().sum()) for a, b in parts)) for sign in (-1, 1)
    )
    return 2 * math.atan2(apart, together)


def _entropy(eigenvalues: Tensor) -> float:
    values = eigenvalues.clamp_min(0)
    total = float(values.sum())
    if not total > 0:
        return math.nan
    p = values / total
    return float(-torch.special.xlogy(p, p).sum())

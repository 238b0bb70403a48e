"""Geometry of features, weights and outputs: class distances, alignment, covariance, effective rank.

Shapes: n samples, K features, M classes. All sums are taken in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from grok.numerics.kept import Kept
from grok.numerics.linalg import symmetric, upper_gram
from grok.numerics.tridiagonal import Tridiagonal, all_eigenvalues, top_eigenvectors, tridiagonal

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
    between, within, least, chance = CLASSES.of(
        features, ("classes", limit), lambda: _distances(features, labels, limit), labels
    )
    if least < 1 or (floor and least < 2):
        return math.nan
    return between / (within + FLOOR) - (chance if floor else 0.0)


def _distances(features: Tensor, labels: Tensor, limit: int | None) -> tuple[float, float, int, float]:
    """Between and within classes, the smallest class, and what chance gives; a smallest class of 0 with fewer than two."""
    f, y = features[:limit], labels[:limit]
    _, index, counts = torch.unique(y, return_inverse=True, return_counts=True)
    classes = len(counts)
    if classes < 2:
        return math.nan, math.nan, 0, math.nan
    order, sizes = torch.argsort(index, stable=True), counts.tolist()
    means, spread = f.new_empty(classes, f.shape[1], dtype=torch.float64), list[float]()
    for place, rows in enumerate(torch.split(order, sizes)):
        own = f.index_select(0, rows).double()  # class by class, which stays in the cache
        torch.mean(own, dim=0, out=means[place])
        spread.append(float(own.sub_(means[place]).square_().sum()) / len(rows))
    centred = means - means.mean(dim=0)
    between = 2 * float(centred.square().sum()) / (classes - 1)  # Σ_{c<c'} ‖μ_c − μ_c'‖² = C Σ_c ‖μ_c − μ̄‖²
    chance = 2 * float((1 / (counts.double() - 1)).mean())
    return between, float(np.mean(spread)), int(counts.min()), chance


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
    product, mean, square, v = ALIGNED.of(features, "aligned", lambda: _aligned(features, readout), readout)
    if centre:
        product, square = product - mean @ v, square - float(mean.square().mean())
    if zero_mean:
        product, v = product - product.mean(dim=1, keepdim=True), v - v.mean(dim=1, keepdim=True)
    sizes = [float(product.square().mean().sqrt()), math.sqrt(max(square, 0.0)), float(v.square().mean().sqrt())]
    if not min(sizes) > 0:
        return math.nan
    return math.log(sizes[0] / (sizes[1] * sizes[2])) / math.log(features.shape[1])


def _aligned(features: Tensor, readout: Tensor) -> tuple[Tensor, Tensor, float, Tensor]:
    """F V, the column means of F and the mean of its squares, and V, all in float64."""
    f, v = features.double(), readout.double()
    product = torch.from_numpy(f.cpu().numpy() @ v.cpu().numpy()).to(f.device)  # OpenBLAS: MKL's has half the rate here
    return product, f.mean(dim=0), float(torch.linalg.vector_norm(f)) ** 2 / f.numel(), v


def centred_gram(features: Tensor) -> Tensor:
    """F̃ᵀF̃ or F̃F̃ᵀ, whichever is smaller, in float64: both have the same eigenvalues but for zeros.

    The last one is kept as long as its features live unchanged, since several signals ask for the same one; not to be changed.
    """
    return KEPT.of(features, "gram", lambda: _gram(features))


def _gram(features: Tensor) -> Tensor:
    f = features.double()
    f = f - f.mean(dim=0)
    return symmetric(upper_gram((f if f.shape[0] >= f.shape[1] else f.T).contiguous()))


KEPT = Kept()
"""Of the covariance of the same features, for several signals. It has nothing else: what was last made of other features would
go, and the tridiagonal form is dear."""
CLASSES, ALIGNED = Kept(), Kept()
"""Of their classes and of the layer that reads them; held-out features have these too."""


def principal(features: Tensor, rank: int) -> tuple[np.ndarray, float]:
    """The centred features in their first principal components, (n, ≤ rank), and the largest eigenvalue of their covariance.

    From the same tridiagonal form as all eigenvalues, and kept with it, as several variants of a signal ask for them.
    """
    return KEPT.of(features, ("principal", rank), lambda: _principal(features, rank))


def _principal(features: Tensor, rank: int) -> tuple[np.ndarray, float]:
    gram = centred_gram(features)
    vectors = top_eigenvectors(_form(features), min(rank, len(gram)))
    f = features.double().cpu().numpy()
    largest = max(float(_eigenvalues(features)[-1]), 0.0)
    if f.shape[0] >= f.shape[1]:
        z = (f - f.mean(axis=0)) @ vectors
    else:
        z = vectors * np.sqrt(np.maximum(_eigenvalues(features)[-vectors.shape[1] :].numpy(), 0))
    return z, largest / len(f)


def _form(features: Tensor) -> Tridiagonal:
    return KEPT.of(features, "tridiagonal", lambda: tridiagonal(centred_gram(features).cpu().numpy().T))


def most_directions(samples: int, width: int) -> int:
    """min(n − 1, K): of how many directions a covariance of n samples of K features can have an eigenvalue above 0."""
    return min(samples - 1, width)


def spectral_entropy(features: Tensor, *, of_rank: bool = False) -> float:
    """−Σ p_i log p_i / log K, p the eigenvalues of the features' covariance over their sum; NaN where they vanish.

    Fewer samples than features leave zeros, so that it depends on n: `of_rank` has log min(n − 1, K) in place of log K, and
    is NaN of two samples.

    Source: Truong et al. (arXiv 2604.13123).
    """
    directions = most_directions(*features.shape) if of_rank else features.shape[1]
    return _entropy(_eigenvalues(features)) / math.log(directions) if directions > 1 else math.nan


def feature_rank(features: Tensor) -> float:
    """Exp of the entropy of s²/Σs², s the singular values of the centred features; NaN where they vanish."""
    return math.exp(_entropy(_eigenvalues(features)))


def _eigenvalues(features: Tensor) -> Tensor:
    """Of `centred_gram`, ascending; kept with it."""
    return KEPT.of(features, "eigenvalues", lambda: torch.from_numpy(all_eigenvalues(_form(features))))


def participation_ratio(features: Tensor) -> float:
    """PR = (tr C)² / tr C² of the features' covariance; no eigenvalue is needed. NaN where the features do not vary."""
    gram = centred_gram(features)
    square = float(gram.square().sum())
    return float(gram.trace()) ** 2 / square if square > 0 else math.nan


def anisotropy(features: Tensor, *, of_rank: bool = False) -> float:
    """K λ_max(C) / tr C of the features' covariance, at least 1; NaN where the features do not vary.

    `of_rank` has min(n − 1, K) in place of K, as `spectral_entropy` says.
    """
    values = _eigenvalues(features)
    trace = float(values.sum())
    directions = most_directions(*features.shape) if of_rank else features.shape[1]
    return directions * float(values[-1]) / trace if trace > 0 else math.nan


def effective_rank(weights: Tensor, *, participation: bool = False) -> float:
    """Exp of the entropy of p = s²/Σs², s the singular values, or with `participation` 1/Σp²; NaN of zeros.

    Source: Roy and Vetterli (2007), of squared values.
    """
    gram = LAYERS.of(weights, "gram", lambda: _layer_gram(weights))
    if participation:
        square = float(gram.square().sum())
        return float(gram.trace()) ** 2 / square if square > 0 else math.nan
    return math.exp(_entropy(torch.linalg.eigvalsh(gram)))


LAYERS = Kept()
"""What two variants of a signal ask of the same layer."""


def _layer_gram(weights: Tensor) -> Tensor:
    w = weights.double()
    return w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w


def angle(weights: dict[str, Tensor], others: dict[str, Tensor] | None) -> float:
    """The angle in radians between all weights of two networks; NaN where there is no other."""
    if others is None:
        return math.nan
    first, *rest = (others[name] for name in weights)
    one, other = _directed(weights.values()), HELD.of(first, "directed", lambda: _directed((first, *rest)), *rest)
    if one is None or other is None:
        return math.nan
    # half-angle form: arccos of a dot product loses half of the digits at small angles
    apart = math.sqrt(sum(float((a - b).square_().sum()) for a, b in zip(one, other, strict=True)))
    together = math.sqrt(sum(float(a.add_(b).square_().sum()) for a, b in zip(one, other, strict=True)))
    return 2 * math.atan2(apart, together)


HELD = Kept()
"""Of the network that all later ones are held against."""


def _directed(layers: Iterable[Tensor]) -> list[Tensor] | None:
    """All weights over their norm, in float64; None where that is 0."""
    parts = [layer.double() for layer in layers]
    norm = math.sqrt(sum(float(part.square().sum()) for part in parts))
    return [part / norm for part in parts] if norm > 0 else None


def _entropy(eigenvalues: Tensor) -> float:
    values = eigenvalues.clamp_min(0)
    total = float(values.sum())
    if not total > 0:
        return math.nan
    p = values / total
    return float(-torch.special.xlogy(p, p).sum())

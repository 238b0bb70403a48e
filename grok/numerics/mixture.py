"""An isotropic Gaussian mixture of the features, for the inverse temperature that a clustering of them stands for.

Shapes: n samples, K features, r components of the subspace, C clusters.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from grok.numerics.geometry import principal

RANK, STEPS = 32, 30
"""Dimensions of the principal subspace, and steps of EM."""


def precision_ratio(features: Tensor, clusters: int) -> float:
    """β/β_c = λ_max(C) / σ²: β = 1/σ² of the mixture, β_c = 1/λ_max of the features' covariance.

        EM of Σ_c π_c N(μ_c, σ² I) in the top 32 principal components; centres begin at the samples farthest from each other

    Args:
        features: (n, K). clusters: C, fewer than n.

    Returns:
        At least about 1, and large where the features are tight clusters; NaN where they do not vary.

    Source: stands for β(t)/β_c of Yang (arXiv 2605.24057), whose estimator is not public. Without a warm start, so that a value
        depends on one epoch alone: ours.
    """
    z, largest = principal(features, RANK)
    return largest / _variance(z, min(clusters, len(z) - 1)) if largest > 0 else math.nan


def _variance(z: np.ndarray, clusters: int) -> float:
    """σ² after so many steps of EM: (n, r) samples."""
    centres = z[_far_apart(z, clusters)]
    shares = np.full(clusters, 1 / clusters)
    n, r = z.shape
    lengths, twice = np.square(z).sum(axis=1)[:, None], 2 * z
    total = float(np.square(z).sum())
    variance = total / (n * r)
    least = 1e-12 * variance
    for _ in range(STEPS):
        logs = lengths - twice @ centres.T
        logs += np.square(centres).sum(axis=1)
        logs /= 2 * variance
        np.subtract(np.log(np.maximum(shares, 1e-300)), logs, out=logs)
        logs -= logs.max(axis=1, keepdims=True)
        weights = np.exp(logs, out=logs)
        weights /= weights.sum(axis=1, keepdims=True)
        counts = weights.sum(axis=0)
        centres = (weights.T @ z) / np.maximum(counts, 1e-300)[:, None]
        shares = counts / n
        variance = max((total - float((counts * np.square(centres).sum(axis=1)).sum())) / (n * r), least)
    return float(variance)


def _far_apart(z: np.ndarray, count: int) -> list[int]:
    """The sample farthest from the mean, then each time that farthest from those chosen."""
    chosen = [int(np.square(z).sum(axis=1).argmax())]
    nearest = np.square(z - z[chosen[0]]).sum(axis=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(z - z[chosen[-1]]).sum(axis=1))
    return chosen

"""The algebra of the errata on one network: Theorem 6 without training, and the published inverse beside the correct one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grok.networks.two_layer import Batch, TwoLayerNetwork, initial_weights
from grok.numerics.linalg import cholesky_solve, symmetric, upper_gram
from grok.numerics.repulsion import (
    DEFAULT_RIDGE,
    centred,
    direct_residuals,
    inverse_columns,
    published_residual,
    rank_pairs,
    schur_residual,
    squared_gram,
)
from grok.tasks.modular import modular_addition

PAIRS = 5
"""Random pairs of the untrained network."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: the order of summation, and so the rounding, does not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def bound(error: float) -> float:
    """The next power of ten at or above a rounding error, whose digits say nothing."""
    return 10.0 ** math.ceil(math.log10(error)) if 0 < error < math.inf else error


def features(w: Tensor, run: Mapping[str, Any] | pd.Series) -> Tensor:
    """F = σ(XW) on the training pairs of a run: (n, K) float32.

    Args:
        w: (2M, K). run: with the run's modulus, n_train, seed, labels and activation.
    """
    problem = modular_addition(int(run["modulus"]), int(run["n_train"]), int(run["seed"]), run["labels"])
    batch = Batch(problem.train_pairs[None], problem.train_labels[None], problem.modulus, torch.device("cpu"))
    network = TwoLayerNetwork(w[None], torch.zeros(1, w.shape[1], problem.modulus), run["activation"])
    return network.features(batch)[0]


@one_thread()
def untrained_theorem6(run: Mapping[str, Any] | pd.Series) -> tuple[float, float, int]:
    """Theorem 6 on random pairs of the features that a run began with.

    Returns:
        Share of pairs that obey; a bound of the relative difference of the direct residual from its Schur form; pairs.
    """
    w, _ = initial_weights(int(run["modulus"]), int(run["width"]), int(run["seed"]))
    f = centred(features(w, run))
    alive = torch.nonzero(f.abs().amax(dim=0) > 0).flatten().numpy()
    chosen = np.random.default_rng(int(run["seed"])).choice(alive, (PAIRS, 2), replace=False)
    pairs = torch.from_numpy(chosen)
    ridge = float(run["weight_decay"]) or DEFAULT_RIDGE
    b = inverse_columns(upper_gram(f), ridge, pairs.flatten())  # column 2i is of j, 2i + 1 of l
    order = torch.arange(PAIRS)
    j, l = pairs[:, 0], pairs[:, 1]
    b_jl, b_jj, b_ll = b[l, 2 * order], b[j, 2 * order], b[l, 2 * order + 1]
    direct, schur = direct_residuals(f, ridge, pairs), schur_residual(b_jl, b_jj, b_ll)
    obeys = float((torch.sign(b_jl) == -torch.sign(direct)).double().mean())
    return obeys, bound(float(((direct - schur).abs() / schur.abs()).max())), PAIRS


@one_thread()
def published_inverse(weights: Mapping[str, np.ndarray], run: Mapping[str, Any] | pd.Series) -> dict[str, float]:
    """The published B_pub = I/η − S/η² and the Woodbury form (I − S)/η against the direct inverse B = (F̃ᵀF̃ + ηI)⁻¹.

        S = F̃ᵀ(F̃F̃ᵀ + ηI)⁻¹F̃

    Args:
        weights: `w`, (2M, K). run: as `features` has it, with weight_decay and top_pairs.

    Returns:
        By name: relative Frobenius errors (of the Woodbury form, which is rounding alone, a bound; of the published one three
        digits), and on the top pairs the signs of each residual and of the raw similarity.
    """
    f = centred(features(torch.from_numpy(weights["w"]), run))
    ridge, width = float(run["weight_decay"]) or DEFAULT_RIDGE, f.shape[1]
    g = symmetric(upper_gram(f))
    identity = torch.eye(width, dtype=torch.float64)
    direct = inverse_columns(g.clone(), ridge, torch.arange(width))
    kernel = upper_gram(f.T)
    kernel.diagonal().add_(ridge)
    s = f.T @ cholesky_solve(kernel, f)
    woodbury, published = (identity - s) / ridge, identity / ridge - s / ridge**2
    size = torch.linalg.norm(direct)
    pairs, cos = rank_pairs(g, int(run["top_pairs"]))
    j, l = pairs.T
    raw, b_jl = torch.sign(cos), direct[l, j]
    theirs = torch.sign(published_residual(squared_gram(g, pairs), g[j, l], b_jl, ridge))
    explicit = torch.sign(g[j, l] - ((g[j] @ published) * g[l]).sum(dim=1))
    theorem = torch.sign(schur_residual(b_jl, direct[j, j], direct[l, l]))

    def share(a: Tensor, b: Tensor) -> float:
        return float((a == b).double().mean())

    return {
        "relative error of the Woodbury form (I − S)/η, at most": bound(float(torch.linalg.norm(woodbury - direct) / size)),
        "relative error of the published I/η − S/η²": float(f"{float(torch.linalg.norm(published - direct) / size):.3g}"),
        "top pairs": float(len(pairs)),
        "share whose published residual has the sign of the raw similarity": share(theirs, raw),
        "the same by multiplying the published inverse out": share(explicit, raw),
        "share whose Theorem 6 residual has the sign of the raw similarity": share(theorem, raw),
        "published sign match": share(torch.sign(b_jl), -theirs),
        "repulsion rate": share(torch.sign(b_jl), -raw),
        "Theorem 6": share(torch.sign(b_jl), -theorem),
    }

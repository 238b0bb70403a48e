"""Repulsion against nulls that can fail: every pair by similarity and sign, two ridges, and surrogates of the same features.

Shapes: n samples, K features. F̃ (n, K) float64 is F with its column means removed, G = F̃ᵀF̃, B = (G + ridge·I)⁻¹. A pair
repels if sgn B_jl = −sgn cos(f̃_j, f̃_l); where either sign is 0 it is a tie, which counts among the pairs and repels not.

An untrained network repels as well, and so do Gaussian features: that a rate is high, or above that of random pairs, says
nothing of training. What says something is a rate beside that of the same network untrained, of pairs as similar, and of
surrogates: `rotated`, features of exactly the same spectrum without units of their own, and `permuted`, features with the
same values without dependence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from scipy import fft
from scipy.linalg import lapack
from torch import Tensor

from grok.numerics import placement
from grok.numerics.linalg import upper_gram
from grok.numerics.repulsion import DEFAULT_RIDGE, PairError, rank_pairs

EDGES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the bins of |cos| in which pairs are compared with pairs as similar."""
L2_OPTIMIZERS = ("adam", "sgd")
"""Whose weight decay is a penalty η/2 ‖θ‖² of the loss, so that η is in the unit of a ridge. A decoupled decay (AdamW, Muon)
is a share of the weights a step, which no ridge is."""
PUBLISHED, MEAN_LOSS = "published", "mean_loss"
SCAN = {"2e-3": 2e-3, "2e-2": 2e-2}
"""Ridges between the two that decide, by name."""
ROUNDS = 3
"""Of signs and cosine transforms in a random rotation: after two each entry is a sum of all others with random signs."""


class Count(NamedTuple):
    """How many pairs of one kind and sign repel.

    Attributes:
        ridge: name of the ridge. value: the ridge itself, not less than rounding lets a Cholesky factor bear.
        kind: `top`, the largest |cos|; `positive`, the largest cos; `fixed`, those given; `all`, every pair of a bin.
        low, high: edges of the bin of |cos|, the lower one in it; NaN for the others.
        sign: of cos, 1 or −1; 0 where cos is 0.
        pairs: how many. repel: of them. tie: of them, where a sign is 0.
        median_cos: median |cos| of them; NaN in a bin and where there are none.
    """

    ridge: str
    value: float
    kind: str
    low: float
    high: float
    sign: int
    pairs: int
    repel: int
    tie: int
    median_cos: float


def decay_ridge(weight_decay: float, optimizer: str) -> float:
    """The published ridge of a run: its η where that is an L2 penalty and not 0, otherwise `DEFAULT_RIDGE`.

    Args:
        weight_decay: η ≥ 0. optimizer: its name.

    Source: Xu (arXiv 2605.08119) §4 for η; the rest is ours, so that one ruler measures every condition.

    Example: a decoupled decay of 1 is no ridge of 1.
        >>> decay_ridge(5e-4, "adam"), decay_ridge(1.0, "adamw")
        (0.0005, 0.0002)
    """
    return weight_decay if weight_decay > 0 and optimizer in L2_OPTIMIZERS else DEFAULT_RIDGE


def ridges(weight_decay: float, optimizer: str, samples: int, *, scan: bool = True) -> dict[str, float]:
    """The ridges at which repulsion is read, by name.

        published: η;  mean_loss: nη/2, since (1/n) ‖Y − FV‖² + (η/2) ‖V‖² has V = (FᵀF + nη/2 I)⁻¹ FᵀY

    Args:
        weight_decay, optimizer: of the run. samples: n. scan: whether those between come too.

    Source: Xu (arXiv 2605.08119) §4 has η; nη/2 is ours, from the loss of §2, which is a mean.

    Example:
        >>> ridges(2e-4, "adam", samples=2016, scan=False)
        {'published': 0.0002, 'mean_loss': 0.2016}
    """
    eta = decay_ridge(weight_decay, optimizer)
    return {PUBLISHED: eta, MEAN_LOSS: samples * eta / 2} | (SCAN if scan else {})


def rotated(centred_features: Tensor, generator: np.random.Generator) -> Tensor:
    """F̃H with a random orthogonal H: the Gaussian surrogate of exactly the same spectrum.

    Features U diag(s) Vᵀ with random U and V have, in law, the Gram of F̃H, which depends on V alone: so a rotation of the
    columns is all of it. H is `ROUNDS` times random signs, a random order and an orthonormal cosine transform, which costs
    n K log K in place of the K³ of a Haar matrix. Column means stay 0.

    Args:
        centred_features: F̃, (n, K) float64. generator: of signs and orders.

    Returns:
        (n, K) float64, where F̃ is.

    Source: ours. Randomised orthogonal transforms: Ailon and Chazelle, SIAM J. Comput. 39 (2009).
    """
    out = centred_features.cpu().numpy().copy()
    width = out.shape[1]
    for _ in range(ROUNDS):
        out = out[:, generator.permutation(width)] * generator.choice((-1.0, 1.0), width)
        out = fft.dct(out, type=2, norm="ortho", axis=1)
    return torch.from_numpy(np.ascontiguousarray(out)).to(centred_features.device)


def permuted(centred_features: Tensor, generator: np.random.Generator) -> Tensor:
    """The samples of each column in a random order of its own: values, means and norms stay, dependence goes.

    Args:
        centred_features: F̃, (n, K) float64. generator: of the orders.

    Returns:
        (n, K) float64, where F̃ is.
    """
    return torch.from_numpy(generator.permuted(centred_features.cpu().numpy(), axis=0)).to(centred_features.device)


def disjoint_pairs(living: Tensor, count: int, generator: np.random.Generator) -> Tensor:
    """Random pairs of living features, no feature in two of them: (count, 2) int64, the smaller index first.

    Args:
        living: (a,) int64, different. count: at most a // 2. generator: of the draw.

    Raises:
        PairError: if there are too few features.

    Example:
        >>> disjoint_pairs(torch.tensor([2, 5, 7, 9]), 2, np.random.default_rng(0)).flatten().sort().values.tolist()
        [2, 5, 7, 9]
    """
    if count > len(living) // 2:
        raise PairError(f"pairs must be at most {len(living) // 2} to share no feature, got {count}. Draw fewer.")
    drawn = torch.from_numpy(generator.permutation(len(living))[: 2 * count].reshape(count, 2))
    return living[drawn].sort(dim=1).values


def upper_inverse(gram_matrix: Tensor, ridge: float) -> Tensor:
    """B = (G + ridge·I)⁻¹ by one Cholesky factor: (K, K) float64, what is below the diagonal not to be read.

    Args:
        gram_matrix: G, (K, K) float64, of which the upper triangle is read; it is kept. ridge: > 0.

    Raises:
        LinAlgError: if G + ridge·I is not positive definite to rounding.
    """
    work = gram_matrix.clone(memory_format=torch.contiguous_format)
    work.diagonal().add_(ridge)
    if placement.on_gpu(work):
        torch_factor, info = torch.linalg.cholesky_ex(work, upper=True)
        failed = int(info)
        inverse = torch_factor if failed else torch.cholesky_inverse(torch_factor, upper=True)
    else:  # upper in our order is lower in LAPACK's, which then does half the work of torch's
        factor, failed = lapack.dpotrf(work.numpy().T, lower=1, clean=0, overwrite_a=1)
        if not failed:
            factor, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
        inverse = torch.from_numpy(factor).T
    if failed:
        raise np.linalg.LinAlgError(f"matrix must be positive definite, got a pivot ≤ 0 at {failed}. Raise the ridge.")
    return inverse


def count_pairs(
    centred_features: Tensor, at: Mapping[str, float], top_pairs: int, fixed: Tensor | None = None, *, bins: bool = True
) -> list[Count]:
    """How many pairs of one set of features repel, at each ridge, by kind of pair and sign of their cosine.

    Args:
        centred_features: F̃, (n, K) float64.
        at: ridges by name, each > 0.
        top_pairs: pairs of `top` and `positive`, ≥ 1.
        fixed: (p, 2) int64, j < l, chosen elsewhere; those of a dead feature are left out.
        bins: whether every pair is counted too, by `EDGES`.

    Raises:
        PairError: if fewer than two features live, or their products overflow.

    Source: pairs by |cos| are Xu's (arXiv 2605.08119, code); `positive`, bins and surrogates are ours.
    """
    g = upper_gram(centred_features)
    if not bool(torch.isfinite(g.sum())):
        raise PairError("features must have finite products, got an overflow. The network is about to diverge.")
    living = g.diagonal() > 0
    kinds = _kinds(g, living, top_pairs, fixed)
    norms = torch.where(living, g.diagonal(), math.inf).sqrt()
    binned = _binned(g, norms, living) if bins else None
    resolved = max(centred_features.shape) * float(np.finfo(np.float64).eps) * float(g.diagonal().sum())
    out = []
    for name, asked in at.items():
        value = max(asked, resolved)
        b = upper_inverse(g, value)
        for kind, (j, l) in kinds.items():
            raw = g[j, l]
            cos, product = raw / norms[j] / norms[l], b[j, l].sign() * raw.sign()
            out += _signs(name, value, kind, product.cpu().numpy(), cos.cpu().numpy())
        if binned is not None:
            out += _bins(name, value, b[binned.mask].sign() * binned.sign, binned)
    return out


class _Binned(NamedTuple):
    """Every pair of living features, in the order of a mask: its bin of |cos| and the sign of cos."""

    mask: Tensor
    place: Tensor
    sign: Tensor


def _kinds(g: Tensor, living: Tensor, top_pairs: int, fixed: Tensor | None) -> dict[str, Tensor]:
    """(2, p) index of the pairs of each kind."""
    kinds = {"top": rank_pairs(g, top_pairs)[0], "positive": rank_pairs(g, top_pairs, signed=True)[0]}
    if fixed is not None:
        kinds["fixed"] = fixed[living.cpu()[fixed].all(dim=1)]
    return {kind: pairs.to(g.device).T for kind, pairs in kinds.items()}


def _binned(g: Tensor, norms: Tensor, living: Tensor) -> _Binned:
    mask = (living & living[:, None]).triu_(1)
    cos = (g / norms / norms[:, None])[mask]
    place = torch.bucketize(cos.abs(), torch.tensor(EDGES, dtype=torch.float64, device=g.device), right=True) - 1
    return _Binned(mask, place.clamp_max_(len(EDGES) - 2), cos.sign())  # a cosine of 1 is in the last bin


def _signs(ridge: str, value: float, kind: str, product: np.ndarray, cos: np.ndarray) -> list[Count]:
    """One kind of pair by sign: `product` is that of the two signs, −1 where a pair repels."""
    out = []
    for sign in (1, -1, 0):
        mine = np.sign(cos) == sign
        if sign == 0 and not mine.any():
            continue
        median = float(np.median(np.abs(cos[mine]))) if mine.any() else math.nan
        repel, tie = int((product[mine] < 0).sum()), int((product[mine] == 0).sum())
        out.append(Count(ridge, value, kind, math.nan, math.nan, sign, int(mine.sum()), repel, tie, median))
    return out


def _bins(ridge: str, value: float, product: Tensor, binned: _Binned) -> list[Count]:
    """Every pair by bin and sign; bins without a pair are left out."""
    out, size = [], len(EDGES) - 1
    group = binned.place + size * (binned.sign < 0)
    group[binned.sign == 0] = 2 * size
    weights = (torch.ones_like(product), (product < 0).double(), (product == 0).double())
    counts, repel, tie = (torch.bincount(group, weight, 2 * size + 1).long().tolist() for weight in weights)
    for place, pairs in enumerate(counts):
        if pairs:
            sign = 0 if place == 2 * size else -1 if place >= size else 1
            low, high = EDGES[place % size], EDGES[place % size + 1]
            out.append(Count(ridge, value, "all", low, high, sign, pairs, repel[place], tie[place], math.nan))
    return out

"""Fourier measures of modular addition: of the first layer's rows, and of the outputs averaged over orbits.

Shapes: M modulus, K width. Pair i of all M² pairs is (i // M, i % M).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from grok.numerics.characters import powers
from grok.numerics.kept import Kept

ROUNDING = 1e-24
"""Share of a neuron's power below which it does not vary: the square of some hundred roundings of float64."""


def dominance(w: Tensor, modulus: int, *, weighted: bool = True, permute: int | None = None, squares: bool = False) -> float:
    """How far one frequency dominates each neuron.

        P_kj = |DFT_k W[0:M, j]|² + |DFT_k W[M:2M, j]|²,  s_kj = P_kj / Σ_k P_kj,  f = Σ_j ω_j max_k s_kj,  k = 1 … ⌊M/2⌋

    Args:
        w: (2M, K), or (2p, K) of multiplication mod p = M + 1. modulus: M.
        weighted: ω_j ∝ ‖w_j‖², since neurons that die lose their frequency; else alike.
        permute: seed of a random order of the tokens, a control; None leaves them.
        squares: Σ_k s_kj² in place of max_k s_kj, the inverse participation ratio.

    Returns:
        In [1/⌊M/2⌋, 1]; NaN where no neuron varies.

    Source: the measure of Nanda et al. (arXiv 2301.05217) without the final network's key frequencies; the weighting is ours.
    """
    found = KEPT.of(w, (modulus, permute), lambda: _shares(w, modulus, permute))
    if found is None:
        return math.nan
    largest, square, sizes = found
    share, weights = square if squares else largest, sizes if weighted else torch.ones_like(sizes)
    return float((weights * share).sum() / weights.sum())


KEPT = Kept()
"""What several variants ask of the same layer."""


def _shares(w: Tensor, modulus: int, permute: int | None) -> tuple[Tensor, Tensor, Tensor] | None:
    """max_k s_kj, Σ_k s_kj² and ‖w_j‖² of the neurons that vary; None where none does."""
    rows = KEPT.of(w, "rows", lambda: w.double().reshape(2, len(w) // 2, -1))
    if rows.shape[1] != modulus:  # multiplication mod a prime: its symbols but 0, in the order of their logarithms
        rows = rows[:, torch.tensor(powers(rows.shape[1]), device=rows.device)]
    if permute is not None:
        order = np.random.default_rng(permute).permutation(modulus)
        rows = rows[:, torch.from_numpy(order).to(rows.device)]
    waves = _waves(modulus).to(rows.device)
    parts = [(waves @ one).square_() for one in rows]  # of so short a series faster than a fast transform
    half = len(waves) // 2
    spectrum = parts[0][:half] + parts[0][half:] + parts[1][:half] + parts[1][half:]
    power = spectrum[1:]
    total = power.sum(dim=0)
    alive = total > ROUNDING * spectrum.sum(dim=0)
    if not bool(alive.any()):
        return None
    sizes = rows.square().sum(dim=(0, 1))
    if not bool(alive.all()):
        power, total, sizes = power[:, alive], total[alive], sizes[alive]
    shares = power / total
    return shares.amax(dim=0), shares.square_().sum(dim=0), sizes


@cache
def _waves(modulus: int) -> Tensor:
    """Cos and sin of 2π k a / M, k = 0 … ⌊M/2⌋, one below the other: (2 (⌊M/2⌋ + 1), M) float64."""
    turns = torch.outer(torch.arange(modulus // 2 + 1), torch.arange(modulus)) % modulus  # exact before it is an angle
    angles = turns.double() * (2 * math.pi / modulus)
    return torch.cat((angles.cos(), angles.sin()))


def orbit_mean(logits: Tensor, modulus: int) -> Tensor:
    """z̄[d], the mean output over all (a, b, c) with (a + b − c) mod M = d: (M,) float64, of outputs without their class mean.

    Args:
        logits: (M², M), all pairs in their order. modulus: M.
    """
    z = logits.double()
    z = z - z.mean(dim=1, keepdim=True)
    sums = z.new_zeros(modulus, modulus).index_add_(0, _sums(modulus, z.device), z) / modulus  # (s, c), s = (a + b) mod M
    index = (torch.arange(modulus)[:, None] - torch.arange(modulus)[None, :]) % modulus
    return z.new_zeros(modulus).index_add_(0, index.flatten().to(z.device), sums.flatten()) / modulus


def _sums(modulus: int, device: torch.device) -> Tensor:
    symbols = torch.arange(modulus, device=device)
    return ((symbols[:, None] + symbols[None, :]) % modulus).flatten()


def explained(logits: Tensor, modulus: int) -> float:
    """FVE = Σ z̄² / Σ z², the share of the outputs' energy that depends on (a + b − c) mod M alone; NaN of no output."""
    z = logits.double()
    energy = float((z - z.mean(dim=1, keepdim=True)).square().sum())
    return modulus**2 * float(orbit_mean(logits, modulus).square().sum()) / energy if energy > 0 else math.nan


def restricted_loss(logits: Tensor, modulus: int, *, cross_entropy: bool = False) -> float:
    """The loss of z̄ in place of z, over all pairs: Σ_d z̄_d² − 2 z̄_0 + 1 − 1/M, since z̄ of the right class is z̄_0.

    Of a cross-entropy log Σ_d exp z̄_d − z̄_0.

    Source: restricted loss of Nanda et al. (arXiv 2301.05217), with orbits in place of the final network's key frequencies.
    """
    mean = orbit_mean(logits, modulus)
    if cross_entropy:
        return float(mean.logsumexp(dim=0) - mean[0])
    return float(mean.square().sum() - 2 * mean[0]) + 1 - 1 / modulus


def excluded_loss(logits: Tensor, inputs: Tensor, labels: Tensor, modulus: int, *, cross_entropy: bool = False) -> float:
    """The training loss of z − z̄.

    Args:
        logits: (M², M), all pairs. inputs: (n, 2) int64, the training pairs. labels: (n,) int64. modulus: M.
        cross_entropy: whether that is the loss, else it is squared.

    Source: as `restricted_loss`.
    """
    mean = orbit_mean(logits, modulus)
    a, b = inputs[:, 0], inputs[:, 1]
    z = logits[a * modulus + b].double()
    shift = ((a + b)[:, None] - torch.arange(modulus, device=a.device)[None, :]) % modulus
    rest = z - z.mean(dim=1, keepdim=True) - mean[shift]
    if cross_entropy:
        return float(torch.nn.functional.cross_entropy(rest, labels))
    hit = rest.gather(1, labels[:, None]).sum()
    return float((rest.square().sum() - 2 * hit) / len(z)) + 1 - 1 / modulus

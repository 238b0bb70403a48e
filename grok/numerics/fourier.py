"""Spectra over depth and over place, entropies of attention, each with what no structure at all gives.

Shapes: D depths, n sequences of T places, H heads, d features.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def elevation(profile: np.ndarray) -> float:
    """Largest share of power of a frequency, in units of an even spread over the bins of the real transform.

        F = max_k |f̂_k|² / Σ_k |f̂_k|² of the profile less its mean;  elevation = F · bins

    Args:
        profile: (D,) a mean response by depth.

    Example: a plain ramp over eleven depths is already elevated.
        >>> round(elevation(np.arange(11.0)), 2), round(elevation(np.arange(11.0) ** 2), 2)
        (3.78, 3.91)

    Source: Xu (arXiv 2604.07380), its code; the bin of the mean counts there although it is empty.
    """
    power = np.abs(np.fft.rfft(profile - profile.mean())) ** 2
    total = power.sum()
    return float(power.max() / total * len(power)) if total > 0 else float("nan")


def by_depth(values: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Mean of a value over the tokens of each depth that occurs, by depth."""
    return np.array([values[depths == depth].mean() for depth in np.unique(depths)])


def positional(hidden: np.ndarray) -> np.ndarray:
    """Share of power of each frequency over places: (T // 2 + 1,), sums to 1.

    Args:
        hidden: (n, T, d), 0 at padding, which alone shapes this spectrum.
    """
    power = (np.abs(np.fft.rfft(hidden, axis=1)) ** 2).mean(axis=(0, 2))
    shares: np.ndarray = power / power.sum()
    return shares


def uniform_entropy(places: int) -> float:
    """Mean entropy of causal attention that is even over what it sees, ln(T!) / T: 2.2827 nats at T = 24."""
    return math.lgamma(places + 1) / places


def entropy(attention: Tensor) -> Tensor:
    """Entropy of each row of attention weights, in nats: (n, H, T, T) to (n, H, T)."""
    return -(attention * attention.clamp(min=torch.finfo(attention.dtype).tiny).log()).sum(dim=-1)


def counting_divergence(attention: Tensor) -> Tensor:
    """How far causal attention is from counting what it sees: KL(mean row ‖ even over t + 1 places), mean over t ≥ 1, nats.

    The mean over sequences is taken first, as published, which hides what depends on the content.

    Args:
        attention: (n, H, T, T).

    Returns:
        (H,) float64; 0 where each row is even.

    Source: Xu (arXiv 2604.07380), its code.
    """
    rows = attention.double().mean(dim=0)
    places = torch.arange(1, rows.shape[-1] + 1, dtype=torch.float64)
    terms = torch.special.xlogy(rows, rows * places[:, None]).sum(dim=-1)
    out: Tensor = terms[:, 1:].mean(dim=1)
    return out

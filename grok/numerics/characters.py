"""Characters of the group of a task: of addition mod M, and, through discrete logarithms, of multiplication mod a prime.

Shapes: p prime, q = p − 1, d dimensions of an embedding, K features.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

TUNED = 0.85
"""Share of a neuron's energy in the block of one frequency above which it is tuned."""


def is_prime(number: int) -> bool:
    """Whether a whole number is a prime.

    Example:
        >>> [n for n in range(12) if is_prime(n)]
        [2, 3, 5, 7, 11]
    """
    return number > 1 and all(number % factor for factor in range(2, math.isqrt(number) + 1))


@cache
def powers(p: int) -> tuple[int, ...]:
    """g⁰ … g^(p−2) mod p of the smallest generator g: the tokens in the order of their discrete logarithms.

    Example:
        >>> powers(7)
        (1, 3, 2, 6, 4, 5)

    Raises:
        ValueError: if p is no prime.
    """
    if not is_prime(p):
        raise ValueError(f"p must be a prime, got {p}. Take the next one.")
    for g in range(1, p):
        found, value = [], 1
        for _ in range(p - 1):
            found.append(value)
            value = value * g % p
        if len(set(found)) == p - 1:
            return tuple(found)
    raise AssertionError  # every prime has a generator


def strengths(rows: Tensor) -> np.ndarray:
    """c_k = √(‖sin_kᵀ W‖² + ‖cos_kᵀ W‖²), k = 1 … ⌊q/2⌋, of rows in the order of the group: (⌊q/2⌋,) float64.

    Sines and cosines have length 1; at k = q/2 the sine vanishes and is left out.

    Args:
        rows: (q, d).
    """
    q = len(rows)
    spectrum = torch.fft.rfft(rows.double(), dim=0)[1:].abs().square().sum(dim=1).cpu().numpy()
    lengths = np.full(len(spectrum), q / 2)
    if q % 2 == 0:
        lengths[-1] = q
    out: np.ndarray = np.sqrt(spectrum / lengths)
    return out


def gini(values: np.ndarray) -> float:
    """Σ_i (2i − n − 1) c_(i) / (n Σ c), c ascending: 0 of equal values, 1 − 1/n of one alone; NaN of zeros."""
    c, n = np.sort(values), len(values)
    total = float(c.sum())
    return float(((2 * np.arange(1, n + 1) - n - 1) * c).sum() / (n * total)) if total > 0 else math.nan


def inverse_participation(values: np.ndarray) -> float:
    """(Σ c²)² / Σ c⁴: how many frequencies there are; NaN of zeros."""
    power = np.square(values)
    fourth = float(np.square(power).sum())
    return float(power.sum()) ** 2 / fourth if fourth > 0 else math.nan


def tuning(maps: Tensor) -> np.ndarray:
    """Largest share of a neuron's energy without its mean that one frequency's block {1, sin_k, cos_k}² holds: (K,) float64.

    Args:
        maps: (q, q, K), a neuron's value on each pair, both in the order of the group. A neuron that does not vary has 0.
    """
    q = len(maps)
    power = torch.fft.fft2(maps.double(), dim=(0, 1)).abs().square()
    power[0, 0] = 0
    total = power.sum(dim=(0, 1))
    shares = []
    for k in range(1, q // 2 + 1):
        block = torch.tensor(sorted({0, k, q - k}), device=maps.device)
        shares.append(power[block][:, block].sum(dim=(0, 1)))
    best = torch.stack(shares).amax(dim=0)
    out: np.ndarray = torch.where(total > 0, best / total.clamp_min(1e-300), 0.0).cpu().numpy()
    return out

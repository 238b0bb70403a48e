"""Multiplication modulo a prime of all pairs without 0: by discrete logarithms it is addition modulo M − 1.

Shapes: M modulus, n training pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from grok.numerics.characters import is_prime
from grok.spec.config import ResolvedConfig
from grok.spec.fields import refuse
from grok.tasks.base import Dataset, Problem, Sizes, Task


def modular_multiplication(modulus: int, n_train: int, seed: int, labels: str = "true") -> Problem:
    """All (M − 1)² pairs (a, b) of 1 … M − 1 with label (a · b) mod M, split by a seeded permutation.

    With `labels="random"` every pair's label is drawn once per seed from 1 … M − 1 (generator seed 1000 + seed).

    Args:
        modulus: M, a prime ≥ 3. n_train: n in [1, (M − 1)² − 1]. seed: of the permutation. labels: `true` or `random`.

    Returns:
        The split task, on the CPU; M symbols and M classes, of which 0 never occurs.

    Raises:
        ValueError: if n_train or labels is out of range, or M is no prime.

    Source: Nguyen (arXiv 2606.17399).
    """
    size = modulus - 1
    if not is_prime(modulus):
        raise ValueError(f"modulus must be a prime, got {modulus}. Take the next one.")
    if not 1 <= n_train < size**2:
        raise ValueError(f"n_train must be in [1, {size**2 - 1}], got {n_train}. Lower it.")
    pairs = torch.cartesian_prod(torch.arange(1, modulus), torch.arange(1, modulus))
    if labels == "true":
        targets = pairs.prod(dim=1) % modulus
    elif labels == "random":
        targets = torch.randint(1, modulus, (size**2,), generator=torch.Generator().manual_seed(1000 + seed))
    else:
        raise ValueError(f"labels must be true or random, got {labels}. Pick one of these.")
    order = torch.randperm(size**2, generator=torch.Generator().manual_seed(seed))
    train, test = order[:n_train], order[n_train:]
    return Problem(pairs[train], targets[train], pairs[test], targets[test], modulus, modulus)


@dataclass(frozen=True, kw_only=True)
class Multiplication(Task):
    """`modular_multiplication` of the config's `modulus`, `n_train`, `seed` and `labels`."""

    def check(self, config: ResolvedConfig) -> None:
        """Refuse a modulus that is no prime."""
        if not is_prime(config.modulus):
            refuse("modulus", "be a prime with task multiplication", config.modulus, "Take the next one")

    def problem(self, config: ResolvedConfig) -> Problem:
        """The split of this seed."""
        return modular_multiplication(config.modulus, config.n_train, config.seed, config.labels)

    def sizes(self, config: ResolvedConfig) -> Sizes:
        """N and (M − 1)² − n pairs of M symbols, M classes."""
        n, m = config.n_train, config.modulus
        return Sizes(train=n, test=(m - 1) ** 2 - n, places=2, symbols=m, classes=m)

    def sentence(self, config: ResolvedConfig) -> str:
        """`multiplication mod 71: 1960 of 4900 pairs train`."""
        labels = "" if config.labels == "true" else " with random labels"
        return f"multiplication mod {config.modulus}{labels}: {config.n_train} of {(config.modulus - 1) ** 2} pairs train"

    def dataset(self, config: ResolvedConfig) -> Dataset:
        """The source is the call of `grok.tasks.multiplication.modular_multiplication`."""
        name = f"multiplication mod {config.modulus}" + (", random labels" if config.labels == "random" else "")
        call = f"modular_multiplication({config.modulus}, {config.n_train}, seed={config.seed}, labels={config.labels!r})"
        return Dataset(name, f"grok.tasks.multiplication.{call}")


TASK = Multiplication(
    title="Multiplication modulo a prime of all pairs without 0, split at random",
    source="Nguyen (arXiv 2606.17399)",
    cost="a permutation of (M − 1)² pairs",
)

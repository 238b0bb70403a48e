"""The task: modular addition, its labels and its seeded split.

Shapes: M modulus, n training pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from grok.spec.config import ResolvedConfig
from grok.tasks.base import Dataset, Problem, Sizes, Task


def modular_addition(modulus: int, n_train: int, seed: int, labels: str = "true") -> Problem:
    """All M² pairs (a, b) with label (a + b) mod M, split by a seeded permutation.

    Pair i has a = i // M and b = i % M. With `labels="random"` every pair's label is drawn once per seed from
    {0, …, M − 1} (generator seed 1000 + seed), the split stays, and nothing can generalise.

    Args:
        modulus: M ≥ 2.
        n_train: n, training pairs in [1, M² − 1].
        seed: of the permutation; the first n entries train, the rest test.
        labels: `true` or `random`.

    Returns:
        The split task, on the CPU.

    Raises:
        ValueError: if n_train or labels is out of range.

    Source: Xu (arXiv 2605.08119) §2 = Tian (arXiv 2509.21519) Fig. 3; random labels are ours.
    """
    total = modulus * modulus
    if not 1 <= n_train < total:
        raise ValueError(f"n_train must be in [1, {total - 1}], got {n_train}. Lower it.")
    index = torch.arange(total)
    pairs = torch.stack((index // modulus, index % modulus), dim=1)
    if labels == "true":
        targets = pairs.sum(dim=1) % modulus
    elif labels == "random":
        targets = torch.randint(0, modulus, (total,), generator=torch.Generator().manual_seed(1000 + seed))
    else:
        raise ValueError(f"labels must be true or random, got {labels}. Pick one of these.")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    train, test = order[:n_train], order[n_train:]
    return Problem(pairs[train], targets[train], pairs[test], targets[test], modulus, modulus)


@dataclass(frozen=True, kw_only=True)
class ModularAddition(Task):
    """`modular_addition` of the config's `modulus`, `n_train`, `seed` and `labels`."""

    def problem(self, config: ResolvedConfig) -> Problem:
        """The split of this seed."""
        return modular_addition(config.modulus, config.n_train, config.seed, config.labels)

    def sizes(self, config: ResolvedConfig) -> Sizes:
        """N and M² − n pairs of M symbols, M classes."""
        n, m = config.n_train, config.modulus
        return Sizes(train=n, test=m * m - n, places=2, symbols=m, classes=m)

    def sentence(self, config: ResolvedConfig) -> str:
        """`addition mod 71: 2016 of 5041 pairs train`."""
        labels = "" if config.labels == "true" else " with random labels"
        return f"addition mod {config.modulus}{labels}: {config.n_train} of {config.modulus**2} pairs train"

    def dataset(self, config: ResolvedConfig) -> Dataset:
        """The name says modulus and labels; the source is the call of `grok.modular_addition`."""
        name = f"addition mod {config.modulus}" + (", random labels" if config.labels == "random" else "")
        split = f"{config.n_train}, seed={config.seed}, labels={config.labels!r}"
        return Dataset(name, f"grok.modular_addition({config.modulus}, {split})")


TASK = ModularAddition(
    title="Addition modulo M of all pairs, split at random",
    source="Xu (arXiv 2605.08119) §2",
    cost="a permutation of M² pairs",
)

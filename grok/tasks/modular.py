"""The task: modular addition, its labels and its seeded split.

Shapes: M modulus, n training pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Problem(NamedTuple):
    """A classification task split in two; inputs are pairs of one-hot positions.

    Attributes:
        train_pairs: (n, 2) int64, values in [0, M).
        train_labels: (n,) int64, values in [0, M).
        test_pairs: (M² − n, 2) int64.
        test_labels: (M² − n,) int64.
        modulus: M, the number of classes.
    """

    train_pairs: Tensor
    train_labels: Tensor
    test_pairs: Tensor
    test_labels: Tensor
    modulus: int


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
    return Problem(pairs[train], targets[train], pairs[test], targets[test], modulus)

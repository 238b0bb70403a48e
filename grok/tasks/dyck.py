"""Dyck-1: the depth of the stack after each bracket of a balanced sequence. The data of the paper, byte for byte.

Shapes: n sequences of T = 24 places; tokens 0 = "(", 1 = ")", 2 = PAD; classes are depths 0 … 12.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from grok.spec.config import ResolvedConfig
from grok.spec.published import DYCK_SEQUENCES
from grok.tasks.base import IGNORED, Dataset, Problem, Sizes, Target, Task

PAIRS, PLACES, PAD, DEPTHS = 12, 24, 2, 13
"""Most pairs of a sequence, its places, the token that fills it up, and classes."""
DATA_SEED = 0
"""Of the sequences and their split, whatever the seed of the run is."""
LABEL_SEED = 1000
"""Random labels are drawn from a generator of this and the run's seed."""


def sequences(count: int = DYCK_SEQUENCES, seed: int = DATA_SEED) -> Tensor:
    """Balanced sequences: 2 to 24 brackets, then PAD.

    The number of pairs is uniform on 1 … 12. Where both moves are legal "(" comes with probability 0.55; a forced move
    draws nothing.

    Returns:
        (count, 24) int64.

    Source: Xu (arXiv 2604.07380), its code: one `random.Random` for all.
    """
    draw = random.Random(seed)  # of the paper's data  # noqa: S311
    out = torch.full((count, PLACES), PAD, dtype=torch.int64)
    for row in range(count):
        pairs = draw.randint(1, PAIRS)
        opened = depth = 0
        for place in range(2 * pairs):
            may_open, may_close = opened < pairs, depth > 0
            opens = draw.random() < 0.55 if may_open and may_close else may_open
            opened, depth = (opened + 1, depth + 1) if opens else (opened, depth - 1)
            out[row, place] = 0 if opens else 1
    return out


def depths(tokens: Tensor) -> Tensor:
    """The depth after each token, (n, T) int64; −100 at PAD."""
    steps = torch.where(tokens == 0, 1, torch.where(tokens == 1, -1, 0))
    return torch.where(tokens == PAD, IGNORED, steps.cumsum(dim=1))


def prefixes(tokens: Tensor) -> list[tuple[int, ...]]:
    """The prefix that ends at each token that is not PAD, row by row."""
    rows = [row[: row.index(PAD)] if PAD in row else row for row in tokens.tolist()]
    return [tuple(row[: end + 1]) for row in rows for end in range(len(row))]


def unseen_prefix(test: Tensor, train: Tensor) -> Tensor:
    """Whether the prefix that ends at a token of the test is in no training sequence; (m, T) bool, False at PAD.

    To a causal network an equal prefix is the same input: what is right there may be memorised.
    """
    known = set(prefixes(train))
    out = torch.zeros(test.shape, dtype=torch.bool)
    out[test != PAD] = torch.tensor([prefix not in known for prefix in prefixes(test)])
    return out


def train_labels(tokens: Tensor, labels: str, seed: int) -> Tensor:
    """Labels of the training sequences, (n, T) int64; −100 at PAD.

    `true`: depths. `random`: uniform on 0 … 12 for each token, so that equal prefixes disagree and no causal network can
    fit them. `prefix`: uniform for each distinct prefix in order of first appearance: they can be memorised, and nothing
    generalises.

    Source: `random` and `prefix` are ours.
    """
    out, real = depths(tokens), tokens != PAD
    if labels == "true":
        return out
    generator = torch.Generator().manual_seed(LABEL_SEED + seed)
    found = prefixes(tokens)
    if labels == "random":
        out[real] = torch.randint(0, DEPTHS, (len(found),), generator=generator)
        return out
    distinct = list(dict.fromkeys(found))
    drawn = dict(zip(distinct, torch.randint(0, DEPTHS, (len(distinct),), generator=generator).tolist(), strict=True))
    out[real] = torch.tensor([drawn[prefix] for prefix in found])
    return out


def dyck(n_train: int = 50, seed: int = 0, labels: str = "true") -> Problem:
    """The paper's 5050 sequences, shuffled; the first n train, the others test.

    Args:
        n_train: n in [1, 5049]; 50 in the paper, which are 576 tokens and 36 distinct sequences.
        seed: of labels that are drawn; the sequences are always the same.
        labels: of the training sequences, `true`, `random` or `prefix`; those of the test are true.

    Raises:
        ValueError: if n_train or labels is out of range.

    Source: Xu (arXiv 2604.07380), its code.
    """
    if not 1 <= n_train < DYCK_SEQUENCES:
        raise ValueError(f"n_train must be in [1, {DYCK_SEQUENCES - 1}], got {n_train}. Lower it.")
    if labels not in ("true", "random", "prefix"):
        raise ValueError(f"labels must be true, random or prefix, got {labels}. Pick one of these.")
    order = torch.randperm(DYCK_SEQUENCES, generator=torch.Generator().manual_seed(DATA_SEED))
    tokens = sequences()[order]
    train, test = tokens[:n_train], tokens[n_train:]
    return Problem(train, train_labels(train, labels, seed), test, depths(test), PAD + 1, DEPTHS)


@dataclass(frozen=True, kw_only=True)
class Dyck(Task):
    """`dyck` of the config's `n_train`, `seed` and `labels`."""

    def problem(self, config: ResolvedConfig) -> Problem:
        """The sequences with this seed's labels."""
        return dyck(config.n_train, config.seed, config.labels)

    def sizes(self, config: ResolvedConfig) -> Sizes:
        """24 places, and a label at each."""
        n = config.n_train
        return Sizes(train=n, test=DYCK_SEQUENCES - n, places=PLACES, symbols=PAD + 1, classes=DEPTHS, outputs=PLACES)

    def sentence(self, config: ResolvedConfig) -> str:
        """`depth of Dyck-1: 50 of 5050 sequences train`."""
        told = {"true": "", "random": " with random labels", "prefix": " with a random label for each prefix"}
        return f"depth of Dyck-1{told[config.labels]}: {config.n_train} of {DYCK_SEQUENCES} sequences train"

    def dataset(self, config: ResolvedConfig) -> Dataset:
        """The source is the call of `grok.tasks.dyck.dyck`."""
        told = {"true": "", "random": ", random labels", "prefix": ", random labels of prefixes"}[config.labels]
        call = f"grok.tasks.dyck.dyck({config.n_train}, seed={config.seed}, labels={config.labels!r})"
        return Dataset(f"Dyck-1 depth{told}", call)


TASK = Dyck(
    title="The depth of the stack after each bracket of a balanced sequence",
    source="Xu (arXiv 2604.07380)",
    cost="none: 5050 short sequences",
    seeded=False,
    disjoint=False,
    targets={
        "train_99_epoch": Target("accuracy/train", 0.99),
        "test_95_epoch": Target("accuracy/test", 0.95),
        "test_98_epoch": Target("accuracy/test", 0.98),
        "test_99_epoch": Target("accuracy/test", 0.99),
    },
)

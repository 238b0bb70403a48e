"""What is read from the hidden states of a task: labels of each place, how they are split, and other labels beside them.

Shapes: n samples, c places that have a label, in the order of samples and then of places.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from grok.numerics import probes
from grok.tasks.base import IGNORED, Problem
from grok.tasks.scan import SOURCE, WORDS

TEST = {"dyck": 300, "scan": 150}
"""Test samples that are measured, the first ones (Xu, arXiv 2604.07380, its code)."""
CURVED = {"scan": 50}
"""Of them, those of the curvature, where it is fewer."""
MODULAR = 3000
"""Of modular addition, which the paper does not measure: enough that each class is there."""
TRAIN = {"dyck": 50, "scan": 128}
"""Training samples of exact second derivatives: all of Dyck-1; the first ones of the others, for time and memory."""
MODULAR_TRAIN = 1024
VERBS = ("walk", "look", "run", "jump", "turn")


@dataclass(frozen=True)
class Targets:
    """Labels and splits.

    Attributes:
        labels: (c,) int64. ordered: whether their numbers mean a quantity, as a depth does; a token's or a class's do not.
        token, apart: splits by place as published, and by sample with no prefix on both sides.
        samples: (labels of each sample, split) by name, of `encoder`.
        sign: (c,) ±1 of the token that is read, where there are two; None elsewhere.
    """

    labels: np.ndarray
    ordered: bool
    token: probes.Split
    apart: probes.Split
    samples: dict[str, tuple[np.ndarray, probes.Split]] = field(default_factory=dict)
    sign: np.ndarray | None = None


def parts(name: str, problem: Problem) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], int]:
    """Test samples and training samples that are measured, inputs and labels of each, and how many give the curvature."""
    test, train = TEST.get(name, MODULAR), TRAIN.get(name, MODULAR_TRAIN)
    measured = problem.test_inputs[:test], problem.test_labels[:test]
    exact = problem.train_inputs[:train], problem.train_labels[:train]
    return measured, exact, min(CURVED.get(name, test), len(measured[0]))


def targets(name: str, inputs: Tensor, labels: Tensor) -> Targets:
    """Of the measured test samples.

    Args:
        name: of the task. inputs: (n, …). labels: (n, T) or (n,).
    """
    real = labels != IGNORED
    numbers = labels[real].numpy()
    sample = real.nonzero()[:, 0].numpy()
    if labels.dim() == 1:
        rows = [tuple(row) for row in inputs.tolist()]
        prefixes = rows
    else:
        read = inputs if name == "dyck" else inputs[:, SOURCE:]
        before = [() if name == "dyck" else tuple(row) for row in inputs[:, :SOURCE].tolist()]
        lengths = real.sum(dim=1).tolist()
        rows = [b + tuple(r[:length]) for b, r, length in zip(before, read.tolist(), lengths, strict=True)]
        prefixes = [
            row[: len(b) + end] for b, row, length in zip(before, rows, lengths, strict=True) for end in range(1, length + 1)
        ]
    token = probes.by_token(len(numbers), 0)
    apart = probes.by_sequence(rows, prefixes, sample, 0)
    sign = 1 - 2 * inputs[real].numpy() if name == "dyck" else None
    return Targets(numbers, name == "dyck", token, apart, commands(inputs) if name == "scan" else {}, sign)


def commands(inputs: Tensor) -> dict[str, tuple[np.ndarray, probes.Split]]:
    """Verb, direction and repetition of the first phrase of each command, as classes; 0 where it has none."""
    split = probes.by_token(len(inputs), 0)
    number = {word: place for place, word in enumerate(WORDS, start=3)}
    kinds = {"verb": VERBS, "direction": ("left", "right"), "repetition": ("twice", "thrice")}
    joins = torch.tensor([number["and"], number["after"]])
    out = {}
    for kind, words in kinds.items():
        found = []
        for row in inputs[:, :SOURCE]:
            ends = torch.isin(row, joins).nonzero()
            phrase = row[: int(ends[0])] if len(ends) else row
            there = [place for place, word in enumerate(words, start=1) if bool((phrase == number[word]).any())]
            found.append(there[0] if there else 0)
        out[kind] = np.array(found), split
    return out

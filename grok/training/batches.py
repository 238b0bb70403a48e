"""What a step trains on and what is evaluated: all training samples, or some that are drawn with replacement.

Shapes: S seeds, n training samples, m test samples, B samples of a drawn batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from grok.networks.base import Stack
from grok.spec.config import ResolvedConfig
from grok.tasks.base import Problem

STATE = "batches/generator"
"""The generator before it draws the batch of the epoch that is saved."""


class Batches:
    """The samples of S problems as a network takes them.

    Args:
        config: of the run; its `batch_size` and `eval_sequences`. network: of all seeds.
        problems, seeds: one per seed.

    Attributes:
        train: of the last step. test: what is evaluated.

    Source: drawing with replacement, Xu (arXiv 2604.07380), its code.
    """

    def __init__(self, config: ResolvedConfig, network: Stack, problems: Sequence[Problem], seeds: Sequence[int]) -> None:
        self.network, self.size = network, config.batch_size
        self._inputs = torch.stack([p.train_inputs for p in problems])
        self._labels = torch.stack([p.train_labels for p in problems])
        kept = config.eval_sequences or None
        test_inputs = torch.stack([p.test_inputs[:kept] for p in problems])
        self.test = network.batch(test_inputs, torch.stack([p.test_labels[:kept] for p in problems]))
        self.whole = network.batch(self._inputs, self._labels)
        self.train: Any = self.whole
        self._generators = network.generators(seeds)
        self._before = [generator.get_state() for generator in self._generators]

    def draw(self) -> Any:
        """The batch of the next step: all samples, or B of each seed."""
        if self.size:
            self._before = [generator.get_state() for generator in self._generators]
            size, samples = (self.size,), self._inputs.shape[1]
            rows = torch.stack([torch.randint(0, samples, size, generator=generator) for generator in self._generators])
            seed = torch.arange(len(rows))[:, None]
            self.train = self.network.batch(self._inputs[seed, rows], self._labels[seed, rows])
        return self.train

    def evaluate(self, accuracy: Tensor, due: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Accuracy on all training samples, and loss and accuracy of the test, (S,) float64 each; NaN where not evaluated.

        Args:
            accuracy: of the batch that was just trained on. due: whether this epoch is evaluated.
        """
        unknown = torch.full_like(accuracy, torch.nan)
        if not due:
            return (unknown if self.size else accuracy), unknown, unknown
        return (self.network.evaluate(self.whole)[1] if self.size else accuracy), *self.network.evaluate(self.test)

    def state(self, s: int) -> dict[str, Tensor]:
        """What draws the batch of the present epoch again; nothing where all samples are taken."""
        return {STATE: self._before[s]} if self.size else {}

    def load(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on from `state`s, one per seed."""
        if self.size:
            for generator, state in zip(self._generators, states, strict=True):
                generator.set_state(state[STATE])
            self._before = [generator.get_state() for generator in self._generators]

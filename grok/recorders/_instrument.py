"""A copy of a network whose attention weights can be put to any value, and what is read of it at the places that count.

Shapes: n samples of T places, c places that have a label, in the order of samples and then of places; p weights, d features,
C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from grok.networks._flat import ATTENTION, FlatNetwork, split_keys
from grok.tasks.base import IGNORED

PARTS = 4
"""Parts of like length that samples are passed through in: padding after a label changes nothing but time."""


class Instrument:
    """One seed's network with its attention weights as a vector.

    The network computes where the weights are; vectors that are given and all that is read are on the CPU.

    Args:
        network: of the run. sizes: of the task. weights: by layer. dtype: of the copy.
        inputs: (n, …) int64. labels: (n, T) int64, or (n,).

    Attributes:
        theta: (p,) the attention weights. labels: (c,) int64. sample, place: (c,) int64, of each label.
    """

    def __init__(
        self,
        network: FlatNetwork,
        sizes: Any,
        weights: Mapping[str, Tensor],
        dtype: torch.dtype,
        inputs: Tensor,
        labels: Tensor,
    ) -> None:
        copies = {layer: value.detach().cpu().to(dtype) for layer, value in weights.items()}
        self.device = weights[ATTENTION].device
        self.module: Any = network.module(sizes, copies).requires_grad_(False).to(self.device)
        parameters = dict(self.module.named_parameters())
        self.shapes = {key: parameters[key].shape for key in split_keys(self.module)[ATTENTION]}
        self.theta, self.whole = copies[ATTENTION].clone(), network.whole
        self.inputs, self.grid = inputs.cpu(), labels.cpu()
        real = self.grid != IGNORED
        found = real.nonzero()
        self.labels, self.sample = self.grid[real], found[:, 0]
        self.place = found[:, 1] if self.grid.dim() == 2 else torch.zeros_like(self.sample)
        self._parts, self._back = self._ordered(real)
        self._base: Tensor | None = None
        self._scored = self.theta

    def _ordered(self, real: Tensor) -> tuple[list[tuple[Tensor, int]], Tensor]:
        """Rows and length of each part, and where each label is in what the parts give one after the other."""
        if real.dim() == 1:
            return [(torch.arange(len(real)), 0)], torch.arange(len(real))
        lengths = real.sum(dim=1)
        order = torch.argsort(lengths, stable=True)
        rows = torch.split(order, max(1, -(-len(order) // PARTS)))
        numbers = torch.zeros(real.shape, dtype=torch.int64)
        numbers[real] = torch.arange(int(real.sum()))
        parts = [(one, int(lengths[one].max())) for one in rows]
        given = torch.cat([numbers[one, :length][real[one, :length]] for one, length in parts])
        return parts, torch.argsort(given)

    @property
    def places(self) -> int:
        """T."""
        return self.grid.shape[1] if self.grid.dim() == 2 else 1

    def _named(self, theta: Tensor) -> dict[str, Tensor]:
        parts = torch.split(theta, [shape.numel() for shape in self.shapes.values()])
        return {key: part.view(shape) for (key, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def scores(self, theta: Tensor) -> Tensor:
        """Logits at the places that count with these attention weights, differentiable: (c, C)."""
        named, out = self._named(theta.to(self.device)), []
        for rows, length in self._parts:
            found = torch.func.functional_call(self.module, named, (self.inputs[rows].to(self.device), length)).cpu()
            out.append(found if self.grid.dim() == 1 else found[self.grid[rows, :length] != IGNORED])
        return torch.cat(out)[self._back]

    def loss(self, theta: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return functional.cross_entropy(self.scores(theta), self.labels)

    @torch.no_grad()
    def judge(self, theta: Tensor) -> tuple[float, float, float]:
        """Accuracy as the network counts it, that over places, and KL(as it is ‖ with these weights) per place, nats."""
        if self._base is None:
            self._scored = self.scores(self.theta)
            self._base = self._scored.log_softmax(dim=-1)
        scores = self._scored if theta is self.theta else self.scores(theta.to(self.theta))
        right = (scores.argmax(dim=-1) == self.labels).double()
        kept = torch.ones(len(self.grid), dtype=torch.float64).scatter_reduce(0, self.sample, right, "amin")
        apart = (self._base.exp() * (self._base - scores.log_softmax(dim=-1))).sum(dim=-1)
        by_place = float(right.mean())
        return float(kept.mean()) if self.whole else by_place, by_place, float(apart.double().mean())

    def accuracy(self, theta: Tensor) -> float:
        """As the network counts it: over places, or over samples of which every place is right."""
        return self.judge(theta)[0]

    @torch.no_grad()
    def states(self, theta: Tensor | None = None) -> dict[str, np.ndarray]:
        """Hidden states by name at the places that count, (c, d) each; of `encoder`, a row per sample: (n, d)."""
        self._put(self.theta if theta is None else theta.to(self.theta))
        kept: dict[str, list[Tensor]] = {}
        for rows, length in self._parts:
            counted = self.grid[rows, :length] != IGNORED if self.grid.dim() == 2 else None
            for name, found in self.module.states(self.inputs[rows].to(self.device), length).items():
                state = found.cpu()
                kept.setdefault(name, []).append(state if counted is None or name == "encoder" else state[counted])
        self._put(self.theta)
        samples = torch.argsort(torch.cat([rows for rows, _ in self._parts]))
        return {name: torch.cat(parts)[samples if name == "encoder" else self._back].numpy() for name, parts in kept.items()}

    @torch.no_grad()
    def maps(self) -> dict[str, Tensor]:
        """Attention weights by name, at full length: (n, H, queries, keys)."""
        found: dict[str, Tensor] = self.module.maps(self.inputs.to(self.device), self.places)
        return {name: weights.cpu() for name, weights in found.items()}

    @torch.no_grad()
    def encoded(self) -> np.ndarray | None:
        """What an encoder gives of each sample and place of the source, (n, A, d); None without an encoder."""
        if not hasattr(self.module, "encoded"):
            return None
        found: np.ndarray = self.module.encoded(self.inputs.to(self.device)).cpu().numpy()
        return found

    def filled(self, state: np.ndarray) -> np.ndarray:
        """(c, d) put at its samples and places, 0 where there is no label: (n, T, d)."""
        out = np.zeros((len(self.grid), self.places, state.shape[1]))
        out[self.sample.numpy(), self.place.numpy()] = state
        return out

    def _put(self, theta: Tensor) -> None:
        parameters = dict(self.module.named_parameters())
        for key, value in self._named(theta.to(self.device)).items():
            parameters[key].data = value

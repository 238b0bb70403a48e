"""Small training loops of somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


def network(seed: int = 0, inputs: int = 6, width: int = 9) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, 2))


def batches(count: int, seed: int = 1, inputs: int = 6) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield torch.randn(16, inputs, generator=generator), torch.randn(16, 2, generator=generator)


def loss(model: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    return (model(batch[0]) - batch[1]).square().mean()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 1, after: Any = None) -> None:
    """Plain steps; `after` is called after each."""
    for batch in batches(steps, seed):
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()
        if after is not None:
            after()


def flat(parameters: Any) -> np.ndarray:
    return torch.cat([p.detach().double().flatten() for p in parameters]).numpy()


class Weights:
    """The weights at every call, to compute the truth from: an oracle of its own."""

    def __init__(self, parameters: Any) -> None:
        self.parameters = list(parameters)
        self.seen = [flat(self.parameters)]

    def __call__(self) -> None:
        self.seen.append(flat(self.parameters))

    @property
    def updates(self) -> np.ndarray:
        return np.diff(np.stack(self.seen), axis=0)

    def eigenvalues(self, window: int, count: int = 5) -> np.ndarray:
        """(T + 1, count): by an SVD of each window of float64 updates."""
        updates = self.updates
        out = np.full((len(updates) + 1, count), np.nan)
        for t in range(2, len(updates) + 1):
            values = np.linalg.svd(updates[max(0, t - window) : t], compute_uv=False) ** 2
            out[t, : min(count, len(values))] = values[:count]
        return out


def close(found: np.ndarray, true: np.ndarray, tolerance: float = 1e-6) -> None:
    """Equal up to a share of the first eigenvalue: what float32 updates of float32 weights resolve is 2⁻²³ of the weights."""
    assert found.shape == true.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(true))
    scale = np.nanmax(true, axis=1, initial=0, keepdims=True)
    assert np.nanmax(np.abs(found - true) / np.where(scale > 0, scale, 1)) < tolerance

"""What the measures of an edge are when nothing is learnt: weights that only decay, and AdamW fed with noise.

Shapes: p weights, T intervals.
"""

from __future__ import annotations

import numpy as np
import torch

from grok.numerics.ledger import Keeper, Ledger


def passive_factor(steps: np.ndarray | float, rate: float) -> np.ndarray:
    """(1 − ηω)^t: what is left of a weight that no loss holds.

    Args:
        steps: t. rate: ηω.
    """
    return np.asarray((1.0 - rate) ** np.asarray(steps, dtype=np.float64))


def passive(size: int, intervals: int, every: int, rate: float, lags: int = 21, seed: int = 0) -> Ledger:
    """The ledger of weights from N(0, 1) that decay and do nothing else: grad% 0, cos² 1, rotation 0°.

    Args:
        size: p. intervals: T. every: N steps of each. rate: ηω of a step.
    """
    start = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    keeper, theta = Keeper(start, [slice(0, size)], lags), start.clone()
    for _ in range(intervals):
        decay = torch.zeros_like(theta)
        for _ in range(every):
            decay -= rate * theta
            theta = theta * (1 - rate)
        keeper.take(theta, decay, rate * every)
    return keeper.ledger().of()


def noise(
    size: int,
    intervals: int,
    every: int,
    learning_rate: float,
    weight_decay: float,
    scale: float,
    beta_2: float = 0.98,
    lags: int = 21,
    seed: int = 0,
) -> Ledger:
    """The ledger of AdamW on p weights whose gradient is fresh N(0, 1) noise: no task, no loss, nothing to generalise.

    Adam's step does not depend on the size of a gradient, so that its variance does not matter.

    Args:
        size: p. intervals: T. every: N. learning_rate: η. weight_decay: ω. scale: standard deviation of the initial weights.

    Source: ours.
    """
    generator = torch.Generator().manual_seed(seed)
    theta = torch.nn.Parameter(scale * torch.randn(size, generator=generator))
    optimizer = torch.optim.AdamW([theta], lr=learning_rate, weight_decay=weight_decay, betas=(0.9, beta_2), fused=True)
    keeper, rate = Keeper(theta.detach(), [slice(0, size)], lags), learning_rate * weight_decay
    with torch.no_grad():
        for _ in range(intervals):
            decay = torch.zeros(size, dtype=torch.float64)
            for _ in range(every):
                decay.add_(theta.detach(), alpha=-rate)
                theta.grad = torch.randn(size, generator=generator)
                optimizer.step()
            keeper.take(theta.detach(), decay, rate * every)
    return keeper.ledger().of()

"""A switch: from a step on, another weight decay, fresh moments, or an update whose part along the weights is another; and a
clamp on the norm of all weights.

Shapes: S seeds, p weights of a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from grok.spec.config import ResolvedConfig


class Switch:
    """What a config's switch does to the optimiser and its steps, besides the weight decay of `set_weight_decay`.

    Args:
        config: of the run. layer: whose update is changed, the attention's weights.
    """

    def __init__(self, config: ResolvedConfig, layer: str) -> None:
        self.config, self.layer = config, layer

    def before(self, epoch: int, optimizer: torch.optim.Optimizer) -> None:
        """Before the step of an epoch: at the switch, the moments as they are to be."""
        if 0 < self.config.switch_at == epoch and self.config.switch_state == "reset":
            optimizer.state.clear()

    def after(self, epoch: int, weights: dict[str, Tensor], before: dict[str, Tensor]) -> None:
        """After it: put the part of Adam's update along the weights as the config says; decay stays.

        Args:
            epoch: of the step. weights: (S, p) by layer, changed in place. before: the same before the step.
        """
        if self.config.switch_update == "free" or not 0 < self.config.switch_at <= epoch:
            return
        kept = 1 - self.config.learning_rate * self.config.decay_at(epoch)
        for new, old in zip(weights[self.layer], before[self.layer], strict=True):
            new.add_(along(new.double() - kept * old.double(), old.double(), self.config.switch_update).to(new))


def clamp(config: ResolvedConfig, epoch: int, weights: dict[str, Tensor]) -> None:
    """After the step of an epoch: give all weights of each seed together the norm `clamp_norm`, by one factor.

    Args:
        config: of the run; without a clamp nothing is done. epoch: of the step. weights: (S, …) by layer, changed in place.

    Source: Truong et al. (arXiv 2606.13753); Adam's moments are kept.
    """
    if config.clamp_norm == 0 or epoch < config.clamp_at:
        return
    norms = torch.stack([layer.flatten(1).double().norm(dim=1) for layer in weights.values()]).norm(dim=0)
    for s, norm in enumerate(norms):
        for layer in weights.values():
            layer[s].mul_(float(config.clamp_norm / norm))


def along(update: Tensor, weights: Tensor, how: str) -> Tensor:
    """What to add to an update so that its part along the weights is gone, or on the side of the decay.

        unaligned: −⟨u, θ̂⟩ θ̂        aligned: −(⟨u, θ̂⟩ + |⟨u, θ̂⟩|) θ̂

    Decay is along −θ; `aligned` turns a part that grows the weights into one of the same size that shrinks them.

    Args:
        update: Adam's, (p,) float64. weights: θ, (p,) float64. how: `unaligned` or `aligned`.

    Source: ours; the paper says that alignment with the decay compresses, and did not take it away.
    """
    part = torch.dot(update, weights) / torch.dot(weights, weights)
    return -(part if how == "unaligned" else part + part.abs()) * weights

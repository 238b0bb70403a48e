"""The optimiser of a config, and its state layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from grok.networks.base import Stack
from grok.spec.config import ResolvedConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import accept_own, load_own

State = Mapping[str, Tensor]
"""`LAYER/NAME` to the optimiser's tensors of that layer; empty before the first step."""


def make_optimizer(config: ResolvedConfig, network: Stack) -> torch.optim.Optimizer:
    """The optimiser of a config, on the layers of each seed in turn.

    Eps, momentum and the like are torch's defaults (Xu §2 for Adam), and so is the second beta unless the config says. Adam's
    and SGD's weight decay is L2: η w is added to the gradient, and Adam divides the sum by √v̂, so that a weight shrinks by
    about lr · η / √v̂ of itself a step. AdamW's and Muon's is decoupled: a weight shrinks by lr · η of itself a step, whatever
    its gradient. Muon's step is for matrices and depends on their orientation: the two-layer network's are (2M, K) and (K, M),
    as in σ(XW)V. One of somebody's own says itself what its weight decay is.
    """
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    parameters, betas = network.parameters(), (0.9, config.beta_2)
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, fused=True, betas=betas, **settings)
        case "adamw":
            return torch.optim.AdamW(parameters, fused=True, betas=betas, **settings)
        case "sgd":
            return torch.optim.SGD(parameters, fused=True, **settings)
        case "muon":
            return torch.optim.Muon(parameters, **settings)
        case own:
            return own_optimizer(own)(parameters, **settings)


def own_optimizer(name: str) -> Callable[..., torch.optim.Optimizer]:
    """What makes an optimiser of somebody's own, `module:NAME`: called with parameters, `lr` and `weight_decay`.

    Raises:
        ConfigError: if it cannot be imported or is nothing to call.
    """
    found = load_own("optimizer", name)
    if not callable(found):
        raise ConfigError(f"optimizer must be called, got {name} ({type(found).__name__}). See docs/howto/optimizer.md.")
    accept_own("optimizer", name)
    make: Callable[..., torch.optim.Optimizer] = found
    return make


def set_weight_decay(optimizer: torch.optim.Optimizer, config: ResolvedConfig, epoch: int) -> None:
    """Give the optimiser the weight decay of the step that it takes next, where the config switches it."""
    if config.decay_on_at is None and config.decay_off_at is None and config.switch_at == 0:
        return
    for group in optimizer.param_groups:
        group["weight_decay"] = config.decay_at(epoch)


def clip_gradients(optimizer: torch.optim.Optimizer, layers: int, largest: float) -> None:
    """Scale each seed's gradient to a norm of at most `largest`, over all its layers; 0 leaves it.

    Args:
        optimizer: of `make_optimizer`. layers: of a seed. largest: norm.

    Source: Xu (arXiv 2604.07380), its code: torch's clip_grad_norm_ at 1.
    """
    if largest > 0:
        parameters = optimizer.param_groups[0]["params"]
        for first in range(0, len(parameters), layers):
            torch.nn.utils.clip_grad_norm_(parameters[first : first + layers], largest)


def _places(layers: Sequence[str], seeds: int) -> Iterator[tuple[int, int, str]]:
    """Place among the optimiser's parameters, seed index and layer of each of them, as `Stack.parameters` orders them."""
    for s in range(seeds):
        for index, layer in enumerate(layers):
            yield s * len(layers) + index, s, layer


def optimizer_state(optimizer: torch.optim.Optimizer, layers: Sequence[str], s: int) -> dict[str, Tensor]:
    """Everything that the optimiser keeps for one seed: the live tensors.

    Args:
        optimizer: of `make_optimizer`. layers: names, in order. s: index of the seed.
    """
    parameters = optimizer.param_groups[0]["params"]
    out: dict[str, Tensor] = {}
    for place, owner, layer in _places(layers, len(parameters) // len(layers)):
        if owner == s:
            entry = optimizer.state[parameters[place]]
            out |= {f"{layer}/{name}": value for name, value in entry.items() if isinstance(value, Tensor)}
    return out


def load_optimizer_state(optimizer: torch.optim.Optimizer, layers: Sequence[str], states: Sequence[State]) -> None:
    """Take `optimizer_state`s, one per seed. Tensors are copied in."""
    saved: dict[int, dict[str, Tensor]] = {}
    for place, s, layer in _places(layers, len(states)):
        prefix = f"{layer}/"
        entry = {n.removeprefix(prefix): value.clone() for n, value in states[s].items() if n.startswith(prefix)}
        if entry:
            saved[place] = entry
    optimizer.load_state_dict({**optimizer.state_dict(), "state": saved})

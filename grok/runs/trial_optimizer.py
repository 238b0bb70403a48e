"""An optimiser of one's own, tried on small layers before a run: what resuming, replaying and lockstep seeds ask of it."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor, nn

from grok.spec.config import ResolvedConfig
from grok.spec.fields import ConfigError
from grok.training.optimizers import load_optimizer_state, optimizer_state, own_optimizer

LAYERS = {"a": (4, 3), "b": (3, 2)}
"""Of each seed, by name."""
STEPS = 3
"""Before the state is stored and taken again."""


def check_optimizer(name: str, config: ResolvedConfig) -> None:
    """Refuse an optimiser that a training could not use, store or repeat.

    Args:
        name: `module:NAME`. config: whose learning rate, weight decay and precision it is tried with.

    Raises:
        ConfigError: naming it and what is wrong.
    """
    alone, both = _Tried(name, config, 1), _Tried(name, config, 2)
    for step in range(STEPS):
        alone.step(step)
        both.step(step)
    if not _same(alone.weights(0), both.weights(0)):
        _refuse(name, "step each seed by its own gradient", "which steps it otherwise beside another", "Treat layers alone")
    again = _Tried(name, config, 2, [both.weights(s) for s in range(2)])
    states = [optimizer_state(both.optimizer, tuple(LAYERS), s) for s in range(2)]
    load_optimizer_state(again.optimizer, tuple(LAYERS), states)
    both.step(STEPS)
    again.step(STEPS)
    if any(not _same(both.weights(s), again.weights(s)) for s in range(2)):
        _refuse(
            name,
            "go on from its state to the same bits",
            "which does not",
            "Keep in self.state[parameter] tensors alone, all that the next step needs",
        )


class _Tried:
    """An optimiser on made-up layers of some seeds, and what it must leave alone."""

    def __init__(self, name: str, config: ResolvedConfig, seeds: int, begin: list[dict[str, Tensor]] | None = None) -> None:
        self.name, dtype = name, getattr(torch, config.precision)
        self.parameters: list[nn.Parameter] = []
        for s in range(seeds):
            drawn = torch.Generator().manual_seed(s)
            made = {layer: torch.randn(shape, generator=drawn, dtype=dtype) for layer, shape in LAYERS.items()}
            for value in (begin[s] if begin else made).values():
                parameter = nn.Parameter(value.clone())
                parameter.grad = torch.zeros_like(parameter)
                self.parameters.append(parameter)
        self.optimizer = own_optimizer(name)(self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            _refuse(name, "make a torch.optim.Optimizer", f"which makes {type(self.optimizer).__name__}", "Derive it from that")
        groups = self.optimizer.param_groups
        if len(groups) != 1 or [id(one) for one in groups[0]["params"]] != [id(one) for one in self.parameters]:
            _refuse(name, "have one group of the parameters as they are given", f"with {len(groups)}", "Add no other group")
        if groups[0].get("weight_decay") != config.weight_decay:
            _refuse(name, "keep weight_decay in its group", "without", "Pass it on in defaults: it may be switched in mid-run")

    def weights(self, seed: int) -> dict[str, Tensor]:
        """Of a seed, by layer."""
        first = seed * len(LAYERS)
        mine = self.parameters[first : first + len(LAYERS)]
        return {layer: parameter.detach().clone() for layer, parameter in zip(LAYERS, mine, strict=True)}

    def step(self, number: int) -> None:
        """A step along a made-up gradient, the same for the same seed and number."""
        places = [(one.data_ptr(), id(one.grad)) for one in self.parameters]
        for place, parameter in enumerate(self.parameters):
            drawn = torch.Generator().manual_seed(1000 * place + number)
            assert parameter.grad is not None
            parameter.grad.copy_(torch.randn(parameter.shape, generator=drawn, dtype=parameter.dtype))
        before = [one.detach().clone() for one in self.parameters]
        self.optimizer.step()
        if places != [(one.data_ptr(), id(one.grad)) for one in self.parameters]:
            _refuse(self.name, "write weights in place and keep their gradients", "which replaces them", "Use add_, mul_, …")
        for parameter, old in zip(self.parameters, before, strict=True):
            if not torch.isfinite(parameter).all():
                _refuse(self.name, "give finite weights", "which gives others", "Look for a division by 0 at the first step")
            if torch.equal(parameter, old):
                _refuse(self.name, "move every layer", "which leaves one as it was", "Step all that it is given")


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[layer]) for layer, value in one.items())


def _refuse(name: str, rule: str, what: str, step: str) -> NoReturn:
    raise ConfigError(f"optimizer must {rule}, got {name}, {what}. {step}; docs/howto/optimizer.md has its contract.")

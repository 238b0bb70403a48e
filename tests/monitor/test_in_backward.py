"""Optimisers that hooks of the parameters step in backward."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from grok import SpectralMonitor
from grok.monitor.guard import MonitorWarning
from grok.spec.fields import ConfigError
from tests.monitor.loops import Weights, batches, close, loss, network, train

GLOBAL: dict[Any, torch.optim.Optimizer] = {}


def by_global(parameter: torch.Tensor) -> None:
    GLOBAL[parameter].step()
    GLOBAL[parameter].zero_grad()


class Stepper:
    def __init__(self, optimizers: Any) -> None:
        self.optimizers = optimizers

    def hook(self, parameter: torch.Tensor) -> None:
        self.optimizers[parameter].step()
        self.optimizers[parameter].zero_grad()


def hooks(kind: str, optimizers: dict[Any, torch.optim.Optimizer]) -> Callable[[torch.Tensor], None]:
    def closure(parameter: torch.Tensor) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    def given(several: Any, parameter: torch.Tensor) -> None:
        several[parameter].step()
        several[parameter].zero_grad()

    class Called:  # how it finds its optimisers nobody can tell
        def __call__(self, parameter: torch.Tensor) -> None:
            closure(parameter)

    GLOBAL.clear()
    GLOBAL.update(optimizers)
    return {
        "closure": closure,
        "global": by_global,
        "method": Stepper(optimizers).hook,
        "partial": functools.partial(given, optimizers),
        "hidden": Called(),
    }[kind]


def in_backward(kind: str) -> tuple[nn.Module, dict[Any, torch.optim.Optimizer]]:
    """As torchtune has it: an optimiser for each parameter, stepped by a hook as soon as the gradient is there."""
    model = network()
    optimizers: dict[Any, torch.optim.Optimizer] = {p: torch.optim.SGD([p], lr=0.1) for p in model.parameters()}
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(hooks(kind, optimizers))
    return model, optimizers


@pytest.mark.parametrize("kind", ["closure", "global", "method", "partial"])
def test_hooks_that_step_optimizers_in_backward_are_refused(kind: str) -> None:
    model, optimizers = in_backward(kind)
    monitor = SpectralMonitor(model, 3, strict=True)
    line = (
        "optimizer must step all its parameters at once to be attached, got one that steps in backward (0.weight). "
        "Call monitor.update() after backward."
    )
    for optimizer in (torch.optim.SGD(model.parameters()), next(iter(optimizers.values()))):
        with pytest.raises(ConfigError) as refused:
            monitor.attach(optimizer)
        assert str(refused.value) == line
    weights = Weights(model.parameters())
    monitor.update()
    for batch in batches(6):
        loss(model, batch).backward()  # type: ignore[arg-type]
        monitor.update()
        weights()
    assert monitor.updates == {"all": 6}
    close(monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)


@pytest.mark.parametrize("strict", [False, True])
def test_an_optimizer_that_turns_out_to_step_in_backward_turns_the_monitor_off(strict: bool) -> None:
    """A hook that nobody can look into: it is seen at its first step, and training goes on."""
    model, optimizers = in_backward("hidden")
    monitor = SpectralMonitor(model, 3, strict=strict)
    for name, parameter in model.named_parameters():
        monitor.attach(optimizers[parameter], name)
    start = [p.detach().clone() for p in model.parameters()]
    (batch,) = batches(1)
    line = r"got one that steps in backward \(seen at its first step\)\. Call monitor\.update\(\) after backward\."
    if strict:
        with pytest.raises(ConfigError, match=line):
            loss(model, batch).backward()  # type: ignore[arg-type]
        return
    with pytest.warns(MonitorWarning, match=f"SpectralMonitor is off, training goes on: ConfigError: .*{line}") as told:
        loss(model, batch).backward()  # type: ignore[arg-type]
    assert len(told) == 1
    assert not any(torch.equal(a, b) for a, b in zip(start, model.parameters(), strict=True))
    assert set(monitor.updates.values()) == {0}


def test_hooks_that_step_nothing_are_nobodys_business() -> None:
    """Such as those that look at gradients, and know the optimiser and the step."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms = []

    def look(parameter: torch.Tensor, step: int = 3) -> None:
        norms.append((step, float(parameter.grad.norm()), optimizer.param_groups[0]["lr"]))  # type: ignore[union-attr]

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(look)
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    train(model, optimizer, 4)
    assert monitor.updates == {"all": 4}
    assert len(norms) == 16

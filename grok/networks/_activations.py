"""Elementwise activations with their derivatives; your own is one function of a tensor."""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from grok.networks import _probe
from grok.spec.config import ALIASES
from grok.spec.fields import ConfigError, did_you_mean
from grok.spec.plugins import OWN, said


class Activation(NamedTuple):
    """An elementwise function and its derivative, both of the preactivation.

    Attributes:
        value: σ. derivative: σ′.
        pullback: (g, h) to g ⊙ σ′(h), written over g, where that takes fewer passes than by `derivative`.
        in_place: h to σ(h), written over h, where torch has it.
    """

    value: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    pullback: Callable[[Tensor, Tensor], Tensor] | None = None
    in_place: Callable[[Tensor], Tensor] | None = None

    def over(self, h: Tensor) -> Tensor:
        """σ(h); h is lost."""
        return self.in_place(h) if self.in_place else self.value(h)

    def pull(self, gradient: Tensor, h: Tensor) -> Tensor:
        """Gradient with respect to h from that with respect to σ(h), g ⊙ σ′(h), written over g."""
        return self.pullback(gradient, h) if self.pullback else gradient.mul_(self.derivative(h))


def _gelu_derivative(h: Tensor) -> Tensor:
    density = torch.exp(-0.5 * h * h) / math.sqrt(2 * math.pi)
    cumulative: Tensor = torch.special.ndtr(h)
    return cumulative + h * density


def _silu_derivative(h: Tensor) -> Tensor:
    s = torch.sigmoid(h)
    return s * (1 + h * (1 - s))


def _sigmoid_derivative(h: Tensor) -> Tensor:
    s = torch.sigmoid(h)
    return s * (1 - s)


ACTIVATION_FUNCTIONS: dict[str, Activation] = {
    "square": Activation(lambda h: h * h, lambda h: 2 * h, lambda g, h: g.mul_(h).mul_(2), lambda h: h.mul_(h)),
    "relu": Activation(
        lambda h: h.clamp_min(0),
        lambda h: (h > 0).to(h.dtype),
        lambda g, h: torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g),
        lambda h: h.clamp_min_(0),
    ),
    "abs": Activation(torch.abs, torch.sign),
    "cube": Activation(lambda h: h * h * h, lambda h: 3 * h * h),
    "relu2": Activation(lambda h: h.clamp_min(0).square(), lambda h: 2 * h.clamp_min(0)),
    "gelu": Activation(functional.gelu, _gelu_derivative),
    "silu": Activation(functional.silu, _silu_derivative),
    "tanh": Activation(torch.tanh, lambda h: 1 - torch.tanh(h).square()),
    "sigmoid": Activation(torch.sigmoid, _sigmoid_derivative),
}


def activation(name: str) -> Activation:
    """The activation called `name`, or the function that `module:function` names.

    A function of your own takes and returns a tensor of any shape and must act elementwise; its derivative comes
    from autograd.

    Raises:
        ConfigError: if there is no such activation, module or function, or a training could not use it.
    """
    name = ALIASES.get(name, name)
    if name in ACTIVATION_FUNCTIONS:
        return ACTIVATION_FUNCTIONS[name]
    if not OWN.fullmatch(name):
        known = ", ".join(ACTIVATION_FUNCTIONS)
        step = did_you_mean(name, ACTIVATION_FUNCTIONS, "Pick one or give your own.")
        raise ConfigError(f"activation must be one of {known} or module:function, got {name}. {step}")
    try:
        value = pkgutil.resolve_name(name)
    except BaseException as error:  # whatever a module of somebody else raises, `SystemExit` too
        if isinstance(error, KeyboardInterrupt):
            raise
        reason = said(error)
        raise ConfigError(f"activation must name an importable function, got {name} ({reason}). Check the path.") from error

    def derivative(h: Tensor) -> Tensor:
        with torch.enable_grad():
            x = h.detach().requires_grad_()
            (slope,) = torch.autograd.grad(value(x).sum(), x)
        return slope

    _probe.check(name, value, derivative)
    return Activation(value, derivative)

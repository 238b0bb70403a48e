"""Elementwise activations with their derivatives; your own is one function of a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from grok.networks import _probe
from grok.spec.config import ALIASES
from grok.spec.fields import ConfigError, did_you_mean
from grok.spec.plugins import OWN, OwnCodeError, accept_own, failed, load_own, said


class Activation(NamedTuple):
    """An elementwise function and its derivative, both of the preactivation.

    Attributes:
        value: σ. derivative: σ′.
        pullback: (g, h) to g ⊙ σ′(h) / slope, written over g, where that takes fewer passes than by `derivative`.
        in_place: h to σ(h), written over h, where torch has it.
        second: σ″, or one number where it is one everywhere, with the bits that autograd gives; None of it where it is 0 but at
            kinks. Without it σ″ comes from autograd.
        slope: a power of two that `pull` leaves to whoever sums what it gives: there it rounds nothing and costs no pass.
    """

    value: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    pullback: Callable[[Tensor, Tensor], Tensor] | None = None
    in_place: Callable[[Tensor], Tensor] | None = None
    second: Callable[[Tensor], Tensor | None] | None = None
    slope: float = 1.0

    def over(self, h: Tensor) -> Tensor:
        """σ(h); h is lost."""
        return self.in_place(h) if self.in_place else self.value(h)

    def curvature(self, h: Tensor) -> Tensor | None:
        """σ″(h), or one number where it is one everywhere; None where it is 0 but at kinks."""
        return self.second(h) if self.second else _second(self.value, h)

    def pull(self, gradient: Tensor, h: Tensor) -> Tensor:
        """`slope`-th part of the gradient with respect to h, g ⊙ σ′(h), from that with respect to σ(h); written over g."""
        return self.pullback(gradient, h) if self.pullback else gradient.mul_(self.derivative(h))


def _second(value: Callable[[Tensor], Tensor], h: Tensor) -> Tensor | None:
    """σ″ by autograd."""
    with torch.enable_grad():
        x = h.detach().requires_grad_()
        (slope,) = torch.autograd.grad(value(x).sum(), x, create_graph=True)
        if not slope.requires_grad:
            return None
        (found,) = torch.autograd.grad(slope.sum(), x, allow_unused=True)
    return found


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
    "square": Activation(
        lambda h: h * h,
        lambda h: 2 * h,
        lambda g, h: g.mul_(h),
        lambda h: h.mul_(h),
        lambda h: h.new_tensor(2.0),
        slope=2.0,
    ),
    "relu": Activation(
        lambda h: h.clamp_min(0),
        lambda h: (h > 0).to(h.dtype),
        lambda g, h: torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g),
        lambda h: h.clamp_min_(0),
        lambda h: None,
    ),
    "abs": Activation(torch.abs, torch.sign, second=lambda h: None),
    "cube": Activation(lambda h: h * h * h, lambda h: 3 * h * h),
    "relu2": Activation(
        lambda h: h.clamp_min(0).square(), lambda h: 2 * h.clamp_min(0), second=lambda h: 2 * (h >= 0).to(h.dtype)
    ),
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
    value = load_own("activation", name, "name an importable function", "Check the path.")

    _probe.check(name, value, _derivative(value))
    accept_own("activation", name)
    guarded = _guarded(name, value)
    return Activation(guarded, _guarded(name, _derivative(guarded)))


def _derivative(value: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """σ′ by autograd."""

    def derivative(h: Tensor) -> Tensor:
        with torch.enable_grad():
            x = h.detach().requires_grad_()
            (slope,) = torch.autograd.grad(value(x).sum(), x)
        return slope

    return derivative


def _guarded(name: str, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of somebody's own whose failures name it: what raises late, or changes the shape or the dtype by then."""

    def guarded(h: Tensor) -> Tensor:
        try:
            found = function(h)
        except (KeyboardInterrupt, OwnCodeError):
            raise
        except BaseException as error:  # `SystemExit` too: it would end the command as if all were well
            raise failed("activation", name, said(error)) from error
        if not isinstance(found, Tensor) or found.shape != h.shape or found.dtype != h.dtype:
            told = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise failed("activation", name, f"it gives {told} for {h.dtype} {tuple(h.shape)}")
        return found

    return guarded

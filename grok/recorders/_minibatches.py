"""Gradients on pairs of minibatches and the Hessian of one on the gradient of the other, for a commutator; in float64.

Shapes: B samples of a minibatch, K features, C classes, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from grok.networks._activations import Activation, activation
from grok.networks._pairs import PairStack
from grok.networks.base import Stack
from grok.numerics.dynamics import DISPLACEMENT
from grok.spec.config import ResolvedConfig
from grok.tasks.base import Problem

DRAWS, BATCH = 5, 512
"""Pairs of minibatches of a commutator, and samples of each, drawn with replacement. Source: Xu (arXiv 2602.16967)."""
Layers = tuple[Tensor, Tensor]
"""W and V, or what belongs to each of their entries: (places · symbols, K) and (K, C) float64."""


def minibatch_gradients(config: ResolvedConfig, problem: Problem, stack: Stack) -> Tensor:
    """g_A, g_B, g_B(θ − η_c g_A), g_A(θ − η_c g_B), H_B g_A, H_A g_B of a network of pairs, in float64.

    The two-layer network has them in closed form, with OpenBLAS's products: MKL's have half the rate in these shapes. Networks
    that share an embedding have them by autograd.

    Args:
        config: whose activation and seed count. problem: whose training samples are drawn. stack: of one seed.

    Returns:
        (draws, 6, P).
    """
    generator = np.random.default_rng(config.seed)
    parameters = sum(layer[0].numel() for layer in stack.layers.values())
    draws = torch.empty(DRAWS, 6, parameters, dtype=torch.float64)
    for into in draws:
        one, two = (torch.from_numpy(generator.integers(0, len(problem.train_inputs), BATCH)) for _ in range(2))
        if isinstance(stack, PairStack):
            _by_autograd(into, stack, problem, one, two)
        else:
            _in_closed_form(into, activation(config.activation), stack, problem, one, two)
    return draws


def _by_autograd(into: Tensor, stack: PairStack, problem: Problem, one: Tensor, two: Tensor) -> None:
    """The six of a pair of minibatches, `into` (6, P)."""
    names, shapes = list(stack.layers), [layer.shape[1:] for layer in stack.layers.values()]
    split = [shape.numel() for shape in shapes]
    theta = torch.cat([layer[0].double().cpu().flatten() for layer in stack.layers.values()])

    def gradient(at: Tensor, rows: Tensor, *, again: bool = False) -> tuple[Tensor, Tensor]:
        point = at.clone().requires_grad_()
        parts = (part.view(shape) for part, shape in zip(torch.split(point, split), shapes, strict=True))
        layers = dict(zip(names, parts, strict=True))
        loss = stack.loss(layers, problem.train_inputs[rows], problem.train_labels[rows])[0]
        return point, torch.autograd.grad(loss, point, create_graph=again)[0]

    with torch.enable_grad():
        (at_a, graph_a), (at_b, graph_b) = gradient(theta, one, again=True), gradient(theta, two, again=True)
        a, b = graph_a.detach(), graph_b.detach()
        hb, ha = torch.autograd.grad(graph_b @ a, at_b)[0], torch.autograd.grad(graph_a @ b, at_a)[0]
        after = gradient(theta - DISPLACEMENT * a, two)[1], gradient(theta - DISPLACEMENT * b, one)[1]
    for row, flat in zip(into, (a, b, *after, hb, ha), strict=True):
        row.copy_(flat)


def _in_closed_form(into: Tensor, sigma: Activation, stack: Stack, problem: Problem, one: Tensor, two: Tensor) -> None:
    """The same, each written where it stands."""
    w, v = (layer[0].double().cpu() for layer in stack.layers.values())
    a, b, *after, hb, ha = ((row[: w.numel()].view_as(w), row[w.numel() :].view_as(v)) for row in into)
    first, second = (_Minibatch.of(problem, rows) for rows in (one, two))
    at_a, at_b = first.seen(sigma, w, v, a), second.seen(sigma, w, v, b)
    for batch, step, out in ((second, a, after[0]), (first, b, after[1])):
        batch.seen(sigma, w - DISPLACEMENT * step[0], v - DISPLACEMENT * step[1], out)
    at_b.hessian_times(sigma, *a, hb)
    at_a.hessian_times(sigma, *b, ha)


class _Minibatch(NamedTuple):
    """Samples: the rows of W that each adds up, one (B,) a place, labels (B,), and how many rows W has."""

    places: Sequence[Tensor]
    labels: Tensor
    rows: int

    @classmethod
    def of(cls, problem: Problem, rows: Tensor) -> _Minibatch:
        inputs = problem.train_inputs[rows]
        places = [symbols + place * problem.symbols for place, symbols in enumerate(inputs.T)]
        return cls(places, problem.train_labels[rows], len(places) * problem.symbols)

    def gather(self, w: Tensor) -> Tensor:
        """X W: (B, K)."""
        first, *others = self.places
        out = w.index_select(0, first)
        for rows in others:
            out += w.index_select(0, rows)
        return out

    def scatter(self, of_samples: Tensor, into: Tensor) -> None:
        """Xᵀ times (B, K)."""
        into.zero_()
        for rows in self.places:
            into.index_add_(0, rows, of_samples)

    def seen(self, sigma: Activation, w: Tensor, v: Tensor, gradient: Layers) -> _Seen:
        """The pass forwards and backwards at W and V of the loss ‖ŷ̃ − ỹ‖²/B, ~ without the mean over classes.

        The loss's gradient is in `gradient` then.
        """
        h = self.gather(w)
        f = sigma.value(h)
        outputs = _times(f, v)
        outputs[torch.arange(len(outputs)), self.labels] -= 1
        outputs = (outputs - outputs.mean(dim=1, keepdim=True)) * (2 / len(outputs))
        back = _times(outputs, v.T)
        slope = sigma.derivative(h)
        self.scatter(back * slope, gradient[0])
        _times(f.T, outputs, gradient[1])
        return _Seen(self, v, h, f, outputs, back, slope)


class _Seen(NamedTuple):
    """What a minibatch shows at W and V: h = X W, f = σ(h), ∂L/∂ŷ (B, C), ∂L/∂f and σ′(h)."""

    batch: _Minibatch
    v: Tensor
    h: Tensor
    f: Tensor
    error: Tensor
    back: Tensor
    slope: Tensor

    def hessian_times(self, sigma: Activation, w: Tensor, v: Tensor, into: Layers) -> None:
        """H times a direction, (W, V): the derivative of each step of the pass along it."""
        dh, width = self.batch.gather(w), self.f.shape[1]
        both = dh.new_empty(len(dh), 2 * width)
        df, both[:, width:] = torch.mul(self.slope, dh, out=both[:, :width]), self.f
        error = _times(both, torch.cat((self.v, v)))
        error = (error - error.mean(dim=1, keepdim=True)) * (2 / len(error))
        back = _times(torch.cat((error, self.error), dim=1), torch.cat((self.v, v), dim=1).T).mul_(self.slope)
        bent = sigma.curvature(self.h)
        if bent is not None:
            back += dh.mul_(bent).mul_(self.back)
        self.batch.scatter(back, into[0])
        _times(df.T, self.error, into[1]).add_(_times(self.f.T, error))


def _times(a: Tensor, b: Tensor, into: Tensor | None = None) -> Tensor:
    return torch.from_numpy(np.matmul(a.numpy(), b.numpy(), out=None if into is None else into.numpy()))

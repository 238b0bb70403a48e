"""The floor of an epoch: the matrix products that cannot be avoided, at this machine's best rate for their shapes.

Shapes: n training and m = M² − n test samples, K width, M classes.

    output F(n,K)·V(K,M),  ∂V = Fᵀ(K,n)·∂o(n,M),  ∂F = ∂o(n,M)·Vᵀ(M,K),  test output F(m,K)·V(K,M)

The first layer is a gather and its gradient a segment sum: no product. Nothing that is elementwise, no optimiser step
and no Gram of the updates is counted, so no epoch can reach the floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from grok.numerics.linalg import product
from grok.spec.config import RunConfig
from grok.training.devices import resolve_device


class Product(NamedTuple):
    """One matrix product (rows × inner)·(inner × columns)."""

    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns


def products(config: RunConfig) -> dict[str, Product]:
    """The four products of one epoch of one seed, by name."""
    config = config.resolved()
    n, k, m = int(config.n_train or 0), config.width, config.modulus
    return {
        "output": Product(n, k, m),
        "grad_v": Product(k, n, m),
        "grad_f": Product(n, m, k),
        "test_output": Product(m * m - n, k, m),
    }


def flops(config: RunConfig) -> int:
    """Floating-point operations of the four products."""
    return sum(shape.flops for shape in products(config).values())


class Floor:
    """The four products on buffers that are ready: nothing but the multiplication is timed.

    Args:
        config: its shapes, precision and device; torch's threads are taken as they are.

    Attributes:
        best: seconds of each product, the least of all that were timed so far.
    """

    def __init__(self, config: RunConfig) -> None:
        self.device = resolve_device(config.device)
        self.calls = {name: self._calls(name, shape, config) for name, shape in products(config).items()}
        self.best = dict.fromkeys(self.calls, float("inf"))

    def _calls(self, name: str, shape: Product, config: RunConfig) -> list[Callable[[], Tensor]]:
        """Ways to form the product, the quickest of which counts: torch's own, and the library's of it and of its transpose."""
        options = {"dtype": getattr(torch, config.precision), "device": self.device}
        generator = torch.Generator(self.device).manual_seed(0)
        left = torch.randn(shape.rows, shape.inner, generator=generator, **options)
        right = torch.randn(shape.inner, shape.columns, generator=generator, **options)
        if name == "grad_v":  # as the network has them: Fᵀ and Vᵀ are views of F and V
            left = left.T.contiguous().T
        if name == "grad_f":
            right = right.T.contiguous().T
        out = torch.empty(shape.rows, shape.columns, **options)
        return [
            lambda: torch.mm(left, right, out=out),
            lambda: product(left[None], right.T[None])[0],
            lambda: product(right.T[None], left[None])[0].T,
        ]

    def measure(self, repeats: int = 3) -> float:
        """Time every product some more times; returns the floor of these times alone, in seconds."""
        now = dict.fromkeys(self.calls, float("inf"))
        for _ in range(repeats):
            for name, call in ((name, call) for name, calls in self.calls.items() for call in calls):
                start = time.perf_counter()
                call()
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
                now[name] = min(now[name], time.perf_counter() - start)
        self.best = {name: min(seconds, now[name]) for name, seconds in self.best.items()}
        return sum(now.values())

    @property
    def seconds(self) -> float:
        """The floor: seconds of one epoch of one seed."""
        return sum(self.best.values())

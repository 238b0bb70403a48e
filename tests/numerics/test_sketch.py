"""Sketches: linear, unbiased, and as near as is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from grok.numerics.sketch import SKETCHES, CountSketch, sketch_error
from tests.helpers.references import one_thread  # noqa: F401

KINDS = sorted(SKETCHES)
SIZES = [7000, 1, 33_000, 60_001]


def parts(vector: torch.Tensor) -> list[torch.Tensor]:
    return list(vector.split(SIZES))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sketch_is_linear_and_seeded(kind: str) -> None:
    x, y = torch.randn(2, sum(SIZES), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sketch = SKETCHES[kind](SIZES, 4096, seed=3)
    both = sketch(parts(x + 2 * y))
    torch.testing.assert_close(both, sketch(parts(x)) + 2 * sketch(parts(y)), rtol=0, atol=1e-11)
    assert both.shape == (4096,)
    torch.testing.assert_close(SKETCHES[kind](SIZES, 4096, seed=3)(parts(x)), sketch(parts(x)))
    assert not torch.allclose(SKETCHES[kind](SIZES, 4096, seed=4)(parts(x)), sketch(parts(x)))


@pytest.mark.parametrize("kind", KINDS)
def test_inner_products_are_kept_on_average(kind: str) -> None:
    """The mean of 200 sketches of 64 numbers; a product's variance is at most 2 |x|² |y|² / m."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 3000, dtype=torch.float64, generator=generator)
    x[:5] *= 40  # a few entries that stick out
    found = [(sketch([x]) @ sketch([y])).item() for sketch in (SKETCHES[kind]([3000], 64, seed=s) for s in range(200))]
    spread = (2 / 64 / 200) ** 0.5 * float(x.norm() * y.norm())
    assert abs(np.mean(found) - float(x @ y)) < 4 * spread
    assert np.std(found) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [4096, 16384])
def test_every_eigenvalue_is_as_near_as_is_said(kind: str, width: int) -> None:
    """Down to those that are 10⁻¹⁰ of the first: the error is relative to each."""
    generator = torch.Generator().manual_seed(2)
    window = 16
    basis = torch.randn(window, sum(SIZES), dtype=torch.float64, generator=generator)
    basis[:, torch.randint(0, sum(SIZES), (40,), generator=generator)] *= 30
    mixing = torch.randn(window, window, dtype=torch.float64, generator=generator) * 10 ** torch.linspace(0, -5, window)
    updates = mixing @ basis
    exact = np.linalg.eigvalsh((updates @ updates.T).numpy())
    worst = []
    for seed in range(5):
        sketch = SKETCHES[kind](SIZES, width, seed=seed)
        small = torch.stack([sketch(parts(update)) for update in updates])
        worst.append(np.abs(np.linalg.eigvalsh((small @ small.T).numpy()) / exact - 1).max())
    error = sketch_error(window, width)
    assert max(worst) < 1.1 * error
    assert max(worst) > 0.1 * error  # what is said is no bound far off


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_sketches_of_large_weights_keep_their_small_updates(kind: str, size: float) -> None:
    """Float32 weights of size 1: their sketches differ by the sketch of the difference, to 12 digits of a weight."""
    generator = torch.Generator().manual_seed(3)
    old = torch.randn(300_000, generator=generator)
    new = old + size * torch.randn(300_000, generator=generator)
    sketch = SKETCHES[kind]([300_000], 1 << 14, seed=0)
    true = sketch([new.double() - old.double()])
    assert float((sketch([new]) - sketch([old]) - true).norm() / true.norm()) < 1e-12 / size


class Calls(TorchDispatchMode):
    """Counts what a device would be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def test_runs_that_are_added_together_give_the_same_sketch_in_fewer_calls() -> None:
    """As on a GPU, where each call costs: the same map, summed in another order."""
    run = 4096
    sizes = [5, 70 * run + 3, 0, run, 40 * run]
    one, many = CountSketch(sizes, run, seed=3), CountSketch(sizes, run, seed=3)
    assert one.run == run
    many.at_once = 16
    tensors = [torch.randn(size, generator=torch.Generator().manual_seed(size)) for size in sizes]
    found = []
    for sketch in (one, many):
        with Calls() as calls:
            found.append((sketch(tensors), calls.count))
    (alone, calls_alone), (together, calls_together) = found
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12 * float(alone.abs().max()))
    assert torch.equal(many(tensors), together)
    assert calls_together < calls_alone / 2

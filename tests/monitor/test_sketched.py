"""Large models: sketches in place of updates, above a memory budget or where they are asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from grok import SpectralMonitor
from grok.numerics.sketch import sketch_error
from grok.spec.fields import ConfigError
from tests.helpers.references import one_thread  # noqa: F401
from tests.monitor.loops import batches, loss


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(50, 400), nn.Tanh(), nn.Linear(400, 300), nn.Tanh(), nn.Linear(300, 2))


@pytest.mark.parametrize("kind", ["count", "srht"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_sketched_spectra_are_as_near_as_is_said(kind: str, dtype: torch.dtype) -> None:
    network = model().to(dtype)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    exact = SpectralMonitor(network, 8, strict=True).attach(optimizer)
    sketched = SpectralMonitor(network, 8, sketch=kind, sketch_width=8192, seed=1, strict=True).attach(optimizer)
    for x, y in batches(30, inputs=50):
        optimizer.zero_grad()
        loss(network, (x.to(dtype), y.to(dtype))).backward()
        optimizer.step()
    error = sketched.sketched["all"]
    assert error == sketch_error(8, 8192)
    found, true = sketched.eigenvalues()[8:], exact.eigenvalues()[8:]
    assert np.abs(found / true - 1).max() < 1.2 * error
    assert np.abs(found / true - 1).max() > 1e-4
    gaps = np.abs(sketched.gap()[8:] / exact.gap()[8:] - 1)
    assert gaps.max() < 2 * error / (1 - error)
    np.testing.assert_allclose(sketched.columns()["weight_norm"], exact.columns()["weight_norm"], rtol=3 * (2 / 8192) ** 0.5)
    assert "sketches of 8,192 numbers (λ to about ±6." in repr(sketched)


def test_a_sketch_keeps_no_copy_of_the_weights() -> None:
    network = model()
    monitor = SpectralMonitor(network, 8, sketch="count", sketch_width=1024, strict=True)
    monitor.update()
    (piece,) = monitor._clocks[""].pieces
    kept = piece.grams.ring.numel() * piece.grams.ring.element_size() + piece.previous.numel() * 8  # type: ignore[union-attr]
    assert kept < 60_000 < sum(p.numel() for p in network.parameters())
    assert monitor.memory > kept


def test_the_largest_blocks_are_sketched_first_to_keep_the_budget() -> None:
    network = model()
    whole = SpectralMonitor(network, 8, blocks="layer", history=16, sketch_width=1024)
    assert whole.sketched == {}
    some = SpectralMonitor(network, 8, blocks="layer", history=16, sketch_width=1024, memory_gb=0.7 * whole.memory / 2**30)
    assert list(some.sketched) == ["2"]
    assert some.memory < 0.7 * whole.memory
    every = SpectralMonitor(network, 8, blocks="layer", history=16, sketch_width=1024, sketch="count")
    assert list(every.sketched) == ["0", "2"]  # the last has fewer parameters than a sketch
    with pytest.raises(ConfigError, match=r"^memory_gb must hold .* Raise it, or leave sketch=auto\."):
        SpectralMonitor(network, 8, history=16, memory_gb=0.7 * whole.memory / 2**30, sketch="never")


def test_a_step_that_changes_nothing_is_seen_in_a_sketch_too() -> None:
    network = model()
    monitor = SpectralMonitor(network, 4, sketch="count", sketch_width=256, strict=True)
    for t in range(6):
        monitor.update()
        if t != 2:
            with torch.no_grad():
                network[0].weight[t] += 1
    assert (monitor.skipped, monitor.updates) == (1, {"all": 4})


@pytest.mark.parametrize("kind", ["count", "srht"])
def test_small_eigenvalues_of_small_updates_are_as_near(kind: str) -> None:
    """Float32 weights of size 0.02 whose updates are 10⁻⁶ in one direction and tenths of that in each of four others."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(100_000, generator=generator) * 0.02
    basis = torch.randn(5, 100_000, generator=generator)
    exact = SpectralMonitor(weights, 8, sketch="never", strict=True)
    sketched = SpectralMonitor(weights, 8, sketch=kind, sketch_width=1 << 14, strict=True)
    for _ in range(20):
        exact.update()
        sketched.update()
        weights += 1e-6 * (torch.randn(5, generator=generator) * 10.0 ** -torch.arange(5)) @ basis
    true = exact.eigenvalues()[8:]
    assert (true[:, 4] / true[:, 0]).min() < 1e-6
    assert np.abs(sketched.eigenvalues()[8:] / true - 1).max() < sketched.sketched["all"]


TRANSIENT = """
import sys, torch
from grok.numerics.sketch import SKETCHES, momentary
torch.set_num_threads(1)
kind, dtype, at = sys.argv[1], getattr(torch, sys.argv[2]), sys.argv[3]
sizes = [(1 << 22) + 5]
width = 1 << (16 if at == "cuda" else 10)
sketch = SKETCHES[kind](sizes, width)
if at == "cuda":
    sketch.at_once = 64  # the way of other devices, on this one
weights = [torch.ones(sizes[0], dtype=dtype)]
small = SKETCHES[kind]([1 << 16], 1 << 10)
small([torch.ones(1 << 16, dtype=dtype)])  # what a first matrix product takes for itself
open("/proc/self/clear_refs", "w").write("5")  # the highest of the resident memory begins anew
def highest():
    return 1024 * int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
before = highest()
sketch(weights)
print(highest() - before, momentary(kind, sizes[0], width, at))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the highest memory")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_sketch_takes_the_memory_of_the_moment_that_is_said(dtype: str) -> None:
    """Two vectors of N float64 numbers for `srht`, and not three; next to nothing for `count` on a CPU."""

    def measured(*words: str) -> tuple[int, int]:
        done = subprocess.run([sys.executable, "-c", TRANSIENT, *words], capture_output=True, text=True, check=True)
        taken, said = map(int, done.stdout.split())
        return taken, said

    taken, said = measured("srht", dtype, "cpu")
    assert said == 2 * 8 * (1 << 23)
    assert 0.9 < taken / said < 1.1
    taken, said = measured("count", dtype, "cpu")
    assert said == 0
    assert taken < 4 << 20
    taken, said = measured("count", dtype, "cuda")
    assert 0.9 < taken / said < 1.1


def test_the_memory_of_the_moment_is_said_and_counts() -> None:
    network = model()
    numbers = sum(p.numel() for p in network.parameters())
    assert (1 << 17) < numbers < (1 << 18)
    srht = SpectralMonitor(network, 8, history=16, sketch="srht", sketch_width=1024)
    assert srht.moment == 2 * 8 * (1 << 18)
    assert repr(srht).endswith(", takes 4.0 MiB more while it reads an update")
    assert SpectralMonitor(network, 8, history=16, sketch="count", sketch_width=1024).moment == 0
    limit = (srht.memory + srht.moment) / 2**30
    SpectralMonitor(network, 8, history=16, sketch="srht", sketch_width=1024, memory_gb=limit * 1.001)
    line = (
        r"^memory_gb must hold the updates of the window, got 0\.00\d+ for 0\.00 GiB \(9 updates of 6 parameters, 0\.00 of it "
        r"for the moment of an update\)\. Raise it, .*, or take sketch=count\.$"
    )
    with pytest.raises(ConfigError, match=line):
        SpectralMonitor(network, 8, history=16, sketch="srht", sketch_width=1024, memory_gb=limit * 0.999)
    layers = SpectralMonitor(network, 8, history=16, blocks="layer", sketch="srht", sketch_width=1024)
    assert layers.moment == 2 * 8 * (1 << 17)  # one after the other: of the largest

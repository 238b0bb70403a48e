"""A monitor on a GPU, where there is one: the same numbers as the truth of the weights that it trained.

Every test here needs the card: fused and capturable optimisers, the scaler, autocast, copies between the two memories. What a
GPU changes of our own code is tested without one, as `tests/numerics/test_placement.py` lists.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grok import RollingSpectrum, SpectralMonitor
from tests.monitor.loops import batches, close, network
from tests.monitor.test_devices import Here, Split, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of CUDA")


def on_gpu(seed: int = 0) -> nn.Sequential:
    return network(seed).to("cuda")


def step(model: nn.Module, optimizer: Any, batch: Any, scaler: Any = None, dtype: torch.dtype | None = None) -> None:
    optimizer.zero_grad()
    x, y = batch[0].cuda(), batch[1].cuda()
    with torch.autocast("cuda", dtype=dtype or torch.float16, enabled=dtype is not None):
        loss = (model(x) - y).square().mean()
    if scaler is None:
        loss.backward()
        optimizer.step()
    else:
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"capturable": True}], ids=lambda o: next(iter(o)))
def test_the_spectrum_is_that_of_the_weights(options: dict[str, bool]) -> None:
    model = on_gpu()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, **options)
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    weights = Here(model.parameters())
    for batch in batches(12):
        step(model, optimizer, batch)
        weights()
    assert monitor.updates == {"all": 12}
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-5)


@pytest.mark.parametrize("where", [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
@pytest.mark.parametrize("sketch", ["never", "count", "srht"])
def test_a_block_over_the_gpu_and_the_cpu(where: tuple[str, str], sketch: str) -> None:
    model = Split(*where)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    monitor = SpectralMonitor(model, 3, sketch=sketch, sketch_width=1 << 12, strict=True).attach(optimizer)
    weights = Here(model.parameters())
    train(model, optimizer, 8, after=weights)
    assert monitor.updates == {"all": 8}
    true = weights.eigenvalues(3)
    if sketch == "never":
        close(monitor.eigenvalues(), true, 1e-5)
    else:  # 4096 buckets for 83 numbers: nearly each alone
        assert np.abs(monitor.eigenvalues()[3:, 0] / true[3:, 0] - 1).max() < 0.2


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_skips_never_enters_the_window(fused: bool) -> None:
    model = on_gpu()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40, growth_interval=1000)  # overflows float16 at first
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    weights, before, taken = Here(model.parameters()), scaler.get_scale(), 0
    for batch in batches(60):
        step(model, optimizer, batch, scaler, torch.float16)
        if scaler.get_scale() == before:  # it halves when it skips
            weights()
            taken += 1
        before = scaler.get_scale()
    assert 0 < taken < 60
    assert monitor.updates == {"all": taken}
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-5)
    assert [event for event in monitor.events if event.kind == "divergence"] == []


def test_bfloat16_weights() -> None:
    model = on_gpu().bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    weights = Here(model.parameters())
    for x, y in batches(12):
        optimizer.zero_grad()
        (model(x.cuda().bfloat16()) - y.cuda().bfloat16()).square().mean().backward()
        optimizer.step()
        weights()
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-6)


@pytest.mark.parametrize("sketch", ["never", "count", "srht"])
def test_a_resumed_run_is_an_uninterrupted_one_to_the_bit(sketch: str) -> None:
    width = {} if sketch == "never" else {"sketch_width": 32}
    settings: dict[str, Any] = {"sketch": sketch, "batch": 2, "strict": True, **width}

    def begin() -> tuple[Any, Any, Any]:
        model = on_gpu()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        return model, optimizer, SpectralMonitor(model, 3, **settings).attach(optimizer)

    given = list(batches(14))
    model, optimizer, straight = begin()
    for batch in given[:5]:
        step(model, optimizer, batch)
    file = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict(), straight.state_dict()), file)
    for batch in given[5:]:
        step(model, optimizer, batch)
    file.seek(0)
    model, optimizer, resumed = begin()
    states = torch.load(file, weights_only=True)
    for part, state in zip((model, optimizer, resumed), states, strict=True):
        part.load_state_dict(state)
    for batch in given[5:]:
        step(model, optimizer, batch)
    np.testing.assert_array_equal(resumed.eigenvalues(), straight.eigenvalues())


def test_what_is_not_finite_is_an_event() -> None:
    model = on_gpu()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    for i, batch in enumerate(batches(5)):
        if i == 3:
            with torch.no_grad():
                model[0].bias.fill_(float("nan"))
        step(model, optimizer, batch)
    assert [(event.kind, event.update) for event in monitor.events] == [("divergence", 4)]


def test_a_rolling_spectrum_reads_the_gpu() -> None:
    here, there = RollingSpectrum(3), RollingSpectrum(3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(7):
        weights = torch.randn(50, generator=generator)
        here.update(weights)
        there.update(weights.cuda())
    close(there.eigenvalues(), here.eigenvalues(), 1e-6)

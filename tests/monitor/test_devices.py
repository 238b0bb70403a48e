"""Parameters elsewhere than on the CPU: torch's lazy device stands for a GPU: numpy cannot read its tensors either."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grok import RollingSpectrum, SpectralMonitor
from grok.monitor import budget
from grok.numerics.band import BandedGram
from tests.monitor.loops import Weights, batches, close, loss

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class Split(nn.Module):
    """Each layer on a device of its own."""

    def __init__(self, *devices: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        first, second = nn.Linear(6, 9), nn.Linear(9, 2)
        self.first, self.second, self.devices = first.to(devices[0]), second.to(devices[1]), devices

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.first(x.to(self.devices[0]))).to(self.devices[1])
        out: torch.Tensor = self.second(hidden).cpu()
        return out


class Here(Weights):
    """The weights at every call, brought to the CPU."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [parameter.detach().cpu() for parameter in self._there]

    @parameters.setter
    def parameters(self, there: list[torch.Tensor]) -> None:
        self._there = list(there)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, after: Any = None) -> None:
    for batch in batches(steps):
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()
        if after is not None:
            after()


@pytest.mark.parametrize("where", [("cpu", "lazy"), ("lazy", "cpu"), ("lazy", "lazy")])
@pytest.mark.parametrize("sketch", ["never", "count"])
def test_parameters_of_one_block_on_several_devices(where: tuple[str, str], sketch: str, elsewhere: str) -> None:
    model = Split(*where)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    width = 12 if sketch == "count" else 1 << 17
    monitor = SpectralMonitor(model, 3, sketch=sketch, sketch_width=width, strict=True).attach(optimizer)
    weights = Here(model.parameters())
    train(model, optimizer, 8, after=weights)
    assert [piece.device.type for piece in monitor._clocks[""].pieces] == list(dict.fromkeys(where))
    assert monitor.updates == {"all": 8}
    norms = [float(np.linalg.norm(seen)) for seen in weights.seen]
    if sketch == "never":
        close(monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)
        np.testing.assert_allclose(monitor.columns()["weight_norm"], norms, rtol=1e-5)
    else:  # of so few numbers a sketch is rough; its first eigenvalue is that of a vector of 83
        ratio = monitor.eigenvalues()[3:, 0] / weights.eigenvalues(3)[3:, 0]
        assert 0.2 < ratio.min() <= ratio.max() < 5


def test_a_state_of_another_device_is_loaded_here(elsewhere: str) -> None:
    def make(where: str) -> Any:
        model = Split(where, where)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, SpectralMonitor(model, 3, batch=2, strict=True).attach(optimizer)

    there, optimizer, straight = make("lazy")
    train(there, optimizer, 5)
    file = io.BytesIO()
    torch.save(straight.state_dict(), file)  # which torch cannot do with a tensor of that device
    train(there, optimizer, 9)
    file.seek(0)
    here, again, resumed = make("cpu")
    train(here, again, 5)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    train(here, again, 9)
    assert resumed.updates == straight.updates == {"all": 14}
    close(resumed.eigenvalues(), straight.eigenvalues(), 1e-5)


def test_what_is_not_finite_on_another_device_is_an_event(elsewhere: str) -> None:
    model = Split("lazy", "cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    train(model, optimizer, 3)
    with torch.no_grad():
        model.first.bias[0] = float("nan")
    train(model, optimizer, 2)
    assert [(event.kind, event.update) for event in monitor.events] == [("divergence", 4)]


@pytest.mark.parametrize("size", [50, 1000])
def test_doubles_are_what_is_brought_to_float64_at_a_time(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest copy that the band of a GPU's chunks makes, counted on the CPU; on the CPU itself it stays in the cache."""
    monkeypatch.setattr(budget, "GPU_CHUNK", 64)
    grams = BandedGram(5, size, block=3, chunk=64)
    copied, double = [], torch.Tensor.double
    monkeypatch.setattr(torch.Tensor, "double", lambda x: (copied.append(8 * x.numel()), double(x))[1])
    for _ in range(3):
        grams.append(torch.ones(1, size), torch.zeros(1, size))
    assert max(copied) == budget.doubles(size, grams.slots, torch.device("cuda"))
    assert budget.doubles(size, grams.slots, torch.device("cpu")) == 0


def test_a_rolling_spectrum_reads_another_device(elsewhere: str) -> None:
    here, there = RollingSpectrum(3), RollingSpectrum(3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(7):
        weights = torch.randn(30, generator=generator)
        here.update(weights)
        there.update(weights.to(elsewhere))
    np.testing.assert_array_equal(there.eigenvalues(), here.eigenvalues())


def test_parameters_without_an_address_are_not_tied(elsewhere: str) -> None:
    """Of a device that gives no address of its memory equal shapes say nothing."""
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}).to(elsewhere)
    model["b"].bias = model["a"].bias
    monitor = SpectralMonitor(model, 3)
    assert list(monitor.selection.parameters) == ["a.weight", "a.bias", "b.weight"]
    assert monitor.left_out == {"b.bias": "tied to a.bias"}

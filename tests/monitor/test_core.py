"""The rolling spectrum of anyone's training loop."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grok import RollingSpectrum
from grok.monitor.spectral import SpectralMonitor
from grok.numerics.spectra import gap, rolling_eigenvalues
from grok.spec.fields import ConfigError
from tests.helpers.references import EPS, direct_eigenvalues, one_thread  # noqa: F401

NOISE = 32 * EPS
"""As in tests/numerics/test_spectra.py."""


def test_rolling_spectrum_on_someones_own_loop() -> None:
    """A small nn.Sequential under SGD with momentum, with biases, its parameters changed in place."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.randn(32, 6), torch.randn(32, 2)
    spectrum = RollingSpectrum(window=5, max_window=8)
    assert spectrum.band.shape == (0, 8)
    assert np.isnan(spectrum.eigenvalues()).all()
    seen = []
    for _ in range(15):
        spectrum.update(network.parameters())
        seen.append(torch.cat([p.detach().flatten() for p in network.parameters()]).clone())
        optimizer.zero_grad()
        (network(x) - y).square().mean().backward()
        optimizer.step()
    updates = torch.stack([new - old for old, new in itertools.pairwise(seen)]).numpy()
    for window in (5, 8):
        got = spectrum.eigenvalues(window)
        assert got.shape == (15, 5)
        for epoch in (3, 8, 14):
            expected = direct_eigenvalues(updates, window, epoch)[:5]
            np.testing.assert_allclose(got[epoch, : len(expected)], expected, rtol=0, atol=NOISE * expected[0])
        np.testing.assert_array_equal(spectrum.gap(2, window), gap(got, 2, window))
    np.testing.assert_array_equal(spectrum.gap(), spectrum.gap(2, 5))


def test_rolling_spectrum_of_one_tensor_changed_in_place() -> None:
    weights = torch.zeros(4)
    spectrum = RollingSpectrum(window=3)
    for t in range(5):
        spectrum.update(weights)
        weights += 2.0**t * torch.eye(4)[t % 4]
    np.testing.assert_array_equal(np.sort(spectrum.eigenvalues()[4])[:3], [4.0, 16.0, 64.0])


@pytest.mark.parametrize(
    ("window", "max_window", "words"),
    [
        (1, None, "window must be ≥ 2, updates in the rolling window, got 1. Raise it."),
        (-3, 8, "window must be ≥ 2, updates in the rolling window, got -3. Raise it."),
        (9, 8, "window must be in [2, 8] (max_window), got 9. Raise max_window."),
        (2.5, None, "window must be a whole number, got 2.5."),
        ("20", None, "window must be a whole number, got '20'."),
        (True, None, "window must be a whole number, got True."),
        (None, None, "window must be a whole number, got None."),
        (4, 8.0, "max_window must be a whole number, got 8.0."),
    ],
)
@pytest.mark.parametrize(
    "kind", [RollingSpectrum, lambda *windows: SpectralMonitor(torch.zeros(2), windows[0], max_window=windows[1])]
)
def test_a_bad_window_is_refused(kind: Any, window: Any, max_window: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(words)}"):
        kind(window, max_window)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.zeros(4), "weights must be a tensor or several, got ndarray."),
        ([np.zeros(4)], "weights must be tensors, got ndarray."),
        ([torch.zeros(4), 1.0], "weights must be tensors, got float."),
        ("weights", "weights must be a tensor or several, got str."),
        (None, "weights must be a tensor or several, got NoneType."),
        (torch.zeros(4, dtype=torch.int64), "weights must be dense and floating point, got int64, strided."),
        (torch.zeros(4, dtype=torch.complex64), "weights must be dense and floating point, got complex64, strided."),
        (torch.zeros(4).to_sparse(), "weights must be dense and floating point, got float32, sparse_coo."),
        ([torch.zeros(2), torch.zeros(2, device="meta")], "weights must be on one device, got cpu, meta."),
        (torch.zeros(4, device="meta"), "weights must be on one device, got meta."),
        ([], "weights must have at least one number, got none."),
        (iter(()), "weights must have at least one number, got none."),
        (torch.zeros(5), "weights must stay as they were at the first call, 4 numbers of torch.float32 on cpu, got 5 of"),
        (torch.zeros(4).double(), "weights must stay as they were at the first call, 4 numbers of torch.float32 on cpu, got 4"),
    ],
)
def test_weights_that_cannot_be_read_are_refused_and_change_nothing(weights: Any, words: str) -> None:
    spectrum = RollingSpectrum(3)
    for step in range(4):
        spectrum.update(torch.eye(4)[step])
    before = spectrum.eigenvalues().copy()
    with pytest.raises(ConfigError, match=f"^{re.escape(words)}"):
        spectrum.update(weights)
    np.testing.assert_array_equal(spectrum.eigenvalues(), before)
    spectrum.update(torch.ones(4))
    assert len(spectrum.eigenvalues()) == 5


def test_tensors_of_two_precisions_are_taken_in_the_wider() -> None:
    mixed, wide = RollingSpectrum(3), RollingSpectrum(3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(6):
        half, single = (torch.randn(3, generator=generator).to(kind) for kind in (torch.bfloat16, torch.float32))
        mixed.update([half, single])
        wide.update(torch.cat([half.float(), single]))
    np.testing.assert_array_equal(mixed.eigenvalues(), wide.eigenvalues())


def test_a_window_without_room_is_refused_with_what_it_would_take() -> None:
    with pytest.raises(
        MemoryError, match=r"^max_window must leave room for its updates on cpu, got 1000000000000000 for 4 .* GiB"
    ):
        RollingSpectrum(20, 10**15).update(torch.zeros(4))


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "5"])
def test_a_bad_count_is_refused(count: Any) -> None:
    with pytest.raises(ConfigError, match=r"^count must be a whole number ≥ 1"):
        RollingSpectrum(3).eigenvalues(count=count)
    with pytest.raises(ConfigError, match=r"^k must be a whole number ≥ 1"):
        RollingSpectrum(3).gap(count)


def test_reading_at_every_step_costs_the_same_late_as_early() -> None:
    """Counted, not timed: a call solves one epoch, copies no earlier row, and gives a view of the same memory."""
    spectrum, seen = RollingSpectrum(4), 0
    for step in range(400):
        spectrum.update(torch.full((3,), float(step * step)))
        room, gaps = spectrum.eigenvalues().base, spectrum.gap(2).base
        seen += spectrum.eigenvalues().base is room and spectrum.gap(2).base is gaps
    rows = spectrum.eigenvalues()
    assert seen == 400
    assert len(rows) == 400
    earlier = rows.copy()
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 1
    places = set()
    for step in range(100):
        spectrum.update(torch.full((3,), float(step)))
        places.add(spectrum.eigenvalues().__array_interface__["data"][0])
    assert len(places) == 1, "room is doubled, so that a hundred more epochs move nothing"
    np.testing.assert_array_equal(rows, earlier)


def test_reading_a_rolling_spectrum_at_every_step_is_reading_it_once_at_the_end() -> None:
    weights = torch.from_numpy(np.random.default_rng(3).standard_normal((30, 40))).cumsum(0)
    often, once = RollingSpectrum(5, max_window=8), RollingSpectrum(5, max_window=8)
    for step, row in enumerate(weights):
        often.update(row)
        once.update(row)
        assert often.eigenvalues().shape == (step + 1, 5)
        often.eigenvalues(window=8, count=2)
        often.gap(2)
    for window in (3, 5, 8):
        np.testing.assert_array_equal(often.eigenvalues(window), once.eigenvalues(window))
    np.testing.assert_array_equal(often.eigenvalues(), rolling_eigenvalues(once.band, 5))


@pytest.mark.parametrize("model", [None, 3, "model", np.zeros((2, 3)), [np.zeros(3)], [("a", "b", "c")], {"w": [1.0]}])
def test_a_monitor_of_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"^model must be an nn\.Module or tensors, got \w+\. Pass model or"):
        SpectralMonitor(model)

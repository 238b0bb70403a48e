"""The rolling spectrum of anyone's training loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from grok import RollingSpectrum
from grok.numerics.spectra import gap, rolling_eigenvalues
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


@pytest.mark.parametrize(("window", "max_window"), [(1, None), (9, 8)])
def test_rolling_spectrum_refuses_a_bad_window(window: int, max_window: int | None) -> None:
    with pytest.raises(ValueError, match=r"^window must be in \[2, \d\] \(max_window\), got \d\. Raise"):
        RollingSpectrum(window, max_window)


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

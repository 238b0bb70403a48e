"""Gaps that are told are those of the updates and not of the weights' last digits."""

from __future__ import annotations

import copy
import logging
import re

import numpy as np
import pytest
import torch
from torch import nn

from grok import RollingSpectrum, SpectralMonitor
from grok.monitor.floor import floors

STEPS, WHOLE = 1.2, 1.3
"""Factors by which a gap that is told is off at most, of single steps and of whole trainings, as `floors` says."""


def trained(dtype: torch.dtype, seed: int = 0, steps: int = 600, rate: float = 1e-2, adam: bool = False) -> SpectralMonitor:
    """A full-batch training whose learning rate falls to nothing, from the same weights in every dtype."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).to(dtype)
    optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    if adam:
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(7)).to(dtype)
    monitor = SpectralMonitor(model, 20, watches=(), strict=True).attach(optimizer)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) - x[:, :4]).square().mean().backward()
        optimizer.step()
        schedule.step()
    monitor.detach()
    return monitor


@pytest.mark.parametrize(("seed", "adam"), [(0, False), (1, False), (0, True)])
def test_a_gap_that_is_told_in_float32_is_that_of_float64(seed: int, adam: bool) -> None:
    """And one that was right is told, but for a band of eigenvalues at the floor."""
    low, high = (trained(dtype, seed, rate=1e-3 if adam else 1e-2, adam=adam) for dtype in (torch.float32, torch.float64))
    for k in (1, 2, 3):
        raw = low.eigenvalues()[:, k - 1] / low.eigenvalues()[:, k]
        true = high.eigenvalues()[:, k - 1] / high.eigenvalues()[:, k]
        told = low.gap(k)
        off = np.exp(np.abs(np.log(told / true)))
        known = np.isfinite(told)
        assert known.any()
        assert off[known].max() < WHOLE
        right = np.exp(np.abs(np.log(raw / true))) < 1.05
        assert known[right].mean() > 0.9
        np.testing.assert_array_equal(told[known], raw[known])
    wrong = np.abs(np.log(low.eigenvalues()[:, 1] / low.eigenvalues()[:, 2] / high.gap(2))) > np.log(WHOLE)
    assert wrong.sum() > 50  # there is something to leave out
    assert np.isnan(low.gap(2)[wrong]).all()


def test_a_gap_that_is_told_in_bfloat16_is_that_of_its_exact_updates() -> None:
    """An update in float64 from the same weights, before it is rounded to eight bits."""
    rate, x = 0.3, torch.randn(64, 8, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4)).to(torch.bfloat16)
    monitor = SpectralMonitor(model, 5, watches=(), strict=True)
    exact = copy.deepcopy(model).double()
    updates = []
    monitor.update()
    for t in range(60):
        exact.load_state_dict(model.state_dict())
        exact.zero_grad()
        (exact(x) - torch.sin((t + 1) * x[:, :4])).square().mean().backward()
        step = [rate * 0.95**t * p.grad for p in exact.parameters() if p.grad is not None]
        updates.append(torch.cat([s.flatten() for s in step]).numpy())
        with torch.no_grad():
            for p, s in zip(model.parameters(), step, strict=True):
                p.copy_(p.double() - s)
        monitor.update()
    assert np.isnan(monitor.gap()[5:]).any()
    raw = np.array([np.linalg.svd(np.stack(updates[t - 5 : t]), compute_uv=False) for t in range(5, 61)]) ** 2
    for k in (1, 2, 3):
        told = monitor.gap(k)[5:]
        known = np.isfinite(told)
        assert known.mean() > 0.05
        assert np.exp(np.abs(np.log(told / (raw[:, k - 1] / raw[:, k]))))[known].max() < STEPS


def test_bfloat16_says_nothing_of_what_it_does_not_resolve() -> None:
    low = trained(torch.bfloat16, steps=100)
    assert np.isfinite(low.eigenvalues()[20:, 2]).all()
    assert np.isnan(low.gap(2)[20:]).all()
    np.testing.assert_array_equal(np.isnan(low.columns()["gap_23"]), np.isnan(low.gap(2)))
    floor, values = low.columns()["lambda_floor"], low.eigenvalues()
    assert (values[20:, 2] < floor[20:]).all()


@pytest.mark.parametrize(("dtype", "told"), [(torch.bfloat16, True), (torch.float64, False)])
def test_a_monitor_that_is_blind_says_so(dtype: torch.dtype, told: bool, caplog: pytest.LogCaptureFixture) -> None:
    """That its rules are silent is no good news."""
    torch.manual_seed(0)
    model = nn.Linear(8, 4).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with (
        caplog.at_level(logging.WARNING, "grok.monitor"),
        SpectralMonitor(model, 5, blocks={"w": "weight", "b": "bias"}, strict=True).attach(optimizer),
    ):
        for _ in range(30):
            optimizer.zero_grad()
            model(torch.randn(16, 8).to(dtype)).square().mean().backward()
            optimizer.step()
    line = r"λ₃ of w \(\d of 2 blocks\) is below what the weights' digits resolve at \d+ of 30 updates: no gap there"
    assert [bool(re.fullmatch(line, record.getMessage())) for record in caplog.records] == [True] * told


def test_exactly_rank_one_updates_give_no_alarm() -> None:
    """Two eigenvalues of rounding have a gap that rises and falls as it likes."""
    torch.manual_seed(0)
    weights, direction = torch.randn(1000), torch.randn(1000)
    monitor = SpectralMonitor(weights, 20, strict=True)
    rolling = RollingSpectrum(20)
    for t in range(200):
        monitor.update()
        rolling.update(weights)
        weights += 1e-2 * (0.97**t) * direction
    assert not monitor.events
    assert np.isnan(monitor.gap()).all()
    assert np.isnan(monitor.gap(1)[2:]).all()
    np.testing.assert_array_equal(monitor.eigenvalues(), rolling.eigenvalues())
    assert np.isfinite(rolling.gap()[20:]).all()  # the project's own series is as it was


@pytest.mark.parametrize("settings", [{}, {"sketch": "count", "sketch_width": 512}], ids=["exact", "sketched"])
def test_the_gram_of_weights_in_float64_has_a_floor_too(settings: dict[str, object]) -> None:
    """λ₃ is 10⁻¹⁰, 10⁻¹⁸ of λ₁: the second is below what sums in float64 resolve."""
    found = []
    for small in (1e-5, 1e-9):
        generator = torch.Generator().manual_seed(0)
        weights = torch.zeros(2000, dtype=torch.float64)
        axes = torch.randn(3, 2000, generator=generator, dtype=torch.float64)
        monitor = SpectralMonitor(weights, 3, watches=(), strict=True, **settings)  # type: ignore[arg-type]
        for t in range(12):
            monitor.update()
            weights += (1.0, 0.1, small)[t % 3] * axes[t % 3]
        found.append(monitor.gap()[3:])
    np.testing.assert_allclose(found[0], 1e8, rtol=0.5)
    assert np.isnan(found[1]).all()


def test_the_floor_is_that_of_the_widest_digits_of_each_parameter() -> None:
    """Blocks of two dtypes add up; more steps in an update, more roundings; every window has its own."""
    model = nn.ParameterDict({"a": torch.full((100,), 2.0), "b": torch.full((300,), 1.0, dtype=torch.bfloat16)})
    for every in (1, 4):
        monitor = SpectralMonitor(model, 5, max_window=9, every=every, watches=(), strict=True)
        for _ in range(1 + 2 * every):
            monitor.update()
            with torch.no_grad():
                model["b"].neg_()
        rounding = 4.0 * 100 * 2.0**-48 + 300 * 2.0**-16
        expected = 4 * every * (1 + np.sqrt(5 / 400)) ** 2 * rounding
        np.testing.assert_allclose(monitor.columns()["lambda_floor"], expected, rtol=1e-6)
        wide = monitor._tracks()["all"].series.floors(9)
        np.testing.assert_allclose(wide, expected * ((1 + np.sqrt(9 / 400)) / (1 + np.sqrt(5 / 400))) ** 2, rtol=1e-6)


def test_the_floor_remembers_the_largest_weights_of_the_window() -> None:
    np.testing.assert_array_equal(floors(np.array([9.0, 1.0, np.nan, 1.0, 1.0]), 2, 2) / 16, [9, 9, 9, 1, 1])
    assert floors(np.array([np.nan]), 2, 2).tolist() == [0.0]


def test_a_resumed_run_has_the_same_floor() -> None:
    whole = trained(torch.float32, steps=60)
    state = whole.state_dict()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    again = SpectralMonitor(model, 20, watches=(), strict=True)
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.gap(), whole.gap())
    np.testing.assert_array_equal(again.columns()["lambda_floor"], whole.columns()["lambda_floor"])
    for clock in state["clocks"].values():
        for track in clock["tracks"].values():
            del track["series"]["rounding"], track["series"]["columns"]["lambda_floor"]
    again.load_state_dict(state)  # one of before the floor was known
    assert (again.columns()["lambda_floor"] == 0).all()

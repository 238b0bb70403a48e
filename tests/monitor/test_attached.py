"""What is attached: two monitors on one optimiser, and steps that nobody saw."""

from __future__ import annotations

import copy
import io
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grok import SpectralMonitor
from grok.monitor.guard import MonitorWarning
from grok.signals.topology import compute
from tests.helpers.references import one_thread  # noqa: F401
from tests.monitor.loops import Weights, close, network, train


def test_no_module_and_no_parameter_has_a_hook() -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    SpectralMonitor(model, 3, strict=True).attach(optimizer)
    train(model, optimizer, 3)
    for module in model.modules():
        assert not [name for name, value in vars(module).items() if "hooks" in name and value]
    for parameter in model.parameters():
        assert not parameter._backward_hooks
        assert not parameter._post_accumulate_grad_hooks


# two monitors


def test_two_monitors_of_one_optimizer_are_each_as_if_alone() -> None:
    def run(windows: tuple[int, ...]) -> list[SpectralMonitor]:
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        monitors = [SpectralMonitor(model, window, blocks="layer", strict=True).attach(optimizer) for window in windows]
        train(model, optimizer, 9)
        return monitors

    for together, (alone,) in zip(run((3, 5)), (run((3,)), run((5,))), strict=True):
        assert together.updates == {"0": 9, "2": 9}
        for block, name in itertools.product(alone.blocks, alone.columns()):
            np.testing.assert_array_equal(together.columns(block)[name], alone.columns(block)[name], err_msg=name)


def test_one_of_two_monitors_may_leave() -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first, second = (SpectralMonitor(model, 3, strict=True).attach(optimizer) for _ in range(2))
    train(model, optimizer, 4)
    first.detach()
    twin, twins = copy.deepcopy((model, optimizer))
    with pytest.warns(MonitorWarning, match="A deep copy of a monitored AdamW steps") as told:  # still told: one is attached
        train(twin, twins, 3)
    assert len(told) == 1
    weights = Weights(model.parameters())
    train(model, optimizer, 5, after=weights)
    assert (first.updates, second.updates) == ({"all": 4}, {"all": 9})
    close(second.eigenvalues()[-1:], weights.eigenvalues(3)[-1:], 1e-5)
    second.detach()
    assert type(optimizer.defaults) is dict
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks


# steps that nobody saw


def spectra(updates: np.ndarray, window: int) -> np.ndarray:
    """(T + 1, 5): by an SVD of each window of updates."""
    out = np.full((len(updates) + 1, 5), np.nan)
    for t in range(2, len(updates) + 1):
        values = np.linalg.svd(updates[max(0, t - window) : t], compute_uv=False) ** 2
        out[t, : len(values)] = values[:5]
    return out


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sketch", ["never", "count"])
def test_steps_that_nobody_saw_are_no_update(batch: int, sketch: str) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    exact = sketch == "never"
    monitor = SpectralMonitor(
        model, 4, batch=batch, sketch=sketch, sketch_width=64, signals=("clock",), watches=(), strict=True
    )
    before, after = Weights(model.parameters()), Weights(model.parameters())
    monitor.attach(optimizer)
    train(model, optimizer, 6, after=before)
    monitor.detach()
    train(model, optimizer, 40, seed=2)
    monitor.attach(optimizer)
    after.seen[0] = torch.cat([p.detach().double().flatten() for p in model.parameters()]).numpy()
    train(model, optimizer, 6, seed=3, after=after)
    assert monitor.updates == {"all": 12}
    assert monitor.columns()["step"].tolist() == list(range(13))
    unseen = np.linalg.norm(after.seen[0] - before.seen[-1])
    updates = np.concatenate((before.updates, after.updates))
    assert unseen > 3 * np.linalg.norm(updates, axis=1).max()  # it would stand out
    true, found = spectra(updates, 4), monitor.eigenvalues()
    if exact:
        close(found, true, 1e-5)
    else:
        assert np.abs(found[2:, 0] / true[2:, 0] - 1).max() < 2 * (2 * (4 / 64) ** 0.5 + 4 / 64)


@pytest.mark.parametrize("around", [False, True])
def test_weights_that_are_loaded_are_no_update_where_the_monitor_is_detached_around_them(around: bool) -> None:
    """To one that stays attached they are part of the next."""
    model, best = network(), network(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    train(model, optimizer, 3)
    if around:
        monitor.detach()
    weights = Weights(model.parameters())
    model.load_state_dict(best.state_dict())
    if around:
        monitor.attach(optimizer)
        weights = Weights(model.parameters())
    train(model, optimizer, 1, seed=2, after=weights)
    assert monitor.updates == {"all": 4}
    norm = monitor._clocks[""].tracks["all"].series.band.values[-1, 0] ** 0.5
    np.testing.assert_allclose(norm, np.linalg.norm(weights.updates[-1]), rtol=1e-4)
    assert (norm < 0.1) == around


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("how", ["again", "resumed"])
def test_a_pause_without_steps_changes_nothing(every: int, how: str) -> None:
    """Of an interval that had begun too; and where the state was saved after `detach`, as at the end of a fit."""

    def make() -> Any:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        return model, optimizer, SpectralMonitor(model, 4, every=every, strict=True).attach(optimizer)

    model, optimizer, straight = make()
    train(model, optimizer, 7)
    train(model, optimizer, 8, seed=2)
    model, optimizer, paused = make()
    train(model, optimizer, 7)
    paused.detach()
    if how == "again":
        paused.attach(optimizer)
    else:
        file = io.BytesIO()
        torch.save([model.state_dict(), optimizer.state_dict(), paused.state_dict()], file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        model, optimizer, paused = make()
        for one, state in zip((model, optimizer, paused), saved, strict=True):
            one.load_state_dict(state)
    train(model, optimizer, 8, seed=2)
    assert paused.updates == {"all": 15 // every}
    for name, column in straight.columns().items():
        np.testing.assert_array_equal(paused.columns()[name], column, err_msg=name)


def test_an_interval_begins_anew_after_steps_that_nobody_saw() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = SpectralMonitor(model, 4, every=3, strict=True).attach(optimizer)
    train(model, optimizer, 7)  # updates at 3 and 6
    monitor.detach()
    train(model, optimizer, 5)
    monitor.attach(optimizer)
    weights = Weights(model.parameters())
    count = iter(range(1, 100))
    train(model, optimizer, 6, seed=2, after=lambda: weights() if next(count) % 3 == 0 else None)
    assert monitor.columns()["step"].tolist() == [0, 3, 6, 10, 13]
    ours = monitor._clocks[""].tracks["all"].series.band.values[3:, 0]  # the squared norms of the last two
    np.testing.assert_allclose(ours, (weights.updates**2).sum(1), rtol=1e-5)


def test_signals_of_the_matrices_see_no_move_that_nobody_saw() -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2, weight_decay=0.5)
    blocks = {"both": "weight$"}
    monitor = SpectralMonitor(model, 4, blocks=blocks, signals=("topology",), watches=(), strict=True).attach(optimizer)

    def now() -> dict[str, torch.Tensor]:
        return {"w": model[0].weight.detach().T.clone(), "v": model[2].weight.detach().T.clone()}

    seen: list[Any] = [now()]
    train(model, optimizer, 30, after=lambda: seen.append(now()))
    moved: list[Any] = [None, *({n: b[n] - a[n] for n in b} for a, b in itertools.pairwise(seen))]
    monitor.detach()
    train(model, optimizer, 30, seed=2)
    monitor.attach(optimizer)
    again = [now()]
    train(model, optimizer, 30, seed=3, after=lambda: again.append(now()))
    moved += [{n: b[n] - a[n] for n in b} for a, b in itertools.pairwise(again)]
    true = [compute(weights, move) for weights, move in zip(seen + again[1:], moved, strict=True)]
    found = monitor._clocks[""].tracks["both"].matrices._values["topology"].values
    np.testing.assert_allclose(found, true, rtol=1e-9)  # the Fiedler value, and the entropy of the move
    assert np.isfinite(found[1:]).all()


def test_by_hand_after_an_optimizer_the_first_call_is_before_the_first_step() -> None:
    weights = nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([weights], lr=1.0)
    monitor = SpectralMonitor({"w": weights}, 3, strict=True).attach(optimizer)
    for t in range(3):
        weights.grad = torch.eye(3)[t]
        optimizer.step()
    monitor.detach()
    with torch.no_grad():
        weights += 100
        for t in range(3):
            monitor.update()
            weights += torch.eye(3)[t]
        monitor.update()
    assert monitor.updates == {"all": 6}
    np.testing.assert_allclose(monitor.eigenvalues(count=3)[-1], [1.0, 1.0, 1.0])

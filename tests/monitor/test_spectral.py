"""SpectralMonitor in loops that are not ours: what enters the window, and what does not."""

from __future__ import annotations

import copy
import io
import itertools
import logging
import pickle
import shutil
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint

from grok import RollingSpectrum, RunConfig, SpectralMonitor
from grok.monitor.series import GIVEN, SIGNALS
from grok.monitor.spectral import MonitorWarning
from grok.runs.member import Member
from grok.signals.base import find as find_signal
from grok.signals.base import series
from grok.spec.fields import ConfigError
from grok.spec.plugins import SIGNALS as ROOM
from grok.training.loop import Training
from tests.helpers.references import one_thread  # noqa: F401
from tests.monitor.loops import Weights, batches, close, loss, network
from tests.monitor.loops import train as steps

# what it says


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_says_what_the_rolling_spectrum_says_to_the_bit(dtype: torch.dtype) -> None:
    model = network().to(dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    monitor = SpectralMonitor(model, 5, max_window=8, strict=True).attach(optimizer)
    rolling = RollingSpectrum(5, 8)
    rolling.update(model.parameters())
    for x, y in batches(15):
        optimizer.zero_grad()
        loss(model, (x.to(dtype), y.to(dtype))).backward()
        optimizer.step()
        rolling.update(model.parameters())
    np.testing.assert_array_equal(monitor.eigenvalues(), rolling.eigenvalues())
    np.testing.assert_array_equal(monitor.eigenvalues(count=3), rolling.eigenvalues()[:, :3])
    for window in (2, 8):
        np.testing.assert_array_equal(monitor.eigenvalues(window=window), rolling.eigenvalues(window))
        np.testing.assert_array_equal(monitor.gap(2, window=window), rolling.gap(2, window))


def test_our_own_trainer_records_the_same(tiny: Any) -> None:
    """One implementation: a run's history has the eigenvalues that a monitor of its weights has."""
    config: RunConfig = tiny(precision="float64", spectrum_methods=("gram",))
    training = Training(config)
    member = Member(training, 0)
    monitor: SpectralMonitor | None = None
    for record in training:
        member.add(record, record.scores[0].numpy())
        if monitor is None:
            monitor = SpectralMonitor(record.weights, config.window, blocks={"w": "^w$", "v": "^v$"}, strict=True)
        monitor.update(record.epoch)
    member.extend()
    history = member.run.frame()
    assert monitor is not None
    for layer in ("w", "v"):
        ours = np.stack([history[f"delta_{layer}/lambda_{k}"] for k in range(1, 6)], axis=1)
        found = monitor.eigenvalues(layer)
        assert found.shape == ours.shape == (config.epochs + 1, 5)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(ours))
        scale = np.nanmax(ours, axis=1, keepdims=True, initial=1e-300)
        assert np.nanmax(np.abs(found - ours) / scale) < 1e-13  # products in blocks are summed in another order: a few ε of λ₁


def test_blocks_are_their_own_parameters() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    by_layer = SpectralMonitor(model, 4, blocks="layer", strict=True).attach(optimizer)
    by_name = SpectralMonitor(model, 4, blocks={"weights": r"weight$", "first": r"^0\."}, strict=True).attach(optimizer)
    first, weights = Weights(model[0].parameters()), Weights([model[0].weight, model[2].weight])
    steps(model, optimizer, 12, after=lambda: (first(), weights()))
    assert by_layer.blocks == ("0", "2")
    assert by_name.blocks == ("weights", "first")
    close(by_layer.eigenvalues("0"), first.eigenvalues(4))
    np.testing.assert_array_equal(by_layer.eigenvalues("0"), by_name.eigenvalues("first"))
    close(by_name.eigenvalues("weights"), weights.eigenvalues(4))
    with pytest.raises(ConfigError, match=r"^block must be one of 0, 2, got 1\."):
        by_layer.eigenvalues("1")


@pytest.mark.parametrize("every", [2, 3])
def test_an_update_may_be_several_steps(every: int) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    monitor = SpectralMonitor(model, 4, every=every, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    count = iter(range(1, 100))
    steps(model, optimizer, 20, after=lambda: weights() if next(count) % every == 0 else None)
    assert monitor.updates == {"all": 20 // every}
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-5)
    assert monitor.columns()["step"].tolist() == list(range(0, 21, every))


@pytest.mark.parametrize("batch", [2, 5])
def test_batches_change_when_rows_come_and_not_what_they_say(batch: int) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    one = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    some = SpectralMonitor(model, 4, batch=batch, strict=True).attach(optimizer)
    steps(model, optimizer, 21)
    known = 21 // batch * batch
    assert some.updates == {"all": known}
    close(some.eigenvalues(), one.eigenvalues()[: known + 1], 1e-13)
    np.testing.assert_allclose(some.columns()["weight_norm"], one.columns()["weight_norm"][: known + 1])
    assert some.columns()["step"].tolist() == list(range(known + 1))


def test_signals_are_those_of_the_project() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    steps(model, optimizer, 9, after=weights)
    found, updates = monitor.columns(), weights.updates
    norms = np.linalg.norm(np.stack(weights.seen), axis=1)
    np.testing.assert_allclose(found["weight_norm"], norms, rtol=1e-6)
    turns = [1 - (a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.pairwise(updates)]
    np.testing.assert_allclose(found["cosine"][2:], turns, atol=1e-6)
    np.testing.assert_array_equal(found["gap_23"], monitor.gap(2))
    np.testing.assert_array_equal(found["gap_12"], monitor.gap(1))
    np.testing.assert_array_equal(found["gap_34"], monitor.gap(3))
    np.testing.assert_array_equal(found["clock"], np.arange(10))
    with pytest.raises(ConfigError, match=r"^signals must need no more than the weights .* got loss \(train_loss\)\."):
        SpectralMonitor(model, signals=("loss",))


WEIGHTS_ONLY = [name for name in ROOM.names if set(find_signal(name).needs) <= set(GIVEN)]


@pytest.mark.parametrize("name", WEIGHTS_ONLY)
def test_every_signal_of_weights_alone_is_the_same_live_and_after(name: str) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    monitor = SpectralMonitor(model, 4, signals=(name,), watches=(), strict=True).attach(optimizer)
    plain = SpectralMonitor(model, 4, watches=(), strict=True).attach(optimizer)
    steps(model, optimizer, 14)
    kept = plain._clocks[""].tracks["all"].series
    given = {
        "band": kept.band.values,
        "eigenvalues": kept.eigenvalues.values,
        "norms": kept.columns["norm"].values[:, None],
        "epoch": np.arange(15),
        "window": 4,
    }
    signal = find_signal(name)
    assert set(SIGNALS) <= set(WEIGHTS_ONLY)
    for variant in signal.variants:
        column = f"{name}_{variant}" if variant else name
        np.testing.assert_allclose(monitor.columns()[column], series(signal, given, variant), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.complex64])
def test_every_dtype_has_a_float64_gram(dtype: torch.dtype) -> None:
    """Weights in few digits: their updates are what they are, and the Gram of those is exact."""
    weights = torch.zeros(40, dtype=dtype)
    monitor = SpectralMonitor(weights, 4, strict=True)
    generator = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(9):
        monitor.update()
        seen.append(torch.view_as_real(weights).flatten() if dtype.is_complex else weights.clone())
        seen[-1] = seen[-1].double().clone()
        weights += torch.randn(40, generator=generator).to(dtype)
    updates = np.diff(torch.stack(seen).numpy(), axis=0)
    gram = updates[-4:] @ updates[-4:].T
    expected = np.linalg.eigvalsh(gram)[::-1]
    np.testing.assert_allclose(monitor.eigenvalues(count=4)[-1], expected, rtol=1e-6 if dtype != torch.float64 else 1e-12)


def test_parameters_of_one_block_in_several_dtypes() -> None:
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2).double())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    for x, y in batches(8):
        optimizer.zero_grad()
        (model[2](model[1](model[0](x)).double()) - y).square().mean().backward()
        optimizer.step()
        weights()
    assert len(monitor._clocks[""].pieces) == 2
    close(monitor.eigenvalues(), weights.eigenvalues(3))


def test_a_network_of_many_chunks_is_read_whole() -> None:
    """Tensors that begin and end inside chunks of the ring."""
    model = nn.Sequential(nn.Linear(70, 61), nn.Tanh(), nn.Linear(61, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    for batch in batches(9, inputs=70):
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()
        weights()
    assert monitor._clocks[""].pieces[0].grams.ring.shape[1] > 2
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-5)


# what counts as a step


def test_accumulated_and_clipped_steps_with_a_scheduler_count_once() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    scheduler = StepLR(optimizer, 3)
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    for i, batch in enumerate(batches(24)):
        loss(model, batch).backward()
        if i % 3 == 2:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            weights()
    assert monitor.updates == {"all": 8}
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-4)


def test_a_closure_counts_once() -> None:
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5, lr=0.1)
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    calls = 0
    for batch in batches(6):

        def closure(batch: Any = batch) -> torch.Tensor:
            nonlocal calls
            calls += 1
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            return value

        optimizer.step(closure)
        weights()
    assert calls > 6
    assert monitor.updates == {"all": 6}
    close(monitor.eigenvalues(), weights.eigenvalues(3))


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_skips_does_not_enter_the_window(fused: bool) -> None:
    """A fused optimiser's step is called all the same, and changes nothing."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    for i, batch in enumerate(batches(10)):
        optimizer.zero_grad()
        value = loss(model, batch) * (float("inf") if i in (3, 4, 7) else 1)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        if i not in (3, 4, 7):
            weights()
    assert monitor.updates == {"all": 7}
    assert monitor.skipped == (3 if fused else 0)
    assert monitor.columns()["step"].tolist() == list(range(8))
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-5)
    assert not monitor.events


def test_autocast_and_checkpointing_need_nothing() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    for x, y in batches(8):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = checkpoint(model[:2], x, use_reentrant=False)
            value = (model[2](hidden) - y).square().mean()
        value.backward()
        optimizer.step()
        weights()
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-5)


def test_an_update_by_hand_that_changes_nothing_is_a_skipped_step() -> None:
    weights = torch.zeros(3)
    for batch in (1, 2):
        weights.zero_()
        monitor = SpectralMonitor(weights, 3, batch=batch, strict=True)
        for t in range(7):
            monitor.update(step=10 * t)
            if t != 3:
                weights += torch.eye(3)[t % 3]
        assert monitor.skipped == 1
        assert monitor.updates == {"all": 5 // batch * batch}
        assert monitor.columns()["step"].tolist() == [0, 10, 20, 30, 50, 60][: 5 // batch * batch + 1]
        np.testing.assert_allclose(monitor.eigenvalues(count=2)[4], [2.0, 1.0])  # e₂, e₁, e₂ without the step that was none


def test_each_optimizer_has_its_own_count() -> None:
    generator, critic = network(0), network(1)
    both = nn.ModuleDict({"generator": generator, "critic": critic})
    first = torch.optim.Adam(generator.parameters(), lr=1e-2)
    second = torch.optim.SGD(critic.parameters(), lr=1e-2)
    monitor = SpectralMonitor(both, 3, strict=True).attach(first, "generator").attach(second, "critic")
    weights = Weights(critic.parameters())
    for i, batch in enumerate(batches(9)):
        if i % 3 == 0:
            first.zero_grad()
            loss(generator, batch).backward()
            first.step()
        second.zero_grad()
        loss(critic, batch).backward()
        second.step()
        weights()
    assert monitor.updates == {"generator/all": 3, "critic/all": 9}
    close(monitor.eigenvalues("critic/all"), weights.eigenvalues(3), 1e-5)
    with pytest.raises(ConfigError, match="optimizers must share no parameter"):
        monitor.attach(torch.optim.SGD(both.parameters()), "both")
    with pytest.raises(ConfigError, match="name must differ between optimizers, got 'critic'"):
        monitor.attach(torch.optim.SGD(critic.parameters()), "critic")


def test_parameter_groups_are_one_series() -> None:
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD(groups)
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    steps(model, optimizer, 6, after=weights)
    close(monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)


def test_the_parameters_of_one_group_are_a_series_of_their_own() -> None:
    """A filter by group: pass the group's tensors; the optimiser's clock is shared."""
    model = network()
    optimizer = torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters(), "lr": 0.01}])
    groups = [SpectralMonitor(group["params"], 3, strict=True).attach(optimizer) for group in optimizer.param_groups]
    weights = [Weights(model[0].parameters()), Weights(model[2].parameters())]
    steps(model, optimizer, 6, after=lambda: [one() for one in weights])
    for monitor, true in zip(groups, weights, strict=True):
        assert monitor.updates == {"all": 6}
        close(monitor.eigenvalues(), true.eigenvalues(3), 1e-5)


def test_data_parallel_is_read_under_the_names_of_its_model() -> None:
    """Its replicas live for one forward pass, and are never read."""
    model = network()
    wrapped = nn.DataParallel(model)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    monitor = SpectralMonitor(wrapped, 3, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    steps(wrapped, optimizer, 6, after=weights)
    assert list(monitor.selection.parameters) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    close(monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)


# what compiles, copies and resumes


JIT = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
"""What torch 2.13 warns of itself when these of its parts are imported."""
COMPILER = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="inductor needs a C++ compiler")


@JIT
@pytest.mark.filterwarnings("ignore:Profiler record function")
def test_a_step_that_was_compiled_before_is_seen() -> None:
    """Hooks that come after a compiled step has run are not ignored."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    compiled = torch.compile(optimizer.step, backend="eager")

    def train(count: int, after: Any = None) -> None:
        for batch in batches(count):
            optimizer.zero_grad()
            loss(model, batch).backward()
            compiled()
            if after is not None:
                after()

    train(3)
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    weights = Weights(model.parameters())
    train(6, weights)
    assert monitor.updates == {"all": 6}
    close(monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)
    monitor.detach()
    train(2)
    assert monitor.updates == {"all": 6}


@JIT
@pytest.mark.filterwarnings("ignore:Profiler record function")
@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=[pytest.mark.slow, COMPILER])])
@pytest.mark.parametrize("what", ["model", "step"])
def test_compiled_models_and_steps_are_seen(what: str, backend: str) -> None:
    """And the model's graph is not broken."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    forward = torch.compile(model, backend=backend, fullgraph=True) if what == "model" else model
    monitor = SpectralMonitor(forward, 3, blocks="layer", strict=True).attach(optimizer)
    assert monitor.blocks == ("0", "2")
    step = torch.compile(optimizer.step, backend=backend) if what == "step" else optimizer.step
    weights = Weights(model[0].parameters())
    for batch in batches(6):
        optimizer.zero_grad()
        loss(forward, batch).backward()
        step()
        weights()
    assert monitor.updates == {"0": 6, "2": 6}
    close(monitor.eigenvalues("0"), weights.eigenvalues(3), 1e-5)


def test_ema_copies_of_the_model_are_left_alone() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    average = AveragedModel(model)
    weights = Weights(model.parameters())
    steps(model, optimizer, 6, after=lambda: (average.update_parameters(model), weights()))
    pickle.loads(pickle.dumps((model, average, optimizer)))
    close(monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("width", [32, 1 << 17])
def test_a_resumed_run_is_an_uninterrupted_one_to_the_bit(batch: int, width: int, dtype: torch.dtype) -> None:
    def steps(model: nn.Module, optimizer: Any, count: int, seed: int) -> None:
        for x, y in batches(count, seed):
            optimizer.zero_grad()
            loss(model, (x.to(dtype), y.to(dtype))).backward()
            optimizer.step()

    def make() -> Any:
        model = network().to(dtype)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        sketch = "count" if width == 32 else "never"
        monitor = SpectralMonitor(model, 4, max_window=6, batch=batch, sketch=sketch, sketch_width=width, strict=True)
        return model, optimizer, monitor

    whole, optimizer, straight = make()
    straight.attach(optimizer)
    steps(whole, optimizer, 11, seed=1)
    file = io.BytesIO()
    state = {"model": whole.state_dict(), "optimizer": optimizer.state_dict(), "monitor": straight.state_dict()}
    torch.save(state, file)
    steps(whole, optimizer, 30, seed=2)
    for first in ("attach", "load"):
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        model, optimizer, monitor = make()
        if first == "attach":
            monitor.attach(optimizer)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        monitor.load_state_dict(saved["monitor"])
        if first == "load":
            monitor.attach(optimizer)
        steps(model, optimizer, 30, seed=2)
        for name, column in straight.columns().items():
            np.testing.assert_array_equal(monitor.columns()[name], column, err_msg=name)
        np.testing.assert_array_equal(monitor.eigenvalues(window=6), straight.eigenvalues(window=6))
        assert list(monitor.events) == list(straight.events)


def test_a_state_of_other_settings_is_refused() -> None:
    model = network()
    state = SpectralMonitor(model, 4).state_dict()
    with pytest.raises(ConfigError, match=r"^state must be of a monitor with the same settings, got other window\."):
        SpectralMonitor(model, 5).load_state_dict(state)
    with pytest.raises(ConfigError, match="got other shapes"):
        SpectralMonitor(network(width=10), 4).load_state_dict(state)

    with pytest.raises(ConfigError, match="got other watches"):
        SpectralMonitor(model, 4, watches=()).load_state_dict(state)


def test_a_state_can_be_read_without_an_optimizer() -> None:
    """As from a file, after training; and the state of what was loaded is the state that was."""
    both = nn.ModuleDict({"a": network(0), "b": network(1)})
    monitor = SpectralMonitor(both, 4, strict=True)
    for name in ("a", "b"):
        optimizer = torch.optim.Adam(both[name].parameters())
        monitor.attach(optimizer, name)
        steps(both[name], optimizer, 6)
    read = SpectralMonitor(both, 4, strict=True)
    read.load_state_dict(monitor.state_dict())
    assert read.blocks == ("a/all", "b/all")
    for block in read.blocks:
        np.testing.assert_array_equal(read.eigenvalues(block), monitor.eigenvalues(block))
    again = SpectralMonitor(both, 4, strict=True).attach(torch.optim.Adam(both["a"].parameters()), "a")
    again.load_state_dict(read.state_dict())
    assert again.updates == {"a/all": 6, "b/all": 6}
    other = SpectralMonitor(both, 4, strict=True).attach(torch.optim.Adam(both["b"].parameters()), "a")
    with pytest.raises(ConfigError, match=r"^state must be of the same parameters, got others for a\."):
        other.load_state_dict(monitor.state_dict())


def test_shards_of_another_process_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    monkeypatch.setattr(SpectralMonitor, "sharded", True)
    state = SpectralMonitor(model, 4).state_dict()
    monkeypatch.setattr("grok.monitor.keeping.process", lambda: [1, 2])
    with pytest.raises(ConfigError, match="got other process"):
        SpectralMonitor(model, 4).load_state_dict(state)


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "save"])
def test_model_optimizer_and_monitor_are_copied_together(how: str) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    monitor = SpectralMonitor(model, 4, strict=True, on_event=lambda event: None).attach(optimizer)
    steps(model, optimizer, 9)
    if how == "deepcopy":
        copies = copy.deepcopy((monitor, model, optimizer))
    elif how == "pickle":
        copies = pickle.loads(pickle.dumps((monitor, model, optimizer)))
    else:
        file = io.BytesIO()
        torch.save((monitor, model, optimizer), file)
        file.seek(0)
        copies = torch.load(file, weights_only=False)
    other, twin, twins = copies
    other.attach(twins)
    steps(model, optimizer, 9, seed=3)
    steps(twin, twins, 9, seed=3)
    np.testing.assert_array_equal(other.eigenvalues(), monitor.eigenvalues())
    assert monitor.updates == {"all": 18}


def test_a_copied_optimizer_is_noticed() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    twin, twins = copy.deepcopy((model, optimizer))
    with pytest.warns(MonitorWarning, match="A deep copy of a monitored Adam steps, and the copy has no hooks") as told:
        steps(twin, twins, 5)
    assert len(told) == 1
    steps(model, optimizer, 5)
    assert monitor.updates == {"all": 5}
    monitor.detach()


def test_an_attached_optimizer_is_pickled_as_it_is_without() -> None:
    """No class of ours is in the pickle, or in the state; a group that is added later has no trace of the monitor."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    SpectralMonitor(model, 4, strict=True).attach(optimizer)
    assert b"grok" not in pickle.dumps(optimizer)
    assert type(pickle.loads(pickle.dumps(optimizer)).defaults) is dict
    added = nn.Linear(2, 2)
    optimizer.add_param_group({"params": added.parameters()})
    assert optimizer.param_groups[0].keys() == optimizer.param_groups[1].keys()


def test_hooks_outlive_loading_and_leave_with_detach() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    with SpectralMonitor(model, 4, strict=True) as monitor:
        monitor.attach(optimizer)
        optimizer.load_state_dict(optimizer.state_dict())
        steps(model, optimizer, 3)
        with pytest.raises(ConfigError, match="optimizer must be attached once"):
            monitor.attach(optimizer)
    steps(model, optimizer, 3)
    assert monitor.updates == {"all": 3}
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks
    assert type(optimizer.defaults) is dict


def test_weights_that_are_loaded_between_attach_and_the_first_step_are_no_update() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    monitor = SpectralMonitor(model, 4, strict=True).attach(optimizer)
    model.load_state_dict(network(5).state_dict())
    weights = Weights(model.parameters())
    steps(model, optimizer, 3, after=weights)
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-3)


# what is left out and refused


def test_tied_frozen_and_lazy_parameters_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Linear(4, 4), "d": nn.LazyLinear(3)})
    model["b"].weight = model["a"].weight
    model["c"].bias.requires_grad_(False)
    with caplog.at_level(logging.WARNING):
        monitor = SpectralMonitor(model, 3)
    assert monitor.left_out == {
        "b.weight": "tied to a.weight",
        "c.bias": "frozen",
        "d.weight": "not initialised yet",
        "d.bias": "not initialised yet",
    }
    (told,) = caplog.messages
    assert "leaves out c.bias (frozen), d.weight (not initialised yet)" in told
    assert list(monitor.selection.parameters) == ["a.weight", "a.bias", "b.bias", "c.weight"]


def test_parameters_that_share_memory_count_once() -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    model["b"].weight.data = model["a"].weight.data
    assert SpectralMonitor(model, 3).left_out == {"b.weight": "tied to a.weight"}


def test_parameters_without_an_optimizer_are_named(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    optimizer = torch.optim.Adam(model[0].parameters())
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    with caplog.at_level(logging.WARNING):
        steps(model, optimizer, 3)
    assert monitor.left_out == dict.fromkeys(("2.weight", "2.bias"), "in no attached optimizer")
    assert len(caplog.messages) == 1


def test_parameters_that_an_optimizer_gets_later_are_told() -> None:
    model = network()
    optimizer = torch.optim.Adam(model[2].parameters())
    monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    steps(model, optimizer, 2)
    optimizer.add_param_group({"params": model[0].parameters()})  # as layers are unfrozen one after the other
    with pytest.warns(MonitorWarning, match=r"^Adam has 2 more parameters than when it was attached\.") as told:
        steps(model, optimizer, 4)
    assert len(told) == 1
    assert monitor.updates == {"all": 6}
    monitor.detach()
    assert not optimizer._optimizer_step_post_hooks


class Scaled(torch.Tensor):
    """A tensor subclass, as libraries of quantised weights have them."""


def refused_models() -> list[Any]:
    frozen = network().requires_grad_(False)
    sparse = nn.ParameterDict({"s": nn.Parameter(torch.eye(3).to_sparse())})
    lazy = nn.LazyLinear(3)
    own = nn.ParameterDict({"w": nn.Parameter(torch.ones(3).as_subclass(Scaled))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    return [
        (frozen, "all", "model must have a parameter that is trained, got 0.weight (frozen)"),
        (lazy, "all", "model must have a parameter that is trained, got weight (not initialised yet)"),
        ([], "all", "model must have a parameter that is trained, got none"),
        (sparse, "all", "parameters must be dense, got s (torch.sparse_coo)"),
        ({"q": quantised}, "all", "parameters must be floating point, got q (torch.qint8, quantised)"),
        ({"i": torch.ones(3, dtype=torch.int8)}, "all", "parameters must be floating point, got i (torch.int8, quantised)"),
        ({"h": torch.ones(3).to(torch.float8_e4m3fn)}, "all", "parameters must be in 16, 32 or 64 bits, got h (float8_e4m3fn)"),
        ({"h": torch.ones(3).to(torch.float8_e5m2)}, "all", "parameters must be in 16, 32 or 64 bits, got h (float8_e5m2)"),
        (own, "all", "parameters must be plain tensors or DTensors, got w (Scaled, quantised?)"),
        ({"w": own.w.detach()}, "all", "parameters must be plain tensors or DTensors, got w (Scaled, quantised?)"),
        (["x"], "all", "model must be an nn.Module or tensors, got str"),
        (network(), {"a": "nothing"}, "blocks must each match a parameter that is trained, got a: nothing"),
        (network(), {"a": "("}, "blocks must be regular expressions, got ("),
        (network(), "each", "blocks must be all, layer or a mapping of names to regular expressions, got each"),
    ]


@pytest.mark.parametrize(("model", "blocks", "line"), refused_models())
def test_what_cannot_be_read_is_refused_in_one_line(model: Any, blocks: Any, line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SpectralMonitor(model, 3, blocks=blocks)
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"window": 1}, "window must be ≥ 2, updates in the rolling window, got 1."),
        ({"window": 9, "max_window": 8}, "window must be in [2, 8] (max_window), got 9."),
        ({"every": 0}, "every must be ≥ 1, got 0."),
        ({"batch": 0}, "batch must be ≥ 1, got 0."),
        ({"sketch": "gauss"}, "sketch must be auto, count, srht or never, got gauss."),
        ({"memory_gb": 0.0}, "memory_gb must be > 0, got 0."),
        ({"memory_gb": "2"}, "memory_gb must be a number, got '2'."),
        ({"memory_gb": float("nan")}, "memory_gb must be > 0, got nan."),
        ({"sketch_width": 20}, "sketch_width must be > 20 (the lags), got 20."),
        ({"batch": 2.0}, "batch must be a whole number, got 2.0."),
        ({"history": 10.5}, "history must be a whole number, got 10.5."),
        ({"every": 1.5}, "every must be a whole number, got 1.5."),
        ({"seed": -1}, "seed must be ≥ 0, got -1."),
        ({"blocks": ["0"]}, "blocks must be all, layer or a mapping of names to regular expressions, got"),
        ({"blocks": {"a": 3}}, "blocks must be regular expressions, got 3 ("),
        ({"watches": None}, "watches must be several Watch, got NoneType."),
        ({"watches": ["slope"]}, "watches must be several Watch, got str."),
        ({"sinks": "x"}, "sinks must be several with row, event and close, got str."),
        ({"on_event": 5}, "on_event must be a function, got 5."),
        (
            {"memory_gb": 1e-6},
            "memory_gb must hold the updates of the window, got 1e-06 for 0.00 GiB (21 updates of 4 parameters).",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SpectralMonitor(network(), **arguments)
    assert str(refused.value).startswith(line)


def test_an_optimizer_that_cannot_be_attached_is_refused() -> None:
    model = network()
    monitor = SpectralMonitor(model, 3)
    with pytest.raises(ConfigError, match=r"^optimizer must have parameters of the model, got none\."):
        monitor.attach(torch.optim.SGD(network(1).parameters()))
    with pytest.raises(ConfigError, match=r"^optimizer must be a torch.optim.Optimizer, or wrap one, got object\."):
        monitor.attach(object())  # type: ignore[arg-type]
    monitor.attach(torch.optim.SGD(model.parameters()))
    with pytest.raises(ConfigError, match=r"^update must be called where no optimizer is attached"):
        monitor.update()
    with pytest.raises(ConfigError, match=r"^step must be a function, got 5\. Pass one, or leave it out\."):
        SpectralMonitor(model, 3).attach(torch.optim.SGD(model.parameters()), step=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^count must be ≥ 1, got -1\."):
        monitor.eigenvalues(count=-1)
    with pytest.raises(ConfigError, match=r"^k must be ≥ 1, got 0\."):
        monitor.gap(0)


def test_a_model_of_gpt2s_size_is_refused_before_the_start_or_sketched() -> None:
    """Nothing of its size is made to find that out: w + 1 updates of 124 M numbers of 4 bytes, as one is being written."""
    with torch.device("meta"):
        model = nn.ModuleList([nn.Embedding(50257, 768), *(nn.Linear(768, 9216, bias=False) for _ in range(12))])
    size = sum(p.numel() for p in model.parameters())
    assert 120e6 < size < 130e6
    moment = 8 * 4 * (1 << 18) * 21  # on any device but the CPU, four chunks of the ring in float64
    needed = (21 * size * 4 + 8 * 2 * (4096 * (5 + 4 + 6) + (4096 + 20) * 21) + moment) / 2**30
    with pytest.raises(ConfigError) as refused:
        SpectralMonitor(model, 20, sketch="never")
    told = f"memory_gb must hold the updates of the window, got 2 for {needed:.2f} GiB (21 updates of 13 parameters, 0.16 of"
    assert str(refused.value).startswith(told)
    assert SpectralMonitor(model, 20, memory_gb=needed * 1.001, sketch="never").memory == round(needed * 2**30 - moment)
    with pytest.raises(ConfigError, match=r"^memory_gb must hold the updates of the window"):
        SpectralMonitor(model, 20, memory_gb=needed * 0.999, sketch="never")
    sketched = SpectralMonitor(model, 20)
    assert list(sketched.sketched) == ["all"]
    assert sketched.memory < 30e6
    assert "keeps" in repr(sketched)


@JIT
def test_an_optimizer_in_backward_is_refused_and_read_by_hand() -> None:
    from torch.distributed.optim import _apply_optimizer_in_backward

    model = network()
    _apply_optimizer_in_backward(torch.optim.SGD, model.parameters(), {"lr": 0.1})
    monitor = SpectralMonitor(model, 3, strict=True)
    with pytest.raises(
        ConfigError, match=r"got one that steps in backward \(0\.weight\)\. Call monitor\.update\(\) after backward\."
    ):
        monitor.attach(torch.optim.SGD(model.parameters()))
    weights = Weights(model.parameters())
    monitor.update()
    for batch in batches(6):
        loss(model, batch).backward()
        monitor.update()
        weights()
    close(monitor.eigenvalues(), weights.eigenvalues(3), 1e-5)


def test_the_memory_is_said_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Linear(1000, 100)
    with caplog.at_level(logging.INFO):
        monitor = SpectralMonitor(model, 20, history=64)
    assert f"keeps {monitor.memory / 2**20:.1f} MiB" in caplog.messages[0]
    assert "100,100 parameters" in caplog.messages[0]
    monitor.update()
    with torch.no_grad():
        model.weight += 1
    monitor.update()
    ring = monitor._clocks[""].pieces[0].grams.ring
    assert ring.numel() * 4 <= monitor.memory <= ring.numel() * 4 + 100_000
    with pytest.raises(ConfigError, match=r"got 0\.001 for 0\.01 GiB \(21 updates of 2 parameters\)"):
        SpectralMonitor(model, 20, history=64, memory_gb=0.001, sketch="never")


# what goes wrong while it runs


@pytest.mark.parametrize("batch", [1, 4])
def test_an_update_that_is_not_finite_is_an_event(batch: int) -> None:
    weights = torch.zeros(5)
    seen = []
    monitor = SpectralMonitor(weights, 3, batch=batch, strict=True, on_event=seen.append)
    for t in range(13):
        monitor.update(step=100 + t)
        weights += torch.eye(5)[t % 5]
        if t == 5:
            weights[0] = float("nan")
        if t == 6:
            weights[0] = 0.0
    (event,) = monitor.events
    assert (event.kind, event.block, event.update, event.step) == ("divergence", "all", 6, 106)
    assert seen == [event]
    assert event.words == "observed"
    known = np.isfinite(monitor.eigenvalues(count=2)).all(axis=1)
    assert known.tolist() == [False, False, True, True, True, True, False, False, False, False, True, True, True]


def test_weights_that_are_not_contiguous_are_not_tied() -> None:
    """Each is read by a copy, whose memory the next copy gets: equal addresses that mean nothing."""
    model = nn.Sequential(*(nn.Conv2d(8, 8, 3, bias=False) for _ in range(4)))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert not any(parameter.is_contiguous() for parameter in model.parameters())
    monitor = SpectralMonitor(model, 4)
    assert list(monitor.selection.parameters) == [name for name, _ in model.named_parameters()]
    assert monitor.left_out == {}


def test_a_monitor_that_is_off_stays_off_when_it_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its first update would be the sum of all the steps that it has not seen."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = SpectralMonitor(model, 4).attach(optimizer)
    steps(model, optimizer, 3)
    monkeypatch.setattr("grok.monitor.clock.Clock._row", lambda *_: 1 / 0)
    with pytest.warns(MonitorWarning, match="training goes on"):
        steps(model, optimizer, 2)
    monkeypatch.undo()
    again = SpectralMonitor(model, 4)
    with pytest.warns(MonitorWarning, match="was off when its state was saved, and stays off: ZeroDivisionError"):
        again.load_state_dict(monitor.state_dict())
    again.attach(optimizer)
    steps(model, optimizer, 2)
    assert again.off == monitor.off
    assert again.updates == {"all": 3}


def test_an_internal_error_turns_it_off_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    monitor = SpectralMonitor(model, 3).attach(optimizer)
    steps(model, optimizer, 3)
    monkeypatch.setattr("grok.monitor.clock.Clock._row", lambda *_: 1 / 0)
    with pytest.warns(MonitorWarning, match="SpectralMonitor is off, training goes on: ZeroDivisionError") as told:
        steps(model, optimizer, 5)
    assert len(told) == 1
    assert monitor.updates == {"all": 3}
    assert "off: ZeroDivisionError" in repr(monitor)
    strict = SpectralMonitor(model, 3, strict=True).attach(optimizer)
    with pytest.raises(ZeroDivisionError):
        steps(model, optimizer, 1)
    strict.detach()


def test_a_parameter_that_changes_its_shape_is_named() -> None:
    model = network()
    monitor = SpectralMonitor(model, 3)
    monitor.update()
    model[2].weight.data = torch.zeros(3, 9)
    with pytest.warns(
        MonitorWarning, match=r"parameters must keep shape and dtype \(\(2, 9\) torch.float32\), got 2.weight \(3, 9\)"
    ):
        monitor.update()
    assert monitor.off is not None


def test_a_callback_that_fails_is_left_out() -> None:
    weights = torch.zeros(5)
    monitor = SpectralMonitor(weights, 3, on_event=lambda event: 1 / 0)
    monitor.update()
    weights += float("nan")
    with pytest.warns(MonitorWarning, match="on_event is off: ZeroDivisionError"):
        monitor.update()
    assert monitor.off is None
    assert len(monitor.events) == 1


# how much it takes


def test_what_is_kept_does_not_grow() -> None:
    weights = torch.zeros(7)
    monitor = SpectralMonitor(weights, 3, history=50, strict=True)

    def kept() -> int:
        series = monitor._clocks[""].tracks["all"].series
        tails = [series.band, series.eigenvalues, *series.columns.values()]
        return sum(tail._rows.nbytes for tail in tails) + len(pickle.dumps(monitor.state_dict()))

    sizes = []
    for t in range(601):
        monitor.update()
        weights += torch.eye(7)[t % 7] * (1 + t % 3)
        if t % 200 == 199:
            sizes.append(kept())
    assert max(sizes) - min(sizes) < 100  # digits of counters
    table = monitor.columns()
    assert table["update"].tolist() == list(range(551, 601))
    assert monitor.eigenvalues().shape == (50, 5)
    rolling = RollingSpectrum(3)
    weights.zero_()
    for t in range(601):
        rolling.update(weights)
        weights += torch.eye(7)[t % 7] * (1 + t % 3)
    np.testing.assert_array_equal(monitor.eigenvalues(), rolling.eigenvalues()[551:])
    np.testing.assert_array_equal(monitor.eigenvalues(window=2), rolling.eigenvalues(2)[551:])


BARE = """
import sys, time
HEAVY = ("mlflow", "optuna", "pandas", "matplotlib", "pyarrow", "sqlalchemy", "yaml", "loky", "safetensors", "psutil", "tqdm")
sys.modules |= dict.fromkeys(HEAVY)  # as if they were not installed
start = time.process_time()
import torch, numpy
before = time.process_time()
from grok import SpectralMonitor
share = (time.process_time() - before) / (before - start)
assert not {"grok.spec.config", "grok.signals.base", "grok.monitor.negatives", "scipy"} & set(sys.modules)
model = torch.nn.Linear(4, 3)
optimizer = torch.optim.Adam(model.parameters())
monitor = SpectralMonitor(model, 3, strict=True).attach(optimizer)
for _ in range(5):
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
monitor.calibrate([{"gap_23": numpy.ones(300)}])
assert monitor.eigenvalues().shape == (6, 5)
print(share)
"""


def test_it_needs_torch_numpy_and_scipy_alone() -> None:
    done = (subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True) for _ in range(2))
    # A share of torch's own import, which a busy machine slows too, 0.04 to 0.05; in seconds docs/monitor.md has it.
    assert any(float(one.stdout) < 0.1 for one in done)


def test_a_part_of_the_model_may_have_the_name_of_a_wrapper() -> None:
    """What data parallelism and torch.compile put before names is left out of them only where they stay different."""

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.module = nn.Linear(2, 2), nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})

    monitor = SpectralMonitor(Holder(), 3)
    assert list(monitor.selection.parameters) == [
        "a.weight",
        "a.bias",
        "module.a.weight",
        "module.a.bias",
        "b.weight",
        "b.bias",
    ]
    with pytest.raises(ConfigError, match=r"^model must have one tensor for each name, got w twice\. Name them apart\.$"):
        SpectralMonitor([("w", torch.zeros(3)), ("w", torch.zeros(4))], 3)

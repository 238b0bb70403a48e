"""What a monitor would not see, or would see wrongly, is told in one line, once."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grok import SpectralMonitor
from grok.monitor import selection
from grok.monitor.guard import MonitorWarning
from grok.monitor.sinks import Call
from grok.spec.fields import ConfigError
from tests.monitor.loops import Weights, close, network, train


def sgd(model: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, **settings)


def poison(model: nn.Module) -> None:
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = float("nan")


# the end of a batch


def test_the_end_of_a_batch_is_told_at_the_end() -> None:
    rows: list[dict[str, Any]] = []
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 5, batch=4, sinks=[Call(rows.append)], strict=True).attach(optimizer)
    train(model, optimizer, 10)
    poison(model)
    train(model, optimizer, 1)
    assert monitor.updates == {"all": 8}
    monitor.detach()
    assert monitor.updates == {"all": 11}
    assert [row["update"] for row in rows] == list(range(1, 12))
    assert [(event.kind, event.update) for event in monitor.events] == [("divergence", 11)]


@pytest.mark.parametrize("stops", [(5,), (6, 7), (4, 8)])
@pytest.mark.parametrize("saved", [False, True])
def test_what_was_told_before_its_time_is_told_once(stops: tuple[int, ...], saved: bool) -> None:
    """And what follows goes on as if the batch had not been told, in a resumed run too."""
    rows: list[dict[str, Any]] = []
    model = network()
    optimizer = sgd(model, momentum=0.9)
    weights = Weights(model.parameters())
    monitor = SpectralMonitor(model, 4, batch=4, sinks=[Call(rows.append)], strict=True)
    last = 0
    for stop in (*stops, 18):
        monitor.attach(optimizer)
        train(model, optimizer, stop - last, seed=stop, after=weights)
        monitor.detach()
        assert monitor.updates == {"all": stop}
        if saved:
            state = monitor.state_dict()
            monitor = SpectralMonitor(model, 4, batch=4, sinks=[Call(rows.append)], strict=True)
            monitor.load_state_dict(state)
        last = stop
    assert [row["update"] for row in rows] == list(range(1, 19))
    close(monitor.eigenvalues(), weights.eigenvalues(4), 1e-5)


def test_leaving_with_tells_the_end_of_a_batch_too() -> None:
    model = network()
    optimizer = sgd(model)
    with SpectralMonitor(model, 3, batch=5, strict=True).attach(optimizer) as monitor:
        train(model, optimizer, 7)
    assert monitor.updates == {"all": 7}


def test_updates_of_shards_that_wait_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes may not be asked out of turn."""
    monkeypatch.setattr("grok.monitor.clock.Clock.sharded", True)
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 3, batch=4, strict=True).attach(optimizer)
    train(model, optimizer, 7)
    with pytest.warns(MonitorWarning, match=r"^3 update\(s\) of SGD wait for their batch: parameters are sharded\."):
        monitor.detach()
    assert monitor.updates == {"all": 4}


# parameters that are not those of the start


def one_line(told: Any) -> str:
    """The only warning."""
    (only,) = told
    assert issubclass(only.category, MonitorWarning)
    assert "\n" not in str(only.message)
    return str(only.message)


@pytest.mark.parametrize("how", ["module", "all", "fewer"])
def test_an_optimizer_that_loses_parameters_is_told_once(how: str) -> None:
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 5, strict=True).attach(optimizer)
    train(model, optimizer, 5)
    if how == "module":
        model[2] = nn.Linear(9, 2)
    elif how == "all":
        model = network(3)
    parameters = list(model.parameters())
    optimizer.param_groups[0]["params"] = parameters[:2] if how == "fewer" else parameters
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(model, optimizer, 6)
    name, count = ("0.weight", 4) if how == "all" else ("2.weight", 2)
    of_optimizer = [one for one in told if "SGD" in str(one.message)]
    assert one_line(of_optimizer) == (f"SGD has {count} of the parameters read no more, such as {name}. A new monitor is due.")
    monitor._leave(False)


def test_parameters_that_are_trained_later_are_told_once() -> None:
    model = network()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters())
    monitor = SpectralMonitor(model, 5, strict=True).attach(optimizer)
    train(model, optimizer, 5)
    for parameter in model[0].parameters():
        parameter.requires_grad_(True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(model, optimizer, 5)
    assert one_line(told) == (
        "2 parameters are trained that were frozen and are not read, such as 0.weight. A new monitor reads them."
    )
    assert set(monitor.selection.parameters) == {"2.weight", "2.bias"}


def test_frozen_parameters_that_no_optimizer_has_are_not_told() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = torch.optim.Adam(model[2].parameters())
    SpectralMonitor(model, 5, strict=True).attach(optimizer)
    model[0].requires_grad_(True)
    train(model, optimizer, 5)


def test_a_model_whose_parameters_were_replaced_is_told_once() -> None:
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 5, strict=True).attach(optimizer)
    train(model, optimizer, 8)
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(model, optimizer, 9)
        monitor.detach()
    assert one_line(told).startswith(
        "The model has 4 of the parameters that are read no more, such as 0.weight: they were repl"
    )


def test_a_part_of_the_model_that_was_replaced_is_told_at_the_end() -> None:
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 5, strict=True).attach(optimizer)
    train(model, optimizer, 9)
    model[2] = nn.Linear(9, 2)
    train(model, optimizer, 2)
    with pytest.warns(MonitorWarning, match=r"^The model has 2 of the parameters that are read no more, such as 2\.weight"):
        monitor.detach()


def test_a_learning_rate_of_zero_is_no_reason_to_tell_anything() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with SpectralMonitor(model, 5, strict=True).attach(optimizer) as monitor:
        train(model, optimizer, 5)
    assert monitor.updates == {"all": 5}


# steps that nobody sees


def test_an_optimizer_that_never_steps_is_told() -> None:
    model = network()
    monitor = SpectralMonitor(model, 5, strict=True).attach(sgd(model))
    train(model, sgd(model), 10)
    with pytest.warns(MonitorWarning, match=r"^No update of SGD was seen: 0 step\(s\) seen, 0 skipped, every 1\. Its own"):
        monitor.detach()
    monitor.detach()  # nothing is attached, and nothing is told again


def test_steps_that_are_too_few_for_an_update_are_told() -> None:
    model = network()
    optimizer = sgd(model)
    with (
        pytest.warns(MonitorWarning, match=r"^No update of SGD was seen: 4 step\(s\) seen, 0 skipped, every 5\."),
        SpectralMonitor(model, 5, every=5, strict=True).attach(optimizer),
    ):
        train(model, optimizer, 4)


def test_an_error_of_the_user_is_left_as_it_is() -> None:
    model = network()
    with pytest.raises(KeyError, match="user"), SpectralMonitor(model, 5, strict=True).attach(sgd(model)):
        raise KeyError("user")


def test_a_second_monitor_of_an_optimizer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    optimizer = sgd(model)
    with caplog.at_level(logging.WARNING, "grok.monitor"):
        first = SpectralMonitor(model, 5, strict=True).attach(optimizer)
        assert not caplog.records
        SpectralMonitor(model, 5, strict=True).attach(optimizer)
        first._leave(False)
        first.attach(optimizer)
    line = "SGD is read by 1 monitor(s) already, whose memory is kept: detach() those, unless all are meant"
    assert [record.getMessage() for record in caplog.records] == [line, line]


# a state with other weights


@pytest.mark.parametrize("every", [1, 3])
def test_a_state_without_its_weights_is_told(every: int) -> None:
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 5, every=every, strict=True).attach(optimizer)
    train(model, optimizer, 7 * every)
    state = monitor.state_dict()
    other = network(9)
    optimizer = sgd(other)
    resumed = SpectralMonitor(other, 5, every=every, strict=True).attach(optimizer)
    resumed.load_state_dict(state)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(other, optimizer, 2 * every)
    assert one_line(told) == (
        "The weights are not those of the monitor's state, so that the next update begins at them. Load both."
    )
    assert resumed.updates == {"all": 9}
    assert resumed.eigenvalues(count=1)[-1, 0] < 2 * monitor.eigenvalues(count=1)[-1, 0]


def test_a_state_of_before_the_weights_were_kept_is_told_nothing() -> None:
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 5, strict=True).attach(optimizer)
    train(model, optimizer, 7)
    state = monitor.state_dict()
    for clock in state["clocks"].values():
        del clock["weights"], clock["told"]
        for track in clock["tracks"].values():
            del track["diverged"]
    other = network(9)
    resumed = SpectralMonitor(other, 5, strict=True)
    resumed.load_state_dict(state)
    optimizer = sgd(other)
    resumed.attach(optimizer)
    train(other, optimizer, 2)
    assert resumed.updates == {"all": 9}


# divergence, once


@pytest.mark.parametrize("history", [1, 2, 100])
def test_a_divergence_is_told_once_however_short_the_history(history: int) -> None:
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 5, history=history, strict=True).attach(optimizer)
    train(model, optimizer, 5)
    poison(model)
    train(model, optimizer, 4)
    state = monitor.state_dict()
    resumed = SpectralMonitor(model, 5, history=history, strict=True)
    resumed.load_state_dict(state)
    monitor._leave(False)
    resumed.attach(optimizer)
    train(model, optimizer, 15)
    assert [(event.kind, event.update) for event in resumed.events] == [("divergence", 6)]


# where it is made, and on what


def test_a_default_device_is_not_that_of_a_state() -> None:
    """`meta` stands for a GPU as the default: what has no device named would be there."""
    model = network()
    optimizer = sgd(model)
    monitor = SpectralMonitor(model, 5, batch=2, strict=True).attach(optimizer)
    train(model, optimizer, 7)
    state = monitor.state_dict()
    resumed = SpectralMonitor(model, 5, batch=2, strict=True)
    with torch.device("meta"):
        resumed.load_state_dict(state)
    resumed.attach(optimizer)
    with torch.device("meta"):
        for _ in range(3):
            optimizer.step()
    assert resumed.updates == monitor.updates == {"all": 10}
    np.testing.assert_array_equal(resumed.eigenvalues(), monitor.eigenvalues())


@pytest.mark.parametrize("sketch", ["never", "count"])
def test_a_monitor_may_be_made_in_inference_mode(sketch: str) -> None:
    """The first call by hand is often there, after an evaluation."""
    model = network()
    optimizer = sgd(model)
    by_hand, attached = (SpectralMonitor(model, 5, sketch=sketch, sketch_width=64, strict=True) for _ in range(2))
    with torch.inference_mode():
        by_hand.update()
        attached.attach(optimizer)
    train(model, optimizer, 4, after=by_hand.update)
    assert by_hand.updates == attached.updates == {"all": 4}
    np.testing.assert_array_equal(by_hand.eigenvalues(), attached.eigenvalues())


def test_a_device_without_float64_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert selection.NO_FLOAT64 == ("mps",)
    monkeypatch.setattr(selection, "NO_FLOAT64", ("cpu",))
    with pytest.raises(ConfigError, match=r"^parameters must be on a device with float64, got 0\.weight on cpu\. Train on"):
        SpectralMonitor(network(), 5)


@pytest.mark.parametrize("kind", ["sparse", "float8"])
def test_what_cannot_be_read_may_be_left_out_by_blocks(kind: str) -> None:
    """As the refusal advises."""
    model = nn.ModuleDict({"a": nn.Linear(3, 3)})
    odd = torch.eye(3).to_sparse() if kind == "sparse" else torch.ones(3).to(torch.float8_e4m3fn)
    model["a"].register_parameter("odd", nn.Parameter(odd, requires_grad=True))
    with pytest.raises(ConfigError, match=r"^parameters must be .*, got a\.odd"):
        SpectralMonitor(model, 5)
    with pytest.raises(ConfigError, match=r"^parameters must be .*, got a\.odd"):
        SpectralMonitor(model, 5, blocks={"dense": "a"})
    monitor = SpectralMonitor(model, 5, blocks={"dense": "weight|bias"})
    assert list(monitor.selection.parameters) == ["a.weight", "a.bias"]
    assert monitor.left_out == {"a.odd": "in no block, and not to be read"}


def test_what_an_update_takes_for_its_moment_on_a_gpu_is_said() -> None:
    """Exact copies of some chunks of the ring; `meta` stands for the GPU."""
    with torch.device("meta"):
        model = nn.Linear(4096, 1024, bias=False)
    monitor = SpectralMonitor(model, 20)
    assert monitor.moment == 8 * 4 * (1 << 18) * 21
    assert f"takes {monitor.moment / 2**20:.1f} MiB more while it reads an update" in repr(monitor)
    with pytest.raises(
        ConfigError, match=r"^memory_gb must hold the updates of the window, got 0\.4 for 0\.4\d GiB \(.* 0\.16"
    ):
        SpectralMonitor(model, 20, memory_gb=0.4, sketch="never")
    assert SpectralMonitor(nn.Linear(64, 64), 20).moment == 0

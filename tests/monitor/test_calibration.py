"""Calibration: under which names it is kept and found, and which negatives are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grok import SpectralMonitor, Watch
from grok.monitor.sinks import JsonLines
from grok.spec.fields import ConfigError
from tests.monitor.loops import network, train

NEVER = Watch("level", "clock", first=2, parameters={"level": 1e9})
"""Holds at update 10⁹."""
SURE = Watch("level", "clock", first=2, parameters={"level": 1.5})
"""Holds at update 2."""


def two(watches: tuple[Watch, ...], **settings: Any) -> tuple[SpectralMonitor, nn.ModuleDict]:
    both = nn.ModuleDict({"generator": network(0), "critic": network(1)})
    return SpectralMonitor(both, 3, watches=watches, strict=True, **settings), both


def attached(monitor: SpectralMonitor, both: nn.ModuleDict) -> dict[str, torch.optim.Optimizer]:
    optimizers = {name: torch.optim.SGD(both[name].parameters(), lr=0.1) for name in both}
    for name, optimizer in optimizers.items():
        monitor.attach(optimizer, name)
    return optimizers


def trained(watches: tuple[Watch, ...] = (SURE,), critic: int = 4, **settings: Any) -> SpectralMonitor:
    monitor, both = two(watches, **settings)
    for name, optimizer in attached(monitor, both).items():
        train(both[name], optimizer, critic if name == "critic" else 6)
    monitor.detach()
    return monitor


def one_optimizer(steps: int = 5, window: int = 3, every: int = 1, watches: tuple[Watch, ...] = (SURE,)) -> SpectralMonitor:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = SpectralMonitor(model, window, every=every, watches=watches, strict=True).attach(optimizer)
    train(model, optimizer, steps * every)
    monitor.detach()
    return monitor


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["named", "one"])
def test_named_optimizers_have_the_calibration_whenever_it_was_done(when: str, kind: str, tmp_path: Path) -> None:
    negatives = [trained(), trained(critic=5)] if kind == "named" else [one_optimizer(), one_optimizer(7)]
    monitor, both = two((SURE,))
    if when == "before":
        monitor.calibrate(negatives, "made")
    optimizers = attached(monitor, both)
    if when == "after":
        monitor.calibrate(negatives, "made")
    for name, optimizer in optimizers.items():
        train(both[name], optimizer, 3)
    assert [(event.block, event.update) for event in monitor.events] == [("generator/all", 2), ("critic/all", 2)]
    lengths = {"generator/all": 6, "critic/all": 4} if kind == "named" else dict.fromkeys(("generator/all", "critic/all"), 6)
    for event in monitor.events:
        known = event.calibration
        assert known is not None, event.block
        assert (known.label, known.negatives, known.alarms, known.updates) == ("made", 2, 2, lengths[event.block])
    resumed, _ = two((SURE,))
    resumed.load_state_dict(monitor.state_dict())
    assert resumed.calibrations == monitor.calibrations


def test_a_name_is_looked_up_as_it_is_first() -> None:
    """What is known of an optimiser's block goes before what is known of blocks of that name."""
    monitor, both = two((SURE,))
    monitor.calibrate([one_optimizer(9)], "any")
    optimizers = attached(monitor, both)
    monitor.calibrations = {key: one for key, one in monitor.calibrations.items() if key[1] == "all"}
    whole = monitor.calibrate([trained()], "exact")
    assert {block for _, block in whole} == {"all", "generator/all", "critic/all"}
    del whole[SURE.words, "generator/all"]
    for name, optimizer in optimizers.items():
        train(both[name], optimizer, 3)
    labels = {event.block: event.calibration.label for event in monitor.events if event.calibration is not None}
    assert labels == {"generator/all": "any", "critic/all": "exact"}


def test_a_rule_of_a_block_is_that_of_each_optimizer() -> None:
    """It names the block as the monitor does, without an optimiser."""
    model = network()
    rule = Watch("level", "clock", block="first", first=2, parameters={"level": 1.5})
    blocks = {"first": r"^0\.", "last": r"^2\."}
    monitors = []
    for _ in range(2):
        monitor = SpectralMonitor(model, 3, blocks=blocks, watches=(rule,), strict=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        monitor.attach(optimizer, "main")
        if monitors:
            assert set(monitor.calibrate(monitors, "x")) == {(rule.words, "main/first")}
        train(model, optimizer, 4)
        monitor.detach()
        monitors.append(monitor)
    assert [event.calibration is not None for one in monitors for event in one.events] == [False, True]


def test_negatives_in_files_are_found_by_the_block_without_its_optimizer(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sink = JsonLines(tmp_path / "run.jsonl")
    run = SpectralMonitor(model, 3, blocks="layer", watches=(SURE,), sinks=[sink], strict=True).attach(optimizer, "other")
    train(model, optimizer, 5)
    run.detach()
    monitor = SpectralMonitor(model, 3, blocks="layer", watches=(SURE,), strict=True)
    before = dict(monitor.calibrate([tmp_path / "run.jsonl"]))
    assert set(before) == {(SURE.words, "0"), (SURE.words, "2")}
    monitor.attach(optimizer, "main")
    after = monitor.calibrate([tmp_path / "run.jsonl"])
    assert {block for _, block in after} == {"0", "2", "main/0", "main/2"}
    assert len({str(one) for one in after.values()}) == 1


@pytest.mark.parametrize(
    ("negative", "line"),
    [
        (lambda: one_optimizer(window=4), "negatives must have the window and every of this monitor, 3 and 1, got 4 and 1"),
        (lambda: one_optimizer(every=2), "negatives must have the window and every of this monitor, 3 and 1, got 3 and 2"),
        (lambda: one_optimizer(0), "negatives must have updates, got 0 in number 2. Train that run first."),
        (lambda: SpectralMonitor(network(), 3), "negatives must have updates, got 0 in number 2. Train that run first."),
        (
            lambda: one_optimizer(1),
            "negatives must have at least 2 updates, at which level on clock is first looked at, got 1 in number 2. "
            "Pass longer runs, or lower its first.",
        ),
        (
            lambda: {"clock": np.arange(2.0)},
            "negatives must have at least 2 updates, at which level on clock is first looked at",
        ),
        (lambda: {"clock": np.empty(0)}, "negatives must have at least 2 updates, at which level on clock is first looked at"),
    ],
)
def test_negatives_that_would_say_nothing_are_refused(negative: Any, line: str) -> None:
    monitor = one_optimizer()
    with pytest.raises(ConfigError) as refused:
        monitor.calibrate([one_optimizer(), negative()])
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)
    assert "number 2" in str(refused.value)
    assert monitor.calibrations == {}


def test_a_negative_just_long_enough_will_do() -> None:
    """At its last update the rule is looked at once."""
    monitor = one_optimizer()
    ((_, known),) = monitor.calibrate([one_optimizer(2)]).items()
    assert (known.negatives, known.alarms, known.updates) == (1, 1, 2)
    later = Watch("level", "clock", after="onset", first=500, parameters={"level": 1.5})
    monitor = one_optimizer(watches=(SURE, later))
    assert [one.negatives for one in monitor.calibrate([one_optimizer(3)]).values()] == [1, 1]


def test_a_rule_that_held_in_no_negative_says_so() -> None:
    monitor = one_optimizer(watches=(NEVER,))
    ((_, known),) = monitor.calibrate([one_optimizer(6), one_optimizer(6)]).items()
    assert (known.negatives, known.alarms) == (2, 0)

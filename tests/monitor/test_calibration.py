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
    if steps:
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
    ((_, known),) = monitor.calibrate([one_optimizer(6), one_optimizer(7)]).items()
    assert (known.negatives, known.alarms) == (2, 0)


def gap(known: Any = slice(None), length: int = 200, seed: int = 0) -> dict[str, np.ndarray]:
    """A run in which nothing happens to the gap, known at some updates."""
    values = 2 + 0.01 * np.random.default_rng(seed).random(length)
    out = np.full(length, np.nan)
    out[known] = values[known]
    return {"gap_23": out}


@pytest.mark.parametrize(
    ("known", "line"),
    [
        (slice(10), "negatives must know gap_23 at 80 updates or more, one of them from 100 on, got 10 of 199 in number 2."),
        (slice(90), "negatives must know gap_23 at 80 updates or more, one of them from 100 on, got 90 of 199 in number 2."),
        (slice(0), "negatives must know gap_23 at 80 updates or more, one of them from 100 on, got 0 of 199 in number 2."),
        (slice(199, 200), "negatives must know gap_23 at 80 updates or more, one of them from 100 on, got 1 of 199 in"),
    ],
)
def test_negatives_that_do_not_know_the_signal_are_refused(known: slice, line: str) -> None:
    """A run that diverged at update 10 is no clean one."""
    monitor = SpectralMonitor(network())
    with pytest.raises(ConfigError) as refused:
        monitor.calibrate([gap(), gap(known, seed=1)])
    assert str(refused.value).startswith(line)
    (known_by, *_) = monitor.calibrate([gap(slice(150)), gap(slice(120), seed=1)]).values()
    assert (known_by.negatives, known_by.updates) == (2, 134)  # as far as it was known


def test_a_band_of_nothing_and_a_window_without_the_gap_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^negatives must know gap_23 at 80 updates or more, .* got 0 of 300 in number 1\."):
        SpectralMonitor(network()).calibrate([np.full((300, 20), np.nan)])
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = SpectralMonitor(model, 2, strict=True).attach(optimizer)
    train(model, optimizer, 150)
    run.detach()
    with pytest.raises(ConfigError, match=r"^negatives must know gap_23 at 98 updates or more, .* got 0 of 150 in number 1\."):
        SpectralMonitor(network(), 2).calibrate([run])


def test_a_run_counts_once_and_not_for_itself() -> None:
    run = one_optimizer(5)
    other = one_optimizer(6)
    for twice in ([run, other, run], [run, other, one_optimizer(5)], [run.columns(), other, run.columns()]):
        with pytest.raises(ConfigError, match=r"^negatives must be runs of their own, got number 1 again as number 3\."):
            one_optimizer(4).calibrate(twice)
    with pytest.raises(ConfigError, match=r"^negatives must be other runs, got the monitor itself\. Pass"):
        run.calibrate([other, run])


def test_an_alarm_beyond_its_negatives_says_so() -> None:
    late = Watch("level", "clock", first=2, parameters={"level": 20.5})
    for length, beyond in ((10, True), (40, False)):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        monitor = SpectralMonitor(model, 3, watches=(late,), strict=True)
        monitor.calibrate([one_optimizer(length)])
        monitor.attach(optimizer)
        train(model, optimizer, 25)
        (event,) = monitor.events
        assert event.update == 21
        assert str(event).endswith("; of update 21 that says nothing, the negatives are shorter") == beyond
        assert f"median {length} updates" in str(event)


def test_the_chance_of_an_alarm_in_any_block_is_said() -> None:
    def run(first: float, second: float) -> dict[str, np.ndarray]:
        values = np.array([[0.5, first], [0.5, second]])
        return {"block": np.repeat(["0", "2"], 2), "update": np.tile([1, 2], 2), "weight_norm": values.ravel()}

    rule = Watch("level", "weight_norm", first=2, parameters={"level": 2.0})
    monitor = SpectralMonitor(network(), 3, blocks="layer", watches=(rule,), strict=True)
    known = monitor.calibrate([run(0.1, 0.9), run(0.9, 0.2), run(0.8, 0.7), run(0.9, 0.6)])
    assert [(one.alarms, one.negatives, one.anywhere) for one in known.values()] == [(1, 4, (2, 2, 4)), (1, 4, (2, 2, 4))]
    assert str(known[rule.words, "0"]).endswith("; in any of 2 blocks on 2 of 4")
    state = monitor.state_dict()
    monitor.calibrations = {}
    monitor.load_state_dict(state)
    assert monitor.calibrations == known


def test_a_block_of_another_name_is_refused_or_named() -> None:
    several = SpectralMonitor(network(), 3, blocks={"attn": "0", "mlp": "2"}, watches=(SURE,))
    with pytest.raises(
        ConfigError, match=r"^negatives must have block attn, got all in number 1\. Pass runs with the same blocks\."
    ):
        several.calibrate([one_optimizer()])
    only = SpectralMonitor(network(), 3, blocks={"attn": "0"}, watches=(SURE,))
    (known,) = only.calibrate([one_optimizer()], "made").values()
    assert known.label == "made, their block all"


def test_one_negative_may_come_alone(tmp_path: Path) -> None:
    from grok.monitor.negatives import several

    run = one_optimizer(5)
    frame = run.frame()
    for alone in (run, frame, run.columns(), np.ones((9, 3)), "x.jsonl", tmp_path / "x.jsonl"):
        assert [one is alone for one in several(alone)] == [True]
    assert several(iter((run, frame)))[1] is frame
    for alone in (run, frame):
        ((_, known),) = one_optimizer(4).calibrate(alone).items()
        assert (known.negatives, known.updates) == (1, 5)
    with pytest.raises(ConfigError, match=r"^negatives must be files that are there, got x\.jsonl\. Correct the path\."):
        run.calibrate("x.jsonl")
    with pytest.raises(ConfigError, match=r"^negatives must be monitors, columns, bands or paths, got int\. Pass a list"):
        run.calibrate(3)  # type: ignore[arg-type]

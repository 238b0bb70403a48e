"""What signals cost: a row for each signal that a network feeds, and for those of the second arm by network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from analysis.reading.runs import grid
from benchmarks import signals
from grok.spec.config import RunConfig
from grok.spec.plugins import SIGNALS

OF_A_SITTING = {"epochs", "seed", "max_window", "checkpoint_epochs", "threads", "log_every", "signals", "signal_every"}
"""What a benchmark may set of a run: nothing of what the network and its data are."""


def once(parts: Mapping[str, signals.Prepared]) -> dict[str, float]:
    for prepared in parts.values():
        prepared()()
    return dict.fromkeys(parts, 0.001)


def tiny(**changed: Any) -> RunConfig:
    return RunConfig(
        **{"modulus": 7, "n_train": 24, "epochs": 2, "max_window": 4, "window": 3, "slope_lag": 1, "checkpoint_epochs": ()},
        **{"threads": 1, "observe_every": 0} | changed,
    )


def test_networks_have_the_size_of_their_studies() -> None:
    first, *others = signals.configs(12)
    assert (first.network, first.modulus, first.n_train) == ("two_layer", 71, RunConfig().resolved().n_train)
    for config in others:
        here = [cell for cell in grid("signals-ce") if cell.condition == "grok" and cell.config.network == config.network]
        one = next(cell.config for cell in here if (cell.config.task, cell.config.n_train) == ("modular", 1740))
        assert {name for name, value in vars(config).items() if value != getattr(one, name)} == OF_A_SITTING
    assert [config.network for config in others] == list(signals.SECOND_ARM)


def test_every_signal_of_one_epoch_has_a_row_on_a_network_that_feeds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "seconds", once)
    first = tiny(width=16, top_pairs=9).resolved()
    others = [tiny(network=name).resolved() for name in signals.SECOND_ARM]
    rows, each = signals.measured(first, 2)
    further = signals.second_arm(first, others, 2)
    assert each > 0
    assert {row["network"] for row in rows if row["part"] == "signal"} == {first.network}
    of = {name: [row["name"] for row in further if row["network"] == name] for name in signals.SECOND_ARM}
    embedded = ["characters", "tuned_neurons"]
    heads = ["head_cosine", "head_entropy", "head_participation"]
    assert of == {"shared_mlp": embedded, "one_layer_transformer": sorted(embedded + heads)}
    assert {row["part"] for row in further} == {"signal"}
    told = {row["name"] for row in [*rows, *further] if row["part"] == "signal"}
    assert told == {name for name in SIGNALS.names if SIGNALS.find(name).per_epoch}
    assert set(rows[0]) == set(further[0]) == {"part", "name", "network", "cadence", "variants", "ms"}


def test_parts_are_timed_in_turns_and_without_what_makes_them_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow minute meets all parts: `costly` was above `all`, which holds it, when one was timed after the other."""
    told, clock = [], itertools.count()
    monkeypatch.setattr(signals.time, "process_time", lambda: float(next(clock)))

    def part(name: str, ticks: int) -> Callable[[], Callable[[], None]]:
        def prepared() -> Callable[[], None]:
            next(clock)
            return lambda: told.append(name) or [next(clock) for _ in range(ticks)]

        return prepared

    assert signals.seconds({"a": part("a", 2), "b": part("b", 5)}) == {"a": 3.0, "b": 6.0}
    assert told == ["a", "b"] * signals.REPEATS


def test_a_run_hands_over_what_it_has_anew_each_time() -> None:
    seen, _ = signals.trained(tiny(width=16, top_pairs=9).resolved(), 2)
    first, second = seen.given(), seen.given()
    assert first["features"]() is first["features"]() is not second["features"]()
    assert set(first["gradients"]()) == {"w", "v"}


def test_the_added_share_is_of_runs_with_the_battery_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def whole_run(config: Any, epochs: int) -> float:
        asked.append((config.signals, config.signal_every, config.costly_every, epochs))
        return 3.0 if config.signals else 2.0 + 0.1 * len(asked)

    monkeypatch.setattr(signals, "whole_run", whole_run)
    row = signals.measured_share(tiny().resolved(), 80)
    assert asked == [((), 0, 4, 80), (("all",), 10, 4, 80)] * 2
    assert row["added_share"] == pytest.approx(3.0 / 2.1 - 1)
    assert (row["ms"], row["plain_ms"]) == (pytest.approx(37.5), pytest.approx(26.25))


def test_a_run_with_the_battery_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "EVERY", 1)
    row = signals.measured_share(tiny(width=16, top_pairs=9).resolved(), 4)
    assert row["added_share"] > 0

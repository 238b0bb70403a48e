"""What signals cost: a row for each signal that a network feeds, and for those of the second arm by network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from analysis.reading.runs import grid
from benchmarks import signals
from grok.spec.config import RunConfig
from grok.spec.plugins import SIGNALS

OF_A_SITTING = {"epochs", "seed", "max_window", "checkpoint_epochs", "threads", "log_every", "signals", "signal_every"}
"""What a benchmark may set of a run: nothing of what the network and its data are."""


def once(call: Callable[[], Any]) -> float:
    call()
    return 0.001


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
    tiny = RunConfig(modulus=7, n_train=24, epochs=2, max_window=4, window=3, slope_lag=1, checkpoint_epochs=(), threads=1)
    tiny = replace(tiny, observe_every=0)
    first = replace(tiny, width=16, top_pairs=9).resolved()
    others = [replace(tiny, network=name).resolved() for name in signals.SECOND_ARM]
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

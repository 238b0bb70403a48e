"""The signals that a config names, computed while the run trains: a metric `signal/NAME` each, in the variant as published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grok.networks.base import Network, View
from grok.recorders._needs import run_needs
from grok.recorders.base import Recorder, Recording, Run, Step, Updates, due
from grok.signals.base import NEEDS, Live, Signal, find, from_history, series
from grok.spec.config import RunConfig
from grok.spec.fields import refuse
from grok.spec.plugins import EVERY

OBSERVED = {"observed": "observe_every", "checkpoint": None}
"""By a signal's cadence, the field that says how often; every epoch for one that is not here."""


def metric(name: str) -> str:
    """The metric of a signal: `signal/gap`, and `signal/module.NAME` for `module:NAME`."""
    return f"signal/{name.replace(':', '.')}"


def signals_of(config: RunConfig, network: Network) -> dict[str, Signal]:
    """The signals of a config by metric; none where they are `all`, which is for a table.

    Raises:
        ConfigError: if one is not there, looks ahead, or needs what the network does not give.
    """
    found = {}
    for name in config.signals if config.signals != (EVERY,) else ():
        found[metric(name)] = signal = find(name)
        lacking = [need for need in signal.needs if NEEDS[need].kind == "epoch" and need not in network.gives]
        lacking += [] if signal.has_layers(network.layers) else [f"layers {' and '.join(signal.layers[0])}"]
        if lacking:
            given = ", ".join(network.gives)
            refuse("signals", f"need what the network gives ({given})", f"{name} ({', '.join(lacking)})", "Drop it")
    return found


class Signals(Recording):
    """Signals of one epoch as it is seen, and signals of a history as columns of the table.

    Attributes:
        live: by metric, those of one epoch; with the values so far where the signal reads their history.
        histories: by metric, those of a history.
        band: (T, L) float64 of the layer that the detector watches, where a signal needs it.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        signals = signals_of(run.config, run.network)
        self.given = run_needs(run.config)
        self.live = {name: Live(signal, **self.given) for name, signal in signals.items() if signal.per_epoch}
        self.histories = {name: signal for name, signal in signals.items() if not signal.per_epoch}
        self.band: np.ndarray | None = None

    def _scheduled(self, epoch: int) -> list[str]:
        cadences = {name: live.signal.cadence for name, live in self.live.items()}
        return [name for name, one in cadences.items() if one not in OBSERVED or due(self.config, epoch, OBSERVED[one])]

    def due(self, epoch: int) -> bool:
        """Where a signal of one epoch is."""
        return bool(self._scheduled(epoch))

    def see(self, step: Step, view: View) -> dict[str, float]:
        """The signals of this epoch that are known."""
        found = {}
        for name in self._scheduled(step.epoch):
            live = self.live[name]
            moving = [need for need in live.signal.needs if NEEDS[need].kind == "epoch"]
            value = live.append(**{need: getattr(view, need) for need in moving})
            if np.isfinite(value):
                found[name] = value
        return found

    def extend(self, updates: Updates) -> dict[int, dict[str, float]]:
        """Take the band as it is now."""
        self.resume(updates)
        return {}

    def resume(self, updates: Updates) -> None:
        """Take the band, where a signal needs it."""
        if any("band" in signal.needs for signal in self.histories.values()):
            self.band = updates.band(self.run.layers[0])

    def columns(self, known: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """The signals of a history, from the columns that are there."""
        if not self.histories or not count:
            return {}
        band = None if self.band is None else self.band[: count - 1]
        given: dict[str, Any] = from_history(known, self.run.layers[0], band) | self.given
        return {name: series(signal, given) for name, signal in self.histories.items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The values so far of signals that read their history."""
        kept = {name: live for name, live in self.live.items() if live.values}
        return {name: torch.from_numpy(live.signal.stacked(live.values)) for name, live in kept.items()}, {}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take them back."""
        for name, values in tensors.items():
            self.live[name].values[:] = list(values.numpy())


RECORDER = Recorder(
    title="The signals that the config names, at every epoch or where they are due",
    source="each signal's own",
    needs=("updates", "history"),
    cost="that of the signals",
    start=Signals,
)

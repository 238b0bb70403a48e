"""Signals of a run as it trains, in the table that `entry_points.signals` makes of a finished one, with the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from grok.networks.base import View
from grok.numerics import placement
from grok.recorders._battery import (
    MEMORISED,
    TABLE,
    VERSIONS,
    Battery,
    of_history,
    usable,
    versions_table,
    whole,
)
from grok.recorders._needs import run_needs
from grok.recorders.base import SCORES, File, Moment, Recorder, Recording, Run, Step
from grok.signals.base import Signal
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.fields import refuse
from grok.spec.plugins import EVERY, SIGNALS
from grok.spec.roundings import AUTO

ACCURACY = SCORES.index("accuracy/train")


def table_signals(config: ResolvedConfig) -> dict[str, Signal]:
    """The signals of a config by name: those of `all` that the run can feed, or those that are named.

    Raises:
        ConfigError: if one that is named is not there or the run cannot feed it.
    """
    if config.signals == (EVERY,):
        return usable(config, SIGNALS.names)
    found = usable(config, config.signals)
    if lacking := [name for name in config.signals if name not in found]:
        refuse("signals", "be what this network and task can feed", ", ".join(lacking), "Drop them, or take all")
    return found


class SignalTable(Recording):
    """Values of every variant at every `signal_every`-th epoch, from a copy of the weights.

    Attributes:
        battery: what was seen. memorised: whether a training accuracy so far was ≥ 0.99.
        complete: whether it has seen the run from its first epoch on, by the same signals and cadence; without, there is no
            table, and `entry_points.signals` makes one of the finished run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.signals = table_signals(run.config)
        self.battery = Battery(run.config, run.network, run.task, self.signals, run.config.costly_every)
        self.memorised, self.complete = False, True

    def due(self, epoch: int) -> bool:
        """At the cadence, and at every epoch until the training samples are memorised."""
        return self.complete and (not self.memorised or epoch % self.config.signal_every == 0)

    def see(self, step: Step, view: View) -> dict[str, float]:
        """Take the weights, where the epoch is one of the table's."""
        self.memorised |= bool(step.scores[view.index, ACCURACY] >= MEMORISED)
        if step.epoch % self.config.signal_every == 0:
            self.battery.see(step.epoch, view.weights, memorised=self.memorised, given=self._given(view))
        return {}

    def _given(self, view: View) -> dict[str, Callable[[], Any]]:
        """What the run has at this epoch: features, which observables read too, so that ρ is computed once, and gradients.

        A named rounding, a GPU and a drawn batch give them other bits, and seeds beside this one may the gradients: samples
        then pass in other blocks.
        """
        first = next(iter(view.stack.layers.values()))
        if self.config.rounding != AUTO or self.config.batch_size or placement.on_gpu(first):
            return {}
        if "features" not in self.run.network.gives:
            return {}
        of_features = {"features": lambda: view.features}
        return of_features | ({"gradients": lambda: view.gradients} if len(first) == 1 else {})

    def truncate(self, epochs: int) -> None:
        """Forget epochs from that one on."""
        self.battery.truncate(epochs)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was seen so far."""
        if not self.complete:
            return {}, {}
        tensors, facts = self.battery.state()
        return tensors, facts | {"memorised": self.memorised, "seen_by": self._seen_by}

    @property
    def _seen_by(self) -> dict[str, Any]:
        """What every value of a table must be of."""
        every = {"signal_every": self.config.signal_every, "costly_every": self.config.costly_every}
        return every | {"signals": {name: [one.version, *sorted(one.variants)] for name, one in self.signals.items()}}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take it back; a run that began without a table, or with another, goes on without."""
        self.complete = bool(facts) and facts["seen_by"] == self._seen_by
        if self.complete:
            self.battery.load(tensors, facts)
            self.memorised = bool(facts["memorised"])

    def files(self, moment: Moment) -> Iterable[File]:
        """The table and the versions of its signals, at the end."""
        if moment.when != "end" or not self.complete:
            return
        history, layer = self.run.frame(), self.run.layers[0]
        banded = any("band" in signal.needs for signal in self.signals.values())
        band = moment.updates.band(layer)[: max(len(history) - 1, 0)] if banded else None
        parts = [self.battery.table(), of_history(self.signals, history, layer, band, run_needs(self.config))]
        yield File(VERSIONS, versions_table({name: signal.version for name, signal in self.signals.items()}))
        yield File(TABLE, whole(parts))


def _check(config: RunConfig) -> None:
    if config.signal_every:
        table_signals(config.resolved())


RECORDER = Recorder(
    title="A table of signals at every signal_every-th epoch, in all variants",
    source="each signal's own",
    needs=("weights", "updates", "history"),
    cost="that of the signals, on a copy of the weights on the CPU",
    start=SignalTable,
    artifacts=(TABLE, VERSIONS),
    check=_check,
)

"""What a monitor tells as training goes on: rows to its sinks, rows to its rules, and the events that come of them."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from grok.monitor.events import DIVERGENCE, Event
from grok.monitor.guard import MonitorWarning, told, writes
from grok.monitor.keeping import Keeping
from grok.monitor.measured import elsewhere
from grok.monitor.rules import follow
from grok.monitor.series import FLOOR
from grok.monitor.track import Row

LOG = logging.getLogger("grok.monitor")


class Telling(Keeping):
    """The part of a monitor that tells.

    Attributes:
        on_event: called with each event; where the monitor is strict, what it raises is raised.
    """

    def _look(self) -> None:
        """Tell, once, of a model that has other parameters than those that are read."""

    on_event: Callable[[Event], Any] | None

    def _take(self, batches: Iterable[list[Row]]) -> None:
        for rows in batches:
            for row in rows:
                self._see(row)

    def _see(self, row: Row) -> None:
        """Sinks and rules of one row."""
        track = self._tracks()[row.block]
        if self.sinks and writes():
            whole = {"block": row.block, "update": row.update, "step": row.step} | row.values
            for sink in list(self.sinks):
                self._to_sink(sink, sink.row, whole)
        every = len(self.selection.parameters)
        whole_model = all(len(clock.selection.parameters) == every for clock in self._clocks.values())
        for rule in follow(track.rules, row.update, lambda watch: row.values[watch.signal]):
            watch = rule.watch
            there = elsewhere(watch, self.settings, track.block if whole_model else "")
            worth = self._known(watch.words, row.block), there
            self._tell(Event(watch.kind, row.block, row.update, row.step, watch.words, row.values[watch.signal], *worth))
        track.unresolved += row.values.get("lambda_3", math.nan) < row.values.get(FLOOR, 0.0)
        diverged, track.diverged = track.diverged, not track.series.columns["finite"].values[-1]
        if row.update & (row.update - 1) == 0 or _begins_to_stand(track.series.band.values[-2:, 0]):
            self._look()
        if track.diverged and not diverged:
            self._tell(Event(DIVERGENCE, row.block, row.update, row.step, "an update that is not finite", float("nan")))

    def _tell_unresolved(self) -> None:
        """Log of which blocks λ₃ was not resolved at most updates: rules are silent there, which is no good news."""
        blind = [block for block, track in self._tracks().items() if track.unresolved > track.series.updates / 2]
        if blind and self.watches:
            track = self._tracks()[blind[0]]
            line = "λ₃ of %s (%d of %d blocks) is below what the weights' digits resolve at %d of %d updates: no gap there"
            LOG.warning(line, blind[0], len(blind), len(self._tracks()), track.unresolved, track.series.updates)

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        LOG.info("%s", event)
        if writes():
            for sink in list(self.sinks):
                self._to_sink(sink, sink.event, event)
        if self.on_event is not None:
            try:
                self.on_event(event)
            except Exception as error:
                if self.strict:
                    raise
                self.on_event = None
                warnings.warn(f"on_event is off: {told(error)}", MonitorWarning, stacklevel=2)


def _begins_to_stand(squares: np.ndarray) -> bool:
    """Whether the last update is zero and the one before, if there was one, was not."""
    return bool(squares[-1] == 0 and (len(squares) < 2 or squares[0] != 0))

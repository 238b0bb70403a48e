"""What of a monitor outlives it: its state for a resumed run, copies, and what its alarms are worth."""

from __future__ import annotations

import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, NoReturn

from grok.monitor.clock import Clock
from grok.monitor.events import Calibration, Event
from grok.monitor.guard import MonitorWarning, close_all, process, told, writes
from grok.monitor.reading import Reading
from grok.monitor.rules import Watch
from grok.monitor.selection import sharding
from grok.monitor.sinks import Sink
from grok.spec.fields import refuse

NOT_WHOLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, OverflowError)
"""What a state that is cut or altered ends in."""
EVENTS = 1000
"""Events kept, the last ones."""


class Keeping(Reading):
    """The part of a monitor that is saved and loaded.

    Attributes:
        watches: rules. calibrations: by rule and block. strict: whether an error of a sink is raised.
    """

    watches: tuple[Watch, ...]
    calibrations: dict[tuple[str, str], Calibration]
    sinks: list[Sink]
    strict: bool

    def calibrate(self, negatives: Iterable[Any], label: str = "own negatives") -> dict[tuple[str, str], Calibration]:
        """Measure each rule's false alarms on runs in which there was nothing to find.

        Args:
            negatives: runs, or one: each a monitor, columns by name (a DataFrame will do), or the path of a file: `.jsonl` and
                `.parquet` as the sinks write them, a stored run's `history.parquet`, or `band.npz`.
            label: which runs they are; alarms say it.

        Returns:
            By rule and block. From now on alarms carry it; without, they are called uncalibrated. It may come before `attach`
            or after: what is known of a block by its name alone holds for each optimiser that has it.

        Raises:
            ConfigError: if there are none, one has not what a rule reads, is too short for it or there twice, or it is this
                monitor or one of another window or `every`.
        """
        from grok.monitor.calibration import calibrations  # what reads files is imported where it is asked for
        from grok.monitor.negatives import several

        raw, runs = self._raw(), several(negatives)
        if any(one is self for one in runs):
            refuse(
                "negatives", "be other runs", "the monitor itself", "Pass monitors of runs in which there was nothing to find"
            )
        self.calibrations |= calibrations(self.watches, raw, runs, label, self.settings, bool(self._clocks))
        return self.calibrations

    def _known(self, rule: str, block: str) -> Calibration | None:
        """What is known of a rule on a block: by the name with its optimiser's, else without."""
        exact = self.calibrations.get((rule, block))
        return exact or self.calibrations.get((rule, self._raw().get(block, block)))

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on to the same bits, tensors and plain values; one that is off stays off.

        Where parameters are sharded each process has its own, and each has to be saved. Sinks write what they hold, so that a
        process that is killed later has lost no row of before in a file; one that has a `flush` is asked for that in place of
        `close`, and a store that is slower than its second may lack what was still on its way.

        Raises:
            Exception: what a sink raised, where the monitor is strict; otherwise the sink is left out with a warning.
        """
        for sink in list(self.sinks) if writes() else ():
            self._to_sink(sink, sink.flush if hasattr(sink, "flush") else sink.close)
        clocks = {name: clock.state() for name, clock in self._clocks.items()}
        events = [asdict(event) for event in self.events]
        known = [(rule, block, asdict(one)) for (rule, block), one in self.calibrations.items()]
        seen = {"clocks": clocks, "events": events, "calibrations": known, "off": self.off}
        return {"version": 1, "settings": self._identity()} | seen

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict` of a monitor with the same settings; before or after `attach`.

        Raises:
            ConfigError: if the settings or the parameters differ, it is of another process that holds other shards, or it
                is no whole state.
        """
        try:
            mine, theirs = self._identity(), state["settings"]
            differing = [name for name in mine if mine[name] != theirs.get(name)]
            events = [_event(event) for event in state["events"]]
            known = {(rule, block): Calibration(**one) for rule, block, one in state["calibrations"]}
            clocks = dict(state["clocks"])
        except NOT_WHOLE as error:
            _refuse_state(error)
        if differing:
            name = differing[0]
            refuse("state", "be of a monitor with the same settings", f"other {name}", "Make the monitor as it was")
        try:
            names = {name: list(clock["parameters"]) for name, clock in clocks.items()}
        except NOT_WHOLE as error:
            _refuse_state(error)
        for name, clock in self._clocks.items():
            if name in names and list(clock.selection.parameters) != names[name]:
                refuse(
                    "state", "be of the same parameters", f"others for {name or 'the only optimizer'}", "Attach it as it was"
                )
        self.events, self.calibrations, self.off = deque(events, maxlen=EVENTS), known, state.get("off")
        if self.off is not None:
            warnings.warn(
                f"SpectralMonitor was off when its state was saved, and stays off: {self.off}", MonitorWarning, stacklevel=2
            )
        for name, saved in clocks.items():
            try:
                if name not in self._clocks:
                    wanted = (self.selection.parameters[one] for one in names[name])
                    self._clocks[name] = Clock(name, self.selection.of(wanted), self.settings)
                self._clocks[name].load(saved)
            except NOT_WHOLE as error:
                _refuse_state(error)

    def _to_sink(self, sink: Sink, call: Callable[..., None], *args: Any) -> None:
        """Hand something to a sink; one that fails is left out from then on."""
        try:
            call(*args)
        except Exception as error:
            self.sinks.remove(sink)
            if self.strict:
                raise
            warnings.warn(f"{type(sink).__name__} is off: {told(error)}", MonitorWarning, stacklevel=2)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the parameters and all that was seen; hooks, sinks and callbacks stay with the original."""
        return self.__dict__ | {"_attached": {}, "sinks": [], "on_event": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As the constructor, a copy closes its sinks when it is gone."""
        self.__dict__.update(state)
        weakref.finalize(self, close_all, self.sinks)

    @property
    def sharded(self) -> bool:
        """Whether this process holds only shards of what is read; then `state_dict` is of this process alone."""
        return any(shards is not None and shards[1] for shards in map(sharding, self.selection.parameters.values()))

    def _identity(self) -> dict[str, Any]:
        s = self.settings
        return {
            "window": s.window,
            "max_window": s.lags,
            "every": s.every,
            "batch": s.batch,
            "history": s.history,
            "signals": list(s.signals),
            "watches": [f"{watch.kind} in {watch.block or 'each block'}: {watch.words}" for watch in s.watches],
            "sketched": sorted(s.sketched),
            "sketch": [s.sketch, s.width, s.seed],
            "blocks": {block: list(names) for block, names in self.selection.blocks.items()},
            "shapes": {name: list(p.shape) for name, p in self.selection.parameters.items()},
            "process": process() if self.sharded else None,
        }


def _refuse_state(error: Exception) -> NoReturn:
    why = " ".join(f"{type(error).__name__} {error}".split())[:100]
    refuse("state", "be a whole state_dict of a monitor", why, "Make the monitor anew, without it")


def _event(saved: Mapping[str, Any]) -> Event:
    known, others = saved["calibration"], saved.get("elsewhere", ())
    more = {"calibration": None if known is None else Calibration(**known)}
    return Event(**{**saved, **more, "elsewhere": tuple(Calibration(**one) for one in others)})

"""What of a monitor outlives it: its state for a resumed run, copies, and what its alarms are worth."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, NoReturn

from grok.monitor.calibration import calibrations
from grok.monitor.reading import Reading
from grok.monitor.rules import Calibration, Event, Watch
from grok.spec.fields import refuse

NOT_WHOLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, OverflowError)
"""What a state that is cut or altered ends in."""
EVENTS = 1000
"""Events kept, the last ones."""


class Keeping(Reading):
    """The part of a monitor that is saved and loaded.

    Attributes:
        watches: rules. calibrations: by rule and block.
    """

    watches: tuple[Watch, ...]
    calibrations: dict[tuple[str, str], Calibration]
    _loaded: dict[str, Any]

    def calibrate(self, negatives: Iterable[Any], label: str = "own negatives") -> dict[tuple[str, str], Calibration]:
        """Measure each rule's false alarms on runs in which there was nothing to find.

        Args:
            negatives: runs: each a monitor, columns by name (a DataFrame will do), or the path of a file: `.jsonl` and
                `.parquet` as the sinks write them, a stored run's `history.parquet`, or `band.npz`.
            label: which runs they are; alarms say it.

        Returns:
            By rule and block. From now on alarms carry it; without, they are called uncalibrated.

        Raises:
            ConfigError: if there are none, or one has not what a rule reads.
        """
        self.calibrations |= calibrations(self.watches, self.blocks, list(negatives), label, self.settings)
        return self.calibrations

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on to the same bits: tensors and plain values."""
        clocks = {name: clock.state() for name, clock in self._clocks.items()} or self._loaded
        events = [asdict(event) for event in self.events]
        known = [(rule, block, asdict(one)) for (rule, block), one in self.calibrations.items()]
        return {"version": 1, "settings": self._identity(), "clocks": clocks, "events": events, "calibrations": known}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict` of a monitor with the same settings; before or after `attach`.

        Raises:
            ConfigError: if the settings or the parameters differ, or it is no whole state.
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
        self.events, self.calibrations, self._loaded = deque(events, maxlen=EVENTS), known, clocks
        for name in list(self._clocks):
            self._restore(name)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the parameters and all that was seen; hooks, sinks and callbacks stay with the original."""
        return self.__dict__ | {"_attached": {}, "sinks": [], "on_event": None}

    def _identity(self) -> dict[str, Any]:
        s = self.settings
        return {
            "window": s.window,
            "max_window": s.lags,
            "every": s.every,
            "batch": s.batch,
            "history": s.history,
            "signals": list(s.signals),
            "sketched": sorted(s.sketched),
            "sketch": [s.sketch, s.width, s.seed],
            "blocks": {block: list(names) for block, names in self.selection.blocks.items()},
            "shapes": {name: list(p.shape) for name, p in self.selection.parameters.items()},
        }

    def _restore(self, name: str) -> None:
        if name in self._loaded:
            try:
                self._clocks[name].load(self._loaded.pop(name))
            except NOT_WHOLE as error:
                _refuse_state(error)


def _refuse_state(error: Exception) -> NoReturn:
    why = " ".join(f"{type(error).__name__} {error}".split())[:100]
    refuse("state", "be a whole state_dict of a monitor", why, "Make the monitor anew, without it")


def _event(saved: Mapping[str, Any]) -> Event:
    known = saved["calibration"]
    return Event(**{**saved, "calibration": None if known is None else Calibration(**known)})

"""Alarms: a detector of the project on a signal of a block, update by update, and what its alarms are worth.

A detector's `hits` is a function of a whole series. Those of the project need only a few numbers of the past, which are kept,
so that an update costs the same however long the run is; both give the same update, which tests/monitor holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from grok.detectors import cusum
from grok.detectors.base import Detector, find, middle
from grok.monitor.events import COLLAPSE, ONSET
from grok.monitor.tail import Tail
from grok.numerics.series import GAP_FLOOR
from grok.spec.fields import refuse
from grok.spec.plugins import SIGNALS as ROOM

PUBLISHED = {"slope_lag": 25, "slope_threshold": 0.04}
"""Of the slope detector: Xu (arXiv 2605.08119), eq. 3."""


@dataclass(frozen=True)
class Watch:
    """A rule: where, on what, how, and what it is of.

    Attributes:
        detector: by name, `slope`, `level`, `sustained`, `cusum` or `module:NAME`.
        signal: a column, such as `gap_23`, `gap_12`, `cosine` or `weight_norm`. Detectors read its logarithm.
        block: by name; None for every block.
        kind: of the event.
        first: update before which it does not hold.
        smoothing: updates of the trailing mean of the logarithm.
        parameters: of the detector. What is not given is as published, or the middle of the range that a search goes through.
        after: kind of an event in the same block that must have happened: the rule is looked at from the update after that on.
    """

    detector: str = "slope"
    signal: str = "gap_23"
    block: str | None = None
    kind: str = ONSET
    first: int = 100
    smoothing: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    after: str | None = None

    def __post_init__(self) -> None:
        """Check the numbers and the names."""
        known = find(self.detector).parameters
        unknown = [name for name in self.parameters if name not in known]
        if unknown:
            refuse("parameters", f"be of {self.detector} ({', '.join(known)})", ", ".join(unknown), "Name them so")
        if self.first < 0 or self.smoothing < 1:
            refuse("first and smoothing", "be ≥ 0 and ≥ 1", f"{self.first} and {self.smoothing}", "Raise them")

    @property
    def full(self) -> dict[str, Any]:
        """Every parameter of the detector."""
        kinds = find(self.detector).parameters
        default = {name: PUBLISHED[name] if name in PUBLISHED else middle(kind) for name, kind in kinds.items()}
        return default | dict(self.parameters)

    @property
    def words(self) -> str:
        """The rule in words, the same for the same rule."""
        told = ", ".join(f"{name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in self.full.items())
        more = f", smoothed over {self.smoothing}" if self.smoothing > 1 else ""
        when = f"after {self.after}" if self.after else f"from update {self.first}"
        return f"{self.detector}({told}) on {self.signal}{more} {when}"


DEFAULT = (
    Watch(),
    Watch(kind=COLLAPSE, after=ONSET, parameters={"direction": "falling"}),
)
"""The published detector of the onset; and, after an onset, the same rule for the gap's fall."""


def falling(signal: str, detector: Detector) -> bool:
    """Whether a detector without a direction of its own reads the negative of a signal: of one that announces by falling.

    A signal and its variant are found by their column; one of your own rises.
    """
    if "direction" in detector.parameters:
        return False
    from grok.signals.base import find as find_signal

    names = [name for name in ROOM.names if signal == name or signal.startswith(f"{name}_")]
    if not names:
        return False
    name = max(names, key=len)
    return find_signal(name).direction_of(signal.removeprefix(name).removeprefix("_")) == "falling"


def logarithm(value: float) -> float:
    """Log max(x, 1e-6) as the published detector takes it, NaN of NaN."""
    return math.log(max(value, GAP_FLOOR)) if not math.isnan(value) else math.nan


def _memory(detector: str, parameters: Mapping[str, Any]) -> int | None:
    """Values of the past, with the last, that a detector of the project reads; None for one that may read them all."""
    if detector == "slope":
        return int(parameters["slope_lag"]) + 1
    if detector == "sustained":
        return int(parameters["hold"])
    return 1 if detector in ("level", "cusum") else None


class Live:
    """A rule as training goes on: `append` the signal at each update, from update 0 on, and be told when it first holds.

    Args:
        watch: the rule. history: values kept for a detector that is not of the project, which sees no more than those.

    Attributes:
        fired: update at which it first held, None if it has not.
        armed: first update at which it may hold; None while what it comes `after` has not happened.
    """

    def __init__(self, watch: Watch, history: int = 4096) -> None:
        self.watch, self.detector, self.parameters = watch, find(watch.detector), watch.full
        self.armed: int | None = watch.first if watch.after is None else None
        self.fired: int | None = None
        self.count = 0
        memory = _memory(watch.detector, self.parameters)
        self._bounded = memory is not None
        self._tail = Tail(memory or history)
        self._raw = Tail(watch.smoothing)
        self._negative = falling(watch.signal, self.detector)
        self._lowest = math.inf  # of cusum

    def append(self, value: float) -> bool:
        """Take the signal at the next update.

        Returns:
            Whether the rule holds there for the first time.
        """
        log = logarithm(value)
        self._raw.append(-log if self._negative else log)
        known = self._raw.values
        enough = len(known) == self.watch.smoothing
        self._tail.append(known[0] if self.watch.smoothing == 1 else (known.mean() if enough else math.nan))
        at, self.count = self.count, self.count + 1
        if self.armed is None or at < self.armed:
            return False
        held = self._held(at)
        if held and self.fired is None:
            self.fired = at
            return True
        return False

    def arm(self, update: int) -> None:
        """What it comes `after` happened at an update: it may hold from the next on."""
        if self.armed is None:
            self.armed = max(update + 1, self.watch.first if self.watch.after is None else 0)

    def _held(self, at: int) -> bool:
        assert self.armed is not None
        values = self._tail.values[None, :]
        if self.watch.detector == "cusum":
            return self._cusum(at - self.armed)
        if self.watch.detector == "slope" and at < max(self.armed, self.parameters["slope_lag"]):
            return False
        first = max(0, self.armed - (self.count - values.shape[1]))
        if self._bounded:  # `armed` is behind; the values before it may be used, as by the whole series
            first = values.shape[1] - 1
        if self.watch.detector == "sustained" and values.shape[1] < self.parameters["hold"]:
            return False
        return bool(self.detector.held(values, first, **self.parameters)[0, -1])

    def _cusum(self, since: int) -> bool:
        """Y(t) − min Y over the updates since it was armed, by the functions of `cusum.hits`."""
        p = self.parameters
        y = cusum.drifted(self._tail.values[-1:], since, p["cusum_drift"], p["direction"])
        if np.isfinite(y[0]):
            self._lowest = min(self._lowest, float(y[0]))
        return bool(cusum.passed(y, self._lowest, p["cusum_threshold"])[0])

    def state(self) -> dict[str, Any]:
        """What `load` goes on from."""
        return {
            "fired": self.fired,
            "armed": self.armed,
            "count": self.count,
            "lowest": self._lowest,
            "tail": self._tail.state(),
            "raw": self._raw.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state` of the same rule."""
        self.fired, self.armed, self.count = state["fired"], state["armed"], int(state["count"])
        self._lowest = float(state["lowest"])
        self._tail.load(state["tail"])
        self._raw.load(state["raw"])


def alarms(watches: tuple[Watch, ...], columns: Mapping[str, np.ndarray]) -> dict[str, int | None]:
    """The update at which each rule first held on one finished run, as `Live` would have told.

    Args:
        watches: rules of one block.
        columns: (T + 1,) float64 by name, entry t at update t; the signals of the rules are among them.

    Returns:
        By the rule's words; a rule that comes after an event that never happened is absent, as the run says nothing of it.
    """
    rules = [Live(watch, history=len(columns[watch.signal])) for watch in watches]
    for t in range(max((len(columns[watch.signal]) for watch in watches), default=0)):
        follow(rules, t, lambda watch: float(columns[watch.signal][t]))  # noqa: B023 - called at once
    return {rule.watch.words: rule.fired for rule in rules if rule.armed is not None}


def follow(rules: list[Live], update: int, value: Callable[[Watch], float]) -> list[Live]:
    """Hand an update to the rules of one block; those that hold for the first time, which arm those that come after them."""
    fired = [rule for rule in rules if rule.append(value(rule.watch))]
    for rule in fired:
        for other in rules:
            if other.watch.after == rule.watch.kind:
                other.arm(update)
    return fired

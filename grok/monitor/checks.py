"""The arguments of a monitor, checked before anything is made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from grok.monitor.rules import Watch
from grok.spec.fields import LARGEST, refuse


def whole(name: str, value: Any, least: int, step: str = "Raise it") -> int:
    """A whole number ≥ least.

    Raises:
        ConfigError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        refuse(name, "be a whole number", repr(value), f"Give one, ≥ {least}")
    if value < least:
        refuse(name, f"be ≥ {least}", value, step)
    if value > LARGEST:
        refuse(name, f"be at most {LARGEST}", int(value), "Lower it")
    return int(value)


def positive(name: str, value: Any) -> float:
    """A number > 0, which may be infinite.

    Raises:
        ConfigError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        refuse(name, "be a number", repr(value), "Give one, > 0")
    if math.isnan(value) or value <= 0:
        refuse(name, "be > 0", f"{value:g}", "Raise it")
    return float(value)


def rules(watches: Any) -> tuple[Watch, ...]:
    """Rules one by one.

    Raises:
        ConfigError: if they are none.
    """
    several = tuple(watches) if isinstance(watches, Iterable) and not isinstance(watches, str) else None
    if several is None or not all(isinstance(watch, Watch) for watch in several):
        got = type(watches).__name__ if several is None else next(type(w).__name__ for w in several if not isinstance(w, Watch))
        refuse("watches", "be several Watch", got, "Pass watches=[Watch(...)], or () for none")
    return several


def outlets(sinks: Any) -> list[Any]:
    """Sinks one by one.

    Raises:
        ConfigError: if one has not what a sink has.
    """
    several = list(sinks) if isinstance(sinks, Iterable) and not isinstance(sinks, str) else [sinks]
    for sink in several:
        if not all(callable(getattr(sink, name, None)) for name in ("row", "event", "close")):
            refuse("sinks", "be several with row, event and close", type(sink).__name__, "Pass sinks=[JsonLines('run.jsonl')]")
    return several if isinstance(sinks, Iterable) else refuse("sinks", "be several", type(sinks).__name__, "Put it in a list")


def function(name: str, value: Any) -> Any:
    """A function, or None.

    Raises:
        ConfigError: if it is neither.
    """
    if value is not None and not callable(value):
        refuse(name, "be a function", repr(value), "Pass one, or leave it out")
    return value

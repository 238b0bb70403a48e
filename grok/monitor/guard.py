"""What stands between the monitor and the user's loop: its errors, its hooks, and the sinks when the process ends."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.optim import Optimizer

from grok.monitor.sinks import Sink


class MonitorWarning(UserWarning):
    """The monitor turned something off, itself or a sink, or cannot see a step; training goes on."""


class Guarded(Protocol):
    """What of a monitor is needed here."""

    strict: bool
    off: str | None

    def _fail(self, error: BaseException) -> None: ...


class Guard:
    """Keeps an internal error from the user's loop: it turns the monitor off, or is raised where it is strict."""

    def __init__(self, monitor: Guarded) -> None:
        self.monitor = monitor

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, Exception) or self.monitor.strict:
            return False
        self.monitor._fail(error)
        return True


def hook(monitor: Guarded, name: str, method: str) -> Callable[..., None]:
    """A hook of an optimiser that torch.compile does not look into: neither at it nor at what it calls."""
    eager: list[Callable[..., None]] = []

    def called(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if monitor.off is None:
            if eager or "torch._dynamo" in sys.modules:  # its import takes a second, and nothing compiles without it
                eager[:] = eager or [torch.compiler.disable(getattr(monitor, method))]  # type: ignore[no-untyped-call]
            with torch.no_grad():
                (eager[0] if eager else getattr(monitor, method))(name, optimizer)

    called._torchdynamo_disable = True  # type: ignore[attr-defined]
    return called


def told(error: BaseException) -> str:
    """An error in one line: its cause where there is one."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"


def process() -> list[int]:
    """The number of this process, and of how many."""
    import torch.distributed as dist

    several = dist.is_available() and dist.is_initialized()
    return [dist.get_rank(), dist.get_world_size()] if several else [0, 1]


def writes() -> bool:
    """Whether this process is the one that writes: the first of them, where there are several."""
    return process()[0] == 0


def close_all(sinks: list[Sink]) -> None:
    """Close the sinks of a monitor that is gone or whose process ends; one that fails is told."""
    for sink in sinks:
        try:
            sink.close()
        except Exception as error:
            warnings.warn(f"{type(sink).__name__} is off: {told(error)}", MonitorWarning, stacklevel=2)

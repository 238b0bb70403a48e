"""The monitor with an engine of Ignite: `SpectralHandler(model, optimizer, window=20).attach(trainer)`."""

from __future__ import annotations

import warnings
from typing import Any

from ignite.engine import Engine, Events

from grok.monitor.guard import MonitorWarning
from grok.monitor.spectral import SpectralMonitor


class SpectralHandler:
    """Monitors a model while an engine runs; its iteration is the step of each row.

    Args:
        model: that is trained. optimizer: that trains it.
        settings: of `SpectralMonitor`.

    Attributes:
        monitor: with `state_dict` and `load_state_dict`, as Ignite's `Checkpoint` takes them.
    """

    def __init__(self, model: Any, optimizer: Any, **settings: Any) -> None:
        self.monitor = SpectralMonitor(model, **settings)
        self.optimizer = optimizer

    def attach(self, engine: Engine) -> None:
        """Attach the optimiser when the engine starts, and detach it when it ends; tell of a run that goes on without one."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.COMPLETED, self._end)
        engine.add_event_handler(Events.TERMINATE, self._end)

    def _start(self, engine: Engine) -> None:
        self.monitor.detach()  # a run that ended by an error left it attached
        if engine.state.iteration and not any(self.monitor.updates.values()):
            line = f"The monitor starts anew at iteration {engine.state.iteration}: no state of it was loaded"
            warnings.warn(line, MonitorWarning, stacklevel=2)
        self.monitor.attach(self.optimizer, step=lambda: int(engine.state.iteration))

    def _end(self, engine: Engine) -> None:
        self.monitor.detach()

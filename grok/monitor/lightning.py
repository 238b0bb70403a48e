"""The monitor as a callback of Lightning: `Trainer(callbacks=[SpectralCallback(window=20)])`."""

from __future__ import annotations

import math
import warnings
from typing import Any

from lightning.pytorch.callbacks import Callback

from grok.monitor.guard import MonitorWarning
from grok.monitor.sinks import Call
from grok.monitor.spectral import SpectralMonitor


class SpectralCallback(Callback):
    """Monitors the module that is fitted, each of its optimisers with its own count, and resumes from Lightning's checkpoints.

    Args:
        log_every: updates between the rows that go to the trainer's loggers, as `monitor/BLOCK/COLUMN`; 0: none.
        settings: of `SpectralMonitor`.

    Attributes:
        monitor: from the start of the fit on.
    """

    def __init__(self, *, log_every: int = 0, **settings: Any) -> None:
        self.settings, self.log_every = settings, log_every
        self.monitor: SpectralMonitor | None = None
        self._loaded: dict[str, Any] | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach to every optimiser of the trainer; tell if it is not the first step and there is no state to go on from."""
        monitor = SpectralMonitor(pl_module, **self.settings)
        if self.log_every:
            monitor.sinks.append(Call(lambda row: self._log(trainer, row)))
        several = len(trainer.optimizers) > 1
        for i, optimizer in enumerate(trainer.optimizers):
            monitor.attach(optimizer, f"optimizer_{i}" if several else "", step=lambda: trainer.global_step + 1)
        if self._loaded is not None:
            monitor.load_state_dict(self._loaded)
            self._loaded = None
        elif trainer.global_step:
            line = f"The monitor starts anew at step {trainer.global_step}: no checkpoint with a state of it was loaded"
            warnings.warn(line, MonitorWarning, stacklevel=2)
        self.monitor = monitor

    def _log(self, trainer: Any, row: dict[str, Any]) -> None:
        if row["update"] % self.log_every == 0:
            block, step = row["block"], row["step"]
            shown = {f"monitor/{block}/{n}": v for n, v in row.items() if isinstance(v, float) and math.isfinite(v)}
            for logger in trainer.loggers:
                logger.log_metrics(shown, step=step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the hooks away; the monitor can still be read."""
        if self.monitor is not None:
            self.monitor.detach()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Likewise."""
        self.on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """For Lightning's checkpoint, which has one process's: nothing where each holds its own shards."""
        if self.monitor is not None and self.monitor.sharded:
            warnings.warn("Sharded: a run that is resumed starts the monitor anew", MonitorWarning, stacklevel=2)
            return {}
        return {} if self.monitor is None else self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From Lightning's checkpoint, before the fit starts."""
        self._loaded = state_dict or None

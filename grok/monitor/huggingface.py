"""The monitor as a callback of Hugging Face's Trainer: `Trainer(..., callbacks=[SpectralCallback(window=20)])`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from grok.monitor import saved as states
from grok.monitor.guard import MonitorWarning, process
from grok.monitor.spectral import SpectralMonitor
from grok.spec.limited import free_memory

EARLIER = ".pt"
"""Ending of the states of earlier versions."""


class SpectralCallback(TrainerCallback):
    """Monitors the model that is trained, and goes on from the trainer's checkpoints.

    Args:
        settings: of `SpectralMonitor`.

    Attributes:
        monitor: from the start of the training on.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.monitor: SpectralMonitor | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Attach to the trainer's optimiser; load what the checkpoint that it resumes from has."""
        if self.monitor is not None:
            self.monitor.detach()  # a training that ended by an error left it attached
        self.monitor = SpectralMonitor(kwargs["model"], **self.settings)
        self.monitor.attach(kwargs["optimizer"], step=lambda: int(state.global_step) + 1)
        saved = self._file(args, state)
        if state.global_step and saved.is_file():
            self.monitor.load_state_dict(states.load(saved, free_memory()))
        elif state.global_step:
            earlier = saved.with_suffix(EARLIER)
            why = f"{earlier} of an earlier version is a pickle, which is not read" if earlier.is_file() else f"no {saved}"
            warnings.warn(f"The monitor starts anew at step {state.global_step}: {why}", MonitorWarning, stacklevel=2)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the state beside the checkpoint's; where parameters are sharded, each process its own."""
        if self.monitor is not None and (state.is_world_process_zero or self.monitor.sharded):
            saved = self._file(args, state)
            saved.parent.mkdir(parents=True, exist_ok=True)
            states.save(saved, self.monitor.state_dict())

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the hooks away; the monitor can still be read."""
        if self.monitor is not None:
            self.monitor.detach()

    def _file(self, args: Any, state: Any) -> Path:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        sharded = self.monitor is not None and self.monitor.sharded
        return folder / (f"spectral_monitor_{process()[0]}.safetensors" if sharded else "spectral_monitor.safetensors")

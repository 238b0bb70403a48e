"""The monitor as a callback of Hugging Face's Trainer: `Trainer(..., callbacks=[SpectralCallback(window=20)])`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from grok.monitor.spectral import SpectralMonitor

FILE = "spectral_monitor.pt"
"""In each checkpoint's folder."""


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
        self.monitor = SpectralMonitor(kwargs["model"], **self.settings)
        self.monitor.attach(kwargs["optimizer"], step=lambda: int(state.global_step) + 1)
        saved = self._folder(args, state) / FILE
        if state.global_step and saved.is_file():
            self.monitor.load_state_dict(torch.load(saved, weights_only=True))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the state beside the checkpoint's."""
        if self.monitor is not None and state.is_world_process_zero:
            torch.save(self.monitor.state_dict(), self._folder(args, state) / FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the hooks away; the monitor can still be read."""
        if self.monitor is not None:
            self.monitor.detach()

    def _folder(self, args: Any, state: Any) -> Path:
        return Path(args.output_dir) / f"checkpoint-{state.global_step}"

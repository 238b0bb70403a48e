"""Which device a config's name means, and whether this machine has it."""

from __future__ import annotations

import torch

from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:N` means on this machine."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def check_device(config: RunConfig) -> None:
    """Refuse a device that this machine lacks.

    Raises:
        ConfigError: if cuda, or cuda:N, is asked for and is not there.
    """
    if config.device in ("auto", "cpu"):
        return
    index, count = torch.device(config.device).index or 0, torch.cuda.device_count()
    if index >= count:
        raise ConfigError(f"device must be one of this machine's ({count} cuda devices), got {config.device}. Use cpu or auto.")

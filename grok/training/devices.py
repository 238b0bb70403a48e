"""Which device a config means, whether this machine has it and the library of a named rounding, and how sums are rounded."""

from __future__ import annotations

import torch

from grok.numerics.linalg import fastest_library, has_library
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError, refuse
from grok.spec.roundings import LIBRARIES, Rounding, named


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:N` means on this machine."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def check_device(config: RunConfig) -> None:
    """Refuse a device that this machine lacks, and a rounding that its torch cannot give.

    Raises:
        ConfigError: if cuda, or cuda:N, is asked for and is not there; if a rounding is named for a GPU, or for a library that
            is not there.
    """
    pinned = named(config.rounding)
    if pinned is not None and resolve_device(config.device).type != "cpu":
        refuse("rounding", "be auto on a GPU", config.rounding, "Use device cpu, or auto")
    if pinned is not None and not has_library(pinned.library):
        there = ", ".join(library for library in LIBRARIES if has_library(library)) or "none"
        refuse("rounding", f"be of a library that this torch multiplies with ({there})", config.rounding, "Name one, or auto")
    if config.device in ("auto", "cpu"):
        return
    index, count = torch.device(config.device).index or 0, torch.cuda.device_count()
    if index >= count:
        raise ConfigError(f"device must be one of this machine's ({count} cuda devices), got {config.device}. Use cpu or auto.")


def rounding_used(config: RunConfig, rows: int, device: torch.device) -> Rounding:
    """What decides the order of summation of a training: what the config names, else what `auto` comes to in this process.

    Args:
        config: of the run. rows: a block, as the network has them. device: where it trains.
    """
    library = fastest_library(getattr(torch, config.precision), device)
    return named(config.rounding) or Rounding(library, rows if device.type == "cpu" else 0, torch.get_num_threads())


def rounding_facts(config: RunConfig, used: Rounding, device: torch.device, seeds: int = 1) -> str:
    """`rounding_used` and what else decides the bits, compactly: `library=onednn rows=256 order=forward threads=1 …`.

    Args:
        config: of the run. used: of `rounding_used`. device: where it trains. seeds: trained in lockstep, which decides bits on
            a GPU alone.
    """
    facts = {
        "library": used.library,
        "rows": used.rows,
        "order": "reversed" if used.reversed else "forward",
        "threads": used.threads,
        "precision": config.precision,
        "device": device.type,
        "seeds": seeds,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }
    return " ".join(f"{name}={value}" for name, value in facts.items())

"""How far the workers of a study on this machine are: a small file each, in a folder that the command looks into."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

EVERY_S = 1.0
"""Seconds between two notes."""


class Watch:
    """A `progress` of `train_tracked` that notes the epoch of its runs in a folder.

    Args:
        folder: that exists; empty for none. hashes: of the configs of a lockstep group.
    """

    def __init__(self, folder: str, hashes: Sequence[str]) -> None:
        self._paths = [Path(folder) / name for name in hashes] if folder else []
        self._next = 0.0

    def __call__(self, epoch: int, metrics: dict[str, float]) -> None:
        """Note the epoch, not oftener than each second. What the disk does not take is not noted."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        with contextlib.suppress(OSError):
            for path in self._paths:
                path.write_text(str(epoch), encoding="ascii")


def epochs_in(folder: Path | None) -> dict[str, int]:
    """The newest epoch of each run at work, by the hash of its config; of none where there is no folder."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()) if folder is not None else ():
            with contextlib.suppress(OSError, ValueError):
                found[path.name] = int(path.read_text(encoding="ascii"))
    return found

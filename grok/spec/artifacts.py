"""Names of the files that a run of a config leaves for its readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grok.spec.config import ResolvedConfig

HISTORY = "history.parquet"
"""A row per epoch, or per epoch that was evaluated."""
BAND, FACTORS = "delta_w/band.npz", "delta_w/factors.npz"
"""By layer, and by kind of factor and layer."""
WEIGHTS = "checkpoints/epoch-{:05d}.safetensors"
"""Of an epoch, by layer."""
SLACK = 1 << 20
"""Bytes that a file may have beyond what its run's config asks for."""
LAYERS = 16
"""Layers of a network at most, where it is not known."""


def needed(config: ResolvedConfig, complete: bool) -> tuple[str, ...]:
    """The files without which a finished run does not stand for its config.

    Args:
        config: of the run. complete: whether it came to its last epoch; one that diverged has not all checkpoints.
    """
    factors = (FACTORS,) if config.spectrum_methods != ("gram",) else ()
    return (HISTORY, BAND, *factors, *(WEIGHTS.format(epoch) for epoch in config.checkpoint_epochs if complete))


def bounds(config: ResolvedConfig) -> dict[str, int]:
    """What the files of a run may ask for by its config, by name: they are small on disk whatever they unfold to.

    Args:
        config: of the run.

    Returns:
        Bytes of all arrays of `BAND` and of `FACTORS`, rows of `HISTORY`.
    """
    rows, kinds = config.epochs + 1, len(config.spectrum_methods)
    numbers = {BAND: config.max_window, FACTORS: kinds * config.window**2}
    return {HISTORY: rows} | {name: 8 * LAYERS * rows * count + SLACK for name, count in numbers.items()}

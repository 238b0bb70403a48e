"""What a signal of one's own gives while it is used: float64 of the right shape each time, or one line that names it."""

from __future__ import annotations

import numpy as np

from grok.spec.plugins import failed


def checked(name: str, found: np.ndarray, shape: tuple[int, ...] | None, *, whole_too: bool) -> np.ndarray:
    """What it gave, as it is.

    Args:
        name: `module:NAME`. found: what it gave. shape: that it must have; None for any.
        whole_too: whether whole numbers will do, as of one epoch they do.

    Raises:
        OwnCodeError: if it is of another dtype or shape.
    """
    exact = found.dtype == np.float64 or (whole_too and found.dtype.kind in "iu")
    if not exact or shape not in (None, found.shape):
        wanted = "float64" if shape is None else f"float64 {shape}" if shape else "one float64"
        raise failed("signal", name, f"it gives {found.dtype} {found.shape} for {wanted}")
    return found

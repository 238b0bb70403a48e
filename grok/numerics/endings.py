"""How a training ended, read from its series: with numbers to the end, diverged, or collapsed to a network that says nothing.

The definition stands before the runs that it judges: a claim that a network diverges is a claim about its loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

TRIVIAL_LOSS = 1e-6
"""How near a training loss must be to 1 − 1/C, that of an output of zero. Losses are sums in float64."""
VANISHED = 1e-3
"""Share of its initial norm below which a layer has vanished. No layer that learns is there."""


class Ending(NamedTuple):
    """How a training ended.

    Attributes:
        state: `diverged`: the training loss is not finite from `epoch` on; `collapsed`: from `epoch` to the end every layer has
            vanished and the loss is that of an output of zero, all numbers being finite; else `ran`.
        epoch: None where it ran.
    """

    state: str
    epoch: int | None


def ending(loss: np.ndarray, norms: Mapping[str, np.ndarray], classes: int, last_epoch: int) -> Ending:
    """How a finished training ended.

        diverged: loss(t) is not finite, or the series ends at t ≤ last_epoch, as that of a diverged run does
        collapsed: for all s ≥ t  |loss(s) − (1 − 1/C)| ≤ 1e-6  and  ‖layer(s)‖ ≤ 1e-3 ‖layer(0)‖ of each layer

    Args:
        loss: (T + 1,) float64, training loss at each epoch from 0 on. norms: by layer, (T + 1,) float64, Frobenius.
        classes: C. last_epoch: of the config.

    Raises:
        ValueError: if there is no epoch, or a series of another length.

    Source: ours. Xu (arXiv 2605.08119), M × p table, says "numerical divergence" of M = 127, p = 0.5.

    Example: two layers that shrink tenfold an epoch, with no output from the start.
        >>> shrinking = 10.0 ** -np.arange(6)
        >>> ending(np.full(6, 0.9), {"w": shrinking, "v": 2 * shrinking}, classes=10, last_epoch=5)
        Ending(state='collapsed', epoch=3)
    """
    if not len(loss) or {len(norm) for norm in norms.values()} != {len(loss)}:
        lengths = ", ".join(str(len(series)) for series in (loss, *norms.values()))
        raise ValueError(f"loss and norms must cover the same epochs from 0 on, got {lengths}. Give whole histories.")
    broken = np.flatnonzero(~np.isfinite(loss))
    if len(broken) or len(loss) <= last_epoch:
        return Ending("diverged", int(broken[0]) if len(broken) else len(loss))
    silent = np.abs(loss - (1 - 1 / classes)) <= TRIVIAL_LOSS
    for norm in norms.values():
        silent &= norm <= VANISHED * norm[0]
    others = np.flatnonzero(~silent)
    first = int(others[-1]) + 1 if len(others) else 0
    return Ending("collapsed", first) if first < len(loss) else Ending("ran", None)

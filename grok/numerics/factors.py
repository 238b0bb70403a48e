"""Factors of many raw windows at once, from which the full, float32 and randomised spectra follow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from grok.numerics.spectra import window_factor


def window_factors(updates: Tensor, window: int, count: int, kind: str) -> np.ndarray:
    """The `window_factor` of each of the windows that end at the last `count` updates, by one pass over them all.

    The triangular factor R of all updates Δ = QR serves each window: its columns of R have the singular values of its
    columns of Δ. Of the float32 Gram a window's is a diagonal block. Where updates are fewer than a window takes, the
    window is what there is.

    Args:
        updates: (c, P), one a row, oldest first; the window before the first of them must not be asked for.
        window: w ≥ 1. count: b in [1, c].
        kind: `gram32` or `qr`.

    Returns:
        (b, w, w): row i for the window that ends at update c − b + i, newest first, NaN beyond what exists; float32 for
        `gram32`, else float64.
    """
    whole = window_factor(updates, "gram32" if kind == "gram32" else "svd")
    total = len(updates)
    out = np.full((count, window, window), np.nan, dtype=whole.dtype)
    for i, end in enumerate(range(total - count + 1, total + 1)):
        size = min(window, end)
        newest_first = np.arange(end - 1, end - size - 1, -1)
        if kind == "gram32":
            out[i, :size, :size] = whole[np.ix_(newest_first, newest_first)]
        else:  # rows of R below the newest update's are zero in these columns
            columns = torch.from_numpy(whole[:end, newest_first])
            out[i, :size, :size] = torch.linalg.qr(columns, mode="r").R.numpy()
    return out

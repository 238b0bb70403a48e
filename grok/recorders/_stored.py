"""What the files that recorders left must hold, whoever has written them since: flaws in words, empty where there is none.

Shapes: T updates, L lags, w window.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from grok.numerics.methods import factor_kind
from grok.spec.config import ResolvedConfig
from grok.spec.plugins import NETWORKS

MEASURED, LOSS = ("accuracy/train", "accuracy/test"), "loss/train"
"""Columns of a history that are known at each of its epochs, and one that is unless it was left behind."""
ROUNDED = 1e-6
"""Of its largest value, by how much a loss may be below 0: it is a difference of sums, in float32 where the network is."""


def flaw_of_band(name: str, band: np.ndarray) -> str:
    """What is wrong with the numbers of a band: entry [t − 1, l] is finite where l < t, and a square where l is 0."""
    lags = np.arange(band.shape[1])[None, :]
    known = lags < np.arange(1, len(band) + 1)[:, None]
    if not np.isfinite(band[known]).all():
        return f"its band {name} must have finite inner products, got others"
    return f"its band {name} must have squares of updates ≥ 0, got others" if (band[:, 0] < 0).any() else ""


def flaw_of_scores(table: pd.DataFrame) -> str:
    """What the scores of a run that came to its end must be and are not, in words; empty if nothing.

    An accuracy is a share, a loss is a number ≥ 0 but for rounding; a run whose loss is none has diverged. A loss that came
    without its column's values, or other accuracies where they were not measured, may be unknown.
    """
    for name in (name for name in map(str, table) if name.startswith(("accuracy/", "loss/"))):
        values = table[name].to_numpy(dtype=np.float64)
        known, share = values[~np.isnan(values)], name.startswith("accuracy/")
        gaps = len(known) < len(values) and (name in MEASURED or (name == LOSS and len(known) > 0))
        least = 0.0 if share or not len(known) else -ROUNDED * known.max()
        if gaps or not (known >= least).all() or (known > (1 if share else np.finfo(np.float64).max)).any():
            return f"{name} {'in [0, 1]' if share else 'finite and ≥ 0'} at every epoch"
    return ""


def flaw_of_factors(config: ResolvedConfig, factors: Mapping[str, np.ndarray], complete: bool) -> str:
    """What the window factors of a run must be by its config and are not, in words; empty if nothing.

    Args:
        config: of the run. factors: by `<kind>_<layer>`, (T + 1, w, w). complete: whether the run came to its end: every full
            window has a factor then.
    """
    network = NETWORKS.find(config.network) if config.network in NETWORKS.names else None
    kinds = {factor_kind(method) for method in config.spectrum_methods if method != "gram"}
    layers = network.watched if network is not None else {name.partition("_")[2] for name in factors}
    names = {f"{kind}_{layer}" for kind in kinds for layer in layers}
    if not names <= set(factors):
        return f"factors {', '.join(sorted(names))}"
    rows, side = config.epochs + 1, config.window
    if any(one.shape[1:] != (side, side) or (complete and len(one) != rows) for one in factors.values()):
        return f"factors of {side} × {side}, one for each of {rows} epochs"
    if complete and not all(np.isfinite(one[side:]).all() for one in factors.values()):
        return f"finite factors from epoch {side} on"
    return ""

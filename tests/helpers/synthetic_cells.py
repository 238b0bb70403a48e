"""Runs that were never trained: bands whose gap opens at a planted epoch, and bands of a random walk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.sensitivity.cells import Cells, Group

EPOCHS, LAGS, OPENS, DIMENSIONS = 160, 16, 80, 8


def band(rng: np.random.Generator, opens: int | None, lags: int = LAGS) -> np.ndarray:
    """(T, L) float64 of Gaussian updates; from epoch `opens` on all but two directions fade by e^{−0.1 t}, their λ by twice
    that, so that log λ₂/λ₃ grows by 0.2 an epoch once the old updates have left the window.
    """
    updates = rng.standard_normal((EPOCHS, DIMENSIONS))
    if opens is not None:
        updates[:, 2:] *= np.exp(-0.1 * np.maximum(np.arange(1, EPOCHS + 1) - opens, 0))[:, None]
    gram = updates @ updates.T
    return np.array([[gram[t, t - lag] if lag <= t else np.nan for lag in range(lags)] for t in range(EPOCHS)])


def cell(activation: str, condition: str, opens: int | None, seeds: int, seed: int, lags: int = LAGS) -> Group:
    """Runs of one condition; the test accuracy passes 0.5 twenty epochs after the gap opens."""
    rng = np.random.default_rng([seed, *f"{activation} {condition}".encode()])
    bands = [{"w": band(rng, opens, lags), "v": band(rng, None, lags)} for _ in range(seeds)]
    table = pd.DataFrame(
        {
            "run_id": [f"{activation}-{condition}-{n}-{seed}" for n in range(seeds)],
            "seed": range(seeds),
            "epochs": EPOCHS,
            "test_50": OPENS + 20.0 if condition == "grok" else np.nan,
            "methods": [("gram",)] * seeds,
        }
    )
    return Group(activation, condition, "made", table, bands, [{} for _ in range(seeds)])


def made_cells(
    seed: int = 0,
    signal: bool = True,
    seeds: int = 10,
    activations: tuple[str, ...] = ("square",),
    conditions: tuple[str, ...] = ("grok", "eta0"),
    lags: int = LAGS,
) -> Cells:
    """Grokking runs with the planted gap (or, without signal, none) and controls without one, of each activation."""
    cells = {}
    for activation in activations:
        for condition in conditions:
            opens = OPENS if signal and (activation, condition) == ("square", "grok") else None
            cells[activation, condition] = cell(activation, condition, opens, seeds, seed, lags)
    return Cells(cells, {}, (), pd.DataFrame())


def with_raw(cells: Cells, window: int, conditions: tuple[str, ...] = ("grok", "eta0")) -> Cells:
    """The same, and square's runs of some conditions once more with raw spectra of up to `window` updates."""
    raw = {}
    for condition in conditions:
        known = cells.cells["square", condition]
        table = known.table.assign(methods=[("gram", "svd")] * len(known.table))
        raw["square", condition] = replace(known, table=table, factors=[{"r_w": np.ones((EPOCHS, window))}] * len(table))
    return replace(cells, raw=raw)

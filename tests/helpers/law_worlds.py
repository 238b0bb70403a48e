"""Evidence of studies of the registry whose runs grok when a law says, with the signals that a test makes up."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.sources import Sources
from analysis.reading.runs import grid
from grok.spec.config import ResolvedConfig, told_fields

Law = Callable[[ResolvedConfig, str], float]
"""T_grok of a run by its config and condition; NaN of one that never groks."""
MEMORISED = 50.0


class MadeUp:
    """Evidence of studies of the registry, whose runs memorise at 50 and grok when a law says."""

    def __init__(self, law: Law, tables: Callable[[ResolvedConfig, float], pd.DataFrame] | None = None) -> None:
        self.law, self.made = law, tables
        self.known: dict[str, tuple[ResolvedConfig, float]] = {}
        self.runs, self.signals = functools.cache(self._runs), functools.cache(self._signals)

    @staticmethod
    def command(study: str) -> str:
        return f"run {study}"

    def _runs(self, study: str) -> pd.DataFrame:
        rows, told = [], told_fields(cell.config for cell in grid(study))  # as the reader of a store has them: not every field
        for number, cell in enumerate(grid(study)):
            time, run_id = self.law(cell.config, cell.condition), f"{study}-{number}"
            self.known[run_id] = cell.config, time
            row = {name: getattr(cell.config, name) for name in told} | {
                "run_id": run_id,
                "condition": cell.condition,
                "state": "complete",
            }
            row |= {"config_hash": cell.config.hash, "train_99_epoch": MEMORISED}
            rows.append(row | {"test_50_epoch": time - 20, "test_99_epoch": time})
        return pd.DataFrame(rows)

    def history(self, run_id: str) -> pd.DataFrame:
        config, time = self.known[run_id]
        epochs = np.arange(config.epochs + 1)
        accuracy = np.zeros(len(epochs)) if math.isnan(time) else 0.5 * (1 + np.tanh((epochs - time + 20) / 8))
        norm = 80 * np.exp(-2e-4 * epochs) * (1 + np.minimum(epochs, 40) / 400)  # rises by a tenth, then decays
        return pd.DataFrame({"epoch": epochs, "accuracy/test": accuracy, "norm/w1": norm})

    def _signals(self, run_id: str) -> pd.DataFrame:
        assert self.made is not None
        return self.made(*self.known[run_id])


def sources(law: Law, tables: Any = None) -> Sources:
    return Sources(MadeUp(law, tables))  # type: ignore[arg-type]


def everything(config: ResolvedConfig, time: float) -> pd.DataFrame:
    """Of the study `signals`: every signal that a claim reads, announcing 80 epochs before grokking where a run groks."""
    epochs = np.arange(0, 801, 10)
    before = epochs >= (time - 80 if not math.isnan(time) else math.inf)
    rise = before * 1.0
    made = {
        ("ildr", ""): 1 + 9 * rise,
        ("commutator", ""): 1 + 99 * rise,
        ("spectral_entropy", ""): 0.9 - 0.4 * rise,
        ("hankel_dmd", "rows 50"): 0.1 + rise,
        ("lar", "raw"): 0.5 + 0.2 * rise,
        ("topology", ""): rise - 1,
        ("topology", "detrended"): -np.ones(len(epochs)),
        ("norm_peak", ""): 0.1 * rise,
        ("restricted_loss", ""): 1 - 0.5 * rise,
        ("weight_norm", ""): 60 - 10 * rise,
    }
    parts = [pd.DataFrame({"epoch": epochs, "signal": s, "variant": v, "value": value}) for (s, v), value in made.items()]
    return pd.concat(parts, ignore_index=True)

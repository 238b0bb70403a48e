"""Evidence without a store: made-up runs of the registry's studies, the same every time."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from analysis.reading.evidence import Evidence
from grok.spec.studies import Cell, load_study
from grok.store.errors import StoreError
from tests.helpers.synthetic import measured_ranks


class FakeEvidence(Evidence):
    """What `Evidence` answers, for studies of `grok/spec/studies/xu.yaml` whose runs are made up here.

    Args:
        studies: names that have runs. keep: of a study's cells, which have one.
    """

    def __init__(self, studies: tuple[str, ...] = (), keep: Any = None, sensitivity: bool = False) -> None:
        self._names = studies
        self._keep = keep or (lambda cell: True)
        self._runs: dict[str, pd.DataFrame] = {}
        self._sensitivity = sensitivity
        self._odd = pd.DataFrame(columns=["run_id", "name", "study", "condition", "reason"])
        self._config = functools.cache(self._find)
        self._kept = functools.cache(self._made)

    @property
    def studies(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._names

    @property
    def left_out(self) -> pd.DataFrame:  # type: ignore[override]
        return self._odd

    @left_out.setter
    def left_out(self, table: pd.DataFrame) -> None:
        self._odd = table

    def runs(self, study: str) -> pd.DataFrame:
        if study not in self._runs:
            cells = [cell for cell in load_study(study).cells if self._keep(cell)] if study in self._names else []
            self._runs[study] = (
                pd.DataFrame([_row(cell) for cell in cells]) if cells else pd.DataFrame(columns=["run_id", "condition"])
            )
        return self._runs[study]

    def _find(self, run_id: str) -> pd.Series:
        for study in self._names:
            table = self.runs(study)
            if len(places := np.flatnonzero(table["run_id"] == run_id)):
                return table.iloc[places[0]]
        raise KeyError(run_id)

    def history(self, run_id: str) -> pd.DataFrame:
        return self._kept(run_id)

    def _made(self, run_id: str) -> pd.DataFrame:
        run = self._config(run_id)
        rng, t = np.random.default_rng(int(run_id[:8], 16)), np.arange(run["epochs"] + 1)
        grown = 0.5 + 0.5 * np.tanh((t - np.nan_to_num(run["test_50_epoch"], nan=1e5)) / 24)
        table = pd.DataFrame({"epoch": t, "accuracy/test": np.clip(grown + 0.01 * rng.random(len(t)), 0, 1)})
        table["loss/train"] = np.geomspace(1.0, 0.1 if run["weight_decay"] > 0 else 1e-4, len(t))
        for k in range(1, 6):
            table[f"delta_w/lambda_{k}"] = 10.0 ** (1 - k - t / 150) * rng.lognormal(0, 0.2, len(t))
        table["delta_w/gap_23"] = self.gap(run_id)
        table["features/rho"] = 0.05 + 0.1 * grown
        at = np.isin(t, [50, 100, 175, 250, 300, 400, 500, 800])
        for name, level in (("rate", 0.9), ("published_estimator", 0.89), ("theorem6", 1.0), ("null_rate", 0.54)):
            table[f"repulsion/{name}"] = np.where(at, np.clip(level + 0.02 * rng.standard_normal(len(t)), 0, 1), np.nan)
        table["repulsion/theorem6"] = np.where(at, 1.0, np.nan)
        table["repulsion/null_low"], table["repulsion/null_high"] = (
            table["repulsion/null_rate"] - 0.06,
            table["repulsion/null_rate"] + 0.06,
        )
        return table

    def gap(self, run_id: str, *, window: int = 20, k: int = 2, method: str = "gram", seed: int = 0) -> np.ndarray:
        run = self._config(run_id)
        rng, t = np.random.default_rng(int(run_id[:8], 16) + window), np.arange(run["epochs"] + 1)
        rise = 150 * (1 + np.tanh((t - 175) / 20)) if run["condition"] == "grok" and run["activation"] == "square" else 0 * t
        return np.asarray((1.3 + rise * 20 / window) * rng.lognormal(0, 0.05, len(t)))

    def measured(self, run_id: str, kind: str) -> pd.DataFrame:
        if kind != "ranks":
            raise StoreError(f"{kind} must have been measured, got none of run {run_id}. Run python -m entry_points.measure.")
        return measured_ranks(SimpleNamespace(config=self._config(run_id)), False)

    def band(self, run_id: str) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def sensitivity(self) -> dict[str, Any] | None:
        return {"run_id": "5" * 32} if self._sensitivity else None

    @property
    def files(self) -> Any:  # type: ignore[override]
        return self

    def csv(self, run_id: str, path: str) -> pd.DataFrame:
        assert (run_id, path) == ("5" * 32, "surface.csv")
        rows = [
            (activation, control, window, threshold, tpr, fpr)
            for activation in ("square", "relu")
            for control in ("eta0", "random_labels", "data_starved", "all")
            for window in range(3, 65)
            for threshold in np.linspace(-0.05, 0.15, 21).round(3).tolist()
            for tpr in [float(window < 50 and threshold < 0.08) if activation == "square" else 0.1]
            for fpr in [float(window < 12) if control == "eta0" else 0.6]
        ]
        table = pd.DataFrame(rows, columns=["activation", "control", "window", "threshold", "tpr", "fpr"])
        return table.assign(j=table["tpr"] - table["fpr"])


def _row(cell: Cell) -> dict[str, Any]:
    config = cell.config.resolved()
    rng = np.random.default_rng(int(config.hash[:8], 16))
    starved = config.labels == "random" or config.n_train < 0.15 * config.modulus**2
    groks = config.weight_decay > 2e-5 and not starved and config.modulus * config.n_train < 900_000
    fires = cell.condition not in ("eta0",) and config.activation in ("square", "abs", "cube")
    test = 100 + 0.02 / config.weight_decay + 4 * rng.standard_normal() if groks else np.nan
    rho = 0.8 * test - 60 + 10 * rng.standard_normal() if groks else 14.0
    measured = {
        "fired": float(fires),
        "fire_epoch": 170.0 + rng.integers(8) if fires else np.nan,
        "late_gap_23": (300 if fires else 1.3) * rng.lognormal(0, 0.1),
        "test_50_epoch": test,
        "test_99_epoch": test + 38,
        "accuracy/test": 1.0 if groks else 0.03,
        "rho_epoch": max(rho, 5),
        "lead": test - max(rho, 5),
    }
    known = config.values()
    state = "diverged" if config.modulus == 127 and config.n_train > 8000 else "complete"
    return (
        {"run_id": config.hash.ljust(32, "0")[:32], "condition": cell.condition, "state": state, "config_hash": config.hash}
        | known
        | measured
    )

"""What claims, errata and figures read: the runs of a store, each file read once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis import queries
from grok.studies import REGISTRY, load_file
from grok.tracking import Store


class Evidence:
    """A store's finished runs and their files, cached by run id.

    Runs that are running, failed or interrupted, of another schema or with a file that cannot be read are left out, each
    with a reason. A second one of the same store gives the same content in the same order.

    Args:
        store: any backend.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._cache = queries.RunCache(store)

    @cached_property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies that runs are tagged with: those of the registry in its order, then others by name."""
        return tuple(queries.study_names(self._cache.all_runs))

    def runs(self, study: str) -> pd.DataFrame:
        """The finished runs of a study, as `queries.study_runs` has them; empty if it has none."""
        return self._cache.study(study).table

    @property
    def left_out(self) -> pd.DataFrame:
        """Every other training run: run_id, name, study, condition, reason."""
        return self._cache.left_out

    def history(self, run_id: str) -> pd.DataFrame:
        """`history.parquet`: a row per epoch."""
        return self._cache.history(run_id)

    def band(self, run_id: str) -> dict[str, np.ndarray]:
        """`w` and `v`, (T, L) float64."""
        return self._cache.arrays(run_id, "delta_w/band.npz")

    def factors(self, run_id: str) -> dict[str, np.ndarray]:
        """`<kind>_<layer>`, (T + 1, w, w), of runs that recorded raw spectra."""
        return self._cache.arrays(run_id, "delta_w/factors.npz")

    def weights(self, run_id: str, epoch: int) -> dict[str, np.ndarray]:
        """`w` (2M, K) and `v` (K, M) at a checkpoint epoch."""
        return self._cache.weights(run_id, epoch)

    def sensitivity(self) -> dict[str, Any] | None:
        """`sensitivity.json` of the newest complete sensitivity run with `run_id` added; None without one."""
        return self._cache.newest_json({"kind": "sensitivity", "state": "complete"}, "sensitivity.json")

    @staticmethod
    def command(study: str) -> str:
        """The command that makes a study's runs."""
        name = study if study in load_file(REGISTRY, prefix="") else study.replace("/", ".yaml:", 1)
        return f"mlflow run . -e study -P study={name}"

    def load(self, run_ids: Iterable[str]) -> None:
        """Read the bands of runs in parallel, for what is to come."""
        self._cache.load(list(run_ids), "delta_w/band.npz")

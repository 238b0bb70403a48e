"""What claims, errata and figures read: the runs of a store, each file read once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.reading.derived import with_rho
from analysis.reading.files import RunFiles
from analysis.reading.runs import (
    LEFT_OUT,
    Runs,
    conditions,
    is_own,
    registered,
    select,
    stored_name,
    study_names,
    training_runs,
)
from grok.numerics.gaps import gap_series
from grok.recorders.spectrum import BAND, FACTORS
from grok.store.store import Store

SENSITIVITY = {"kind": "sensitivity", "state": "complete"}
"""Tags of the runs that hold a sensitivity study."""
SENSITIVITY_STUDY = "sensitivity"
"""Stands among the studies that a figure reads for the newest run of the entry point `sensitivity`."""
NO_STUDY, ANOTHER = "of no study", "another run of the same config counts"


class Evidence:
    """A store's finished runs and their files, cached by run id.

    Runs that are running, failed or interrupted, of another schema or with a file that cannot be read are left out, each
    with a reason. A second one of the same store gives the same content in the same order.

    Args:
        store: any backend.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._found = training_runs(store)
        self.files = RunFiles(store, self._found)
        self._studies: dict[str, Runs] = {}
        self._series: dict[tuple[str, str, int, int, int], np.ndarray] = {}

    @cached_property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies that runs are tagged with: those of the registry in its order, then others by name."""
        there, known = study_names(self._found), registered()
        return tuple(sorted(there, key=lambda name: (known.index(name) if name in known else len(known), name)))

    def runs(self, study: str) -> pd.DataFrame:
        """The finished runs of a study: a row per config as `select` has it, with `rho_epoch` and `lead`; by condition,
        activation, seed and config. Empty if the study has none.

        A run of another study, or of none, counts too where its config is in the grid of the registry's study: seed 0 of
        `quick` is seed 0 of `headline`.
        """
        return self.select(study).table

    def select(self, study: str) -> Runs:
        """The finished runs of a study as `runs` has them, and its other runs with a reason each.

        The one reader of "the runs of a study": of the report, of the study's own summary and of the sensitivity. One of
        your own is `file.yaml:name`, as for the command that trains it, or `file/name`, as the store has it.
        """
        study = stored_name(study)
        if study not in self._studies:
            found = select(self._found, study, files=self.files, grid=conditions(study))
            table = found.table
            if len(table):
                keys = ["condition", "activation", "weight_decay", "modulus", "n_train", "seed", "config_hash"]
                table = table.sort_values(keys, ignore_index=True)
                table = with_rho(table, {run_id: self.history(run_id) for run_id in table["run_id"]})
            self._studies[study] = Runs(table, found.left_out)
        return self._studies[study]

    @cached_property
    def left_out(self) -> pd.DataFrame:
        """Every other training run: run_id, name, study, condition, reason; those of no study among them."""
        parts = [self.select(study).left_out for study in self.studies]
        stray = [run for run in self._found if not run.studies]
        alone = select(stray, files=self.files)
        names = {run.run_id: run.name for run in stray}
        used = {run_id for study in registered() for run_id in self.runs(study)["run_id"]}
        hashes = {text for study in registered() for text in self.runs(study)["config_hash"]}
        rows = [
            (run["run_id"], names[run["run_id"]], "", "", ANOTHER if run["config_hash"] in hashes else NO_STUDY)
            for run in alone.table.to_dict("records")
            if run["run_id"] not in used
        ]
        table = pd.concat([*parts, alone.left_out, pd.DataFrame(rows, columns=LEFT_OUT)], ignore_index=True)
        order = {study: number for number, study in enumerate((*self.studies, ""))}
        return table.sort_values(["study", "run_id"], key=lambda c: c.map(order) if c.name == "study" else c, ignore_index=True)

    def history(self, run_id: str) -> pd.DataFrame:
        """`history.parquet`: a row per epoch. Shared: not to be changed."""
        return self.files.history(run_id)

    def band(self, run_id: str) -> dict[str, np.ndarray]:
        """`w` and `v`, (T, L) float64. Shared: not to be changed."""
        return self.files.arrays(run_id, BAND)

    def factors(self, run_id: str) -> dict[str, np.ndarray]:
        """`<kind>_<layer>`, (T + 1, w, w), of runs that recorded raw spectra. Shared: not to be changed."""
        return self.files.arrays(run_id, FACTORS)

    def weights(self, run_id: str, epoch: int) -> dict[str, np.ndarray]:
        """`w` (2M, K) and `v` (K, M) at a checkpoint epoch; not kept in memory."""
        return self.files.weights(run_id, epoch)

    def gap(self, run_id: str, *, window: int = 20, k: int = 2, method: str = "gram", seed: int = 0) -> np.ndarray:
        """(T + 1,) float64: λ_k / λ_{k+1} of ΔW as `grok.numerics.gaps.gap_series` has it."""
        key = (run_id, method, window, k, seed)
        if key not in self._series:
            factors = {} if method == "gram" else self.factors(run_id)
            band = self.band(run_id)["w"]
            self._series[key] = gap_series(band, factors, method=method, window=window, k=k, seed=seed)
        return self._series[key]

    def sensitivity(self) -> dict[str, Any] | None:
        """`sensitivity.json` of the newest complete sensitivity run, with its `run_id`; None without one.

        One that tried the grids goes before any that only searched: the surfaces are there.
        """
        newest = None
        for run in self.store.find(SENSITIVITY):
            found = {"run_id": run.run_id} | dict(self.files.json(run.run_id, "sensitivity.json"))
            if found.get("neighbourhood"):
                return found
            newest = newest or found
        return newest

    @staticmethod
    def command(study: str) -> str:
        """The command that makes a study's runs."""
        if study == SENSITIVITY_STUDY:
            return "mlflow run . -e sensitivity -P study=headline"
        name = study if is_own(study) or study in registered() else study.replace("/", ".yaml:", 1)
        return f"mlflow run . -e study -P study={name}"

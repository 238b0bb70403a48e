"""What claims, errata and figures read: the runs of a store, each file read once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from analysis.reading.derived import with_rho
from analysis.reading.files import KEPT_BYTES, RunFiles, table_bytes
from analysis.reading.latest import Latest
from analysis.reading.runs import (
    LEFT_OUT,
    Runs,
    conditions,
    is_own,
    registered,
    select,
    stored_name,
    tagged_studies,
    training_runs,
)
from grok.numerics.gaps import gap_series
from grok.recorders._battery import TABLE as SIGNAL_TABLE
from grok.runs.measure import KINDS, ONSET_END, RANKS, RHO, ranks_of
from grok.spec.artifacts import BAND, FACTORS
from grok.spec.plugins import own_code
from grok.spec.studies import Study
from grok.store.errors import LeftOutError, StoreError
from grok.store.store import Store

LOG = logging.getLogger("grok")
MOST_HISTORIES = 100_000
"""That stay in memory, as far as they take no more than `KEPT_BYTES`: claims ask for each again and again."""
SENSITIVITY = {"kind": "sensitivity", "state": "complete"}
"""Tags of the runs that hold a sensitivity study."""
SENSITIVITY_STUDY = "sensitivity"
"""Stands among the studies that a figure reads for the newest run of the entry point `sensitivity`."""
DERIVED = "derived/gaps.parquet"
"""Artifact of a run that came without its band: gap series by epoch, columns `series` (as `series_name` has it) and `value`."""
DERIVED_RANKS = "derived/ranks.parquet"
"""Likewise what ranks are told from, of a run that was not measured."""
NO_STUDY, ANOTHER = "of no study", "another run of the same config counts"


def series_name(method: str, window: int, k: int, seed: int) -> str:
    """What a gap series is called where it is stored: `gram w=20 k=2 seed=0`."""
    return f"{method} w={window} k={k} seed={seed}"


class Evidence:
    """A store's finished runs and their files, cached by run id.

    Runs that are running, failed or interrupted, of another schema or with a file that cannot be read are left out, each
    with a reason. A second one of the same store gives the same content in the same order.

    Args:
        store: any backend.
        study: where nothing else is asked for than what `select` has of it: a large local store is not read whole then.

    Attributes:
        series: the gap series that were asked for, by run id, method, window, k and seed; seed 0 where none is drawn.
    """

    def __init__(self, store: Store, study: Study | None = None) -> None:
        self.store = store
        self._found = training_runs(store, study)
        self.files = RunFiles(store, self._found)
        self._studies: dict[str, Runs] = {}
        self._measured: dict[tuple[str, str], pd.DataFrame] = {}
        self._histories: Callable[[str], pd.DataFrame] = Latest(self._with_onset, table_bytes, MOST_HISTORIES, KEPT_BYTES)
        self.series: dict[tuple[str, str, int, int, int], np.ndarray] = {}
        self._came: dict[str, dict[str, np.ndarray]] = {}

    @cached_property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies that runs are tagged with: those of the registry in its order, then others by name."""
        there, known = tagged_studies(self._found), registered()
        return tuple(sorted(there, key=lambda name: (known.index(name) if name in known else len(known), name)))

    def runs(self, study: str) -> pd.DataFrame:
        """The finished runs of a study: a row per config as `select` has it, with `rho_epoch` and `lead`; by condition,
        activation, seed and config. Empty if the study has none.

        A run of another study, or of none, counts too where its config is in the grid of the study: seed 0 of `quick` is
        seed 0 of `headline`.
        """
        return self.select(study).table

    def select(self, study: str) -> Runs:
        """The finished runs of a study as `runs` has them, and its other runs with a reason each.

        The one reader of "the runs of a study": of the report, of the study's own summary and of the sensitivity. One of
        your own is `file.yaml:name`, as for the command that trains it, or `file/name`, as the store has it.
        """
        if study not in self._studies:
            found = select(self._found, stored_name(study), files=self.files, grid=conditions(study))
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

    @cached_property
    def homes(self) -> dict[str, str]:
        """The experiment of each training run, by run id."""
        return {run.run_id: run.experiment_id for run in self._found}

    def history(self, run_id: str) -> pd.DataFrame:
        """`history.parquet`: a row per epoch, with ρ at every epoch of the start where that was measured.

        Shared: not to be changed.
        """
        return self._histories(run_id)

    def _with_onset(self, run_id: str) -> pd.DataFrame:
        history = self.files.history(run_id)
        seen = history[RHO][:ONSET_END].notna() if RHO in history else pd.Series(dtype=bool)
        if seen.all() or not seen.any():
            return history
        try:
            onset = self.measured(run_id, "onset")
        except StoreError:
            return history
        return history.assign(**{RHO: history[RHO].fillna(history["epoch"].map(onset.set_index("epoch")[RHO]))})

    def band(self, run_id: str) -> dict[str, np.ndarray]:
        """`w` and `v`, (T, L) float64. Shared: not to be changed."""
        return self.files.arrays(run_id, BAND)

    def factors(self, run_id: str) -> dict[str, np.ndarray]:
        """`<kind>_<layer>`, (T + 1, w, w), of runs that recorded raw spectra. Shared: not to be changed."""
        return self.files.arrays(run_id, FACTORS)

    def weights(self, run_id: str, epoch: int) -> dict[str, np.ndarray]:
        """`w` (2M, K) and `v` (K, M) at a checkpoint epoch; not kept in memory."""
        return self.files.weights(run_id, epoch)

    def measured(self, run_id: str, kind: str) -> pd.DataFrame:
        """What was measured of a finished run from its files. Shared: not to be changed.

        Args:
            run_id: of the run. kind: of `grok.runs.measure.KINDS`; ranks follow from the band where they were not measured.

        Raises:
            StoreError: if the run was not measured.
        """
        if (run_id, kind) not in self._measured:
            self._measured[run_id, kind] = self._measure(run_id, KINDS[kind][0])
        return self._measured[run_id, kind]

    def signals(self, run_id: str) -> pd.DataFrame:
        """`signals.parquet` of a finished run, tidy: epoch, signal, variant, value. Shared: not to be changed.

        Raises:
            StoreError: if no signal of the run was computed.
        """
        key = (run_id, SIGNAL_TABLE)
        if key not in self._measured:
            self._measured[key] = self.files.table(run_id, SIGNAL_TABLE)
        return self._measured[key]

    def _measure(self, run_id: str, path: str) -> pd.DataFrame:
        try:
            return self.files.table(run_id, path)
        except StoreError as error:
            if "must exist" not in str(error):
                raise
        if path != RANKS:
            told = f"{path} must have been measured, got none of run {run_id}"
            raise StoreError(f"{told}. Run python -m entry_points.measure --study NAME for its study.")
        if self._came_without(run_id, "gram"):
            return self._came_ranks(run_id)
        (config,) = (run.config for run in self._found if run.run_id == run_id)
        if own := own_code(config, ("task", "network")):  # which say the shapes, and would be loaded for that
            told = f"{path} must have been measured, got none of run {run_id}, which names {', '.join(own)}"
            raise StoreError(f"{told}. Read that code, then run python -m entry_points.measure with --trust-code.")
        return ranks_of(config, self.band(run_id))

    def _came_ranks(self, run_id: str) -> pd.DataFrame:
        try:
            return cast(pd.DataFrame, self.files.file(run_id, DERIVED_RANKS).content)
        except StoreError:
            told = f"ranks must have come with the run, got {run_id}, which came without its band"
            raise StoreError(f"{told}. Export it anew with --bands all.") from None

    def gap(self, run_id: str, *, window: int = 20, k: int = 2, method: str = "gram", seed: int = 0) -> np.ndarray:
        """(T + 1,) float64: λ_k / λ_{k+1} of ΔW as `grok.numerics.gaps.gap_series` has it."""
        key = (run_id, method, window, k, seed if method.startswith("randomized_") else 0)
        if key not in self.series and self._came_without(run_id, method):
            self.series[key] = self._carried(key)
        elif key not in self.series:
            factors = {} if method == "gram" else self.factors(run_id)
            band = self.band(run_id)["w"]
            self.series[key] = gap_series(band, factors, method=method, window=window, k=k, seed=seed)
        return self.series[key]

    def _came_without(self, run_id: str, method: str) -> bool:
        """Whether a run's band, or the factors that a method reads, were left out when the run came here."""
        left_out = self.files.left_out.get(run_id, frozenset())
        return BAND in left_out or (method != "gram" and FACTORS in left_out)

    def _carried(self, key: tuple[str, str, int, int, int]) -> np.ndarray:
        """A gap series that came in place of a band.

        Raises:
            LeftOutError: if this one did not.
        """
        run_id, name = key[0], series_name(*key[1:])
        if run_id not in self._came:
            try:
                table = cast(pd.DataFrame, self.files.file(run_id, DERIVED).content)
            except StoreError:
                table = pd.DataFrame({"series": [], "value": []})
            self._came[run_id] = {str(one): rows["value"].to_numpy(dtype=np.float64) for one, rows in table.groupby("series")}
        found = self._came[run_id].get(name)
        if found is None:
            raise LeftOutError(
                f"gap must be one that came with the run, got {name} of {run_id}, which came without its band. "
                "Export it anew with --bands all."
            )
        return found

    def sensitivity(self) -> dict[str, Any] | None:
        """`sensitivity.json` of the newest complete sensitivity run, with its `run_id`; None without one.

        One that tried the grids goes before any that only searched: the surfaces are there. One whose file cannot be read is
        passed over, and said so.
        """
        newest = None
        for run in self.store.find(SENSITIVITY):
            try:
                read = self.files.json(run.run_id, "sensitivity.json")
            except StoreError as error:
                LOG.warning("%s is passed over: %s", run.run_id, error)
                continue
            if not isinstance(read, dict):
                LOG.warning("%s is passed over: its sensitivity.json is no mapping", run.run_id)
                continue
            found = {"run_id": run.run_id} | read
            if found.get("neighbourhood"):
                return found
            newest = newest or found
        return newest

    @staticmethod
    def command(study: str) -> str:
        """The command that makes a study's runs."""
        if study == SENSITIVITY_STUDY:
            return "python -m entry_points.sensitivity --study headline"
        name = study if is_own(study) or study in registered() else study.replace("/", ".yaml:", 1)
        return f"python -m entry_points.study --study {name}"

"""Store to tidy tables: which runs a study has, what they measured, and what was left out and why."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from grok.config import PROTOCOL_VERSION, RunConfig
from grok.tracking import Store, StoreError, TrackedRun

DONE = ("complete", "diverged")
T = TypeVar("T")


class Runs(NamedTuple):
    """A study's runs in a store.

    Attributes:
        table: a row per config, its newest finished run: run_id, condition, state, every config field, the summary metrics, and
            `accuracy/test` and the like at the last epoch.
        left_out: a row per other run: run_id, condition, reason.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame


def study_runs(store: Store, study: str) -> Runs:
    """The training runs that belong to a study, finished ones as a table, the others with a reason.

    Args:
        store: an open store, any backend.
        study: name, as its runs are tagged.
    """
    fields = RunConfig().to_strings()
    rows, left_out, seen = [], [], set[str]()
    for run in store.find({"kind": "train"}):  # newest first
        tags = run.data.tags
        condition = tags.get(f"grok.study.{study}")
        if condition is None:
            continue
        reason = ""
        if tags.get("grok.protocol") != PROTOCOL_VERSION:
            reason = f"protocol {tags.get('grok.protocol')}, not {PROTOCOL_VERSION}"
        elif tags.get("grok.state") not in DONE:
            reason = f"state {tags.get('grok.state')}"
        elif tags["grok.config_hash"] in seen:
            reason = "an older run of the same config"
        if reason:
            left_out.append({"run_id": run.info.run_id, "condition": condition, "reason": reason})
            continue
        seen.add(tags["grok.config_hash"])
        params = {name: text for name, text in run.data.params.items() if name in fields}
        config = RunConfig.from_strings(params).resolved()
        known = {name: getattr(config, name) for name in fields}
        rows.append(
            {"run_id": run.info.run_id, "condition": condition, "state": tags["grok.state"],
             "config_hash": tags["grok.config_hash"]} | known | run.data.metrics
        )  # fmt: skip
    columns = ["run_id", "condition", "state", "config_hash", *fields]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    return Runs(table, pd.DataFrame(left_out, columns=["run_id", "condition", "reason"]))


def read_histories(store: Store, run_ids: Iterable[str], workers: int = 8) -> dict[str, pd.DataFrame]:
    """`history.parquet` of each run, by run id, read in parallel.

    Raises:
        StoreError: if a run has none.
    """

    def read(run_id: str) -> pd.DataFrame:
        with tempfile.TemporaryDirectory() as folder:
            path = TrackedRun(store.client, run_id).get_file("history.parquet", Path(folder))
            return pd.read_parquet(path)

    return _parallel(read, list(run_ids), workers)


def read_arrays(store: Store, run_ids: Iterable[str], path: str, workers: int = 8) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of an npz artifact of each run, by run id and name, read in parallel.

    `delta_w/band.npz` has `w` and `v`, (T, L) float64; `delta_w/factors.npz` has `<kind>_<layer>`, (T + 1, w, w).

    Raises:
        StoreError: if a run has none or it is not whole.
    """

    def read(run_id: str) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory() as folder:
            local = TrackedRun(store.client, run_id).get_file(path, Path(folder))
            try:
                with local.open("rb") as file, np.load(file) as arrays:
                    return dict(arrays)
            except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise StoreError(f"{path} must be a whole npz file, got {run_id} ({error}). Train that run anew.") from error

    return _parallel(read, list(run_ids), workers)


def read_bands(store: Store, run_ids: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """`delta_w/band.npz` of each run: {"w": (T, L), "v": (T, L)} float64, by run id.

    Raises:
        StoreError: if a run has none or it is not whole.
    """
    return read_arrays(store, run_ids, "delta_w/band.npz")


def _parallel(read: Callable[[str], T], run_ids: list[str], workers: int) -> dict[str, T]:
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(run_ids, pool.map(read, run_ids), strict=True))

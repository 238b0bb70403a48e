"""Store to tidy tables: which runs there are, what they measured, and what was left out and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.reading.files import BAND, FACTORS, HISTORY, RunFiles, in_parallel
from grok.spec.config import PROTOCOL_VERSION, RunConfig, told_fields
from grok.spec.fields import ConfigError
from grok.store.store import Store
from grok.store.tags import StoredRun

DONE = ("complete", "diverged")
STUDY_TAG = "grok.study."
OLDER = "an older run of the same config"
LEFT_OUT = ["run_id", "name", "study", "condition", "reason"]


class Runs(NamedTuple):
    """Runs of a store.

    Attributes:
        table: a row per config, its newest finished run: run_id, condition, state, config_hash, every config field, the summary
            metrics, and `accuracy/test` and the like at the last epoch.
        left_out: a row per other run: run_id, name, study, condition, reason.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame


def study_runs(store: Store, study: str) -> Runs:
    """The training runs that belong to a study, finished ones as a table, the others with a reason.

    Args:
        store: an open store, any backend.
        study: name, as its runs are tagged.
    """
    return select(training_runs(store), study)


def training_runs(store: Store) -> list[StoredRun]:
    """Every training run of the store's active experiments, newest first, page by page."""
    return store.find({"kind": "train"})


def study_names(runs: Iterable[StoredRun]) -> list[str]:
    """The studies that runs are tagged with, by name."""
    return sorted({tag.removeprefix(STUDY_TAG) for run in runs for tag in run.data.tags if tag.startswith(STUDY_TAG)})


def select(
    runs: Iterable[StoredRun],
    study: str | None = None,
    *,
    activation: str | None = None,
    condition: str | None = None,
    tags: Mapping[str, str] | None = None,
    files: RunFiles | None = None,
    grid: Mapping[str, str] | None = None,
) -> Runs:
    """Those of some runs that belong to a study and have what is asked for, one per config.

    Args:
        runs: newest first.
        study: by its tag; None for runs of any study or none, whose condition is then empty.
        activation: a param. condition: in the study. tags: each of this value; `name` is `grok.name` too.
        files: reads each run's history, band and factors once; a run of which one is not whole is left out, and an older run
            of the same config takes its place.
        grid: condition by config hash: a run of one of these configs counts as of the study where no run tagged with it does.

    Returns:
        Finished runs, and the others that fit with a reason each; of runs without the study's tag, those that count only.
    """
    grid = grid or {}
    wanted = [run for run in runs if _fits(run, study, activation, condition, tags or {}, grid)]
    wanted.sort(key=lambda run: not _tagged(run, study))
    configs, reasons = {}, dict[str, str]()
    for run in wanted:
        try:
            configs[run.info.run_id] = _usable(run)
        except _Unusable as why:
            reasons[run.info.run_id] = str(why)
    if files is not None:
        reasons |= _broken(files, {run.info.run_id: run.data.tags.get("grok.state", "") for run in wanted}, configs)
    rows, left_out, seen, told = [], [], set[str](), told_fields(configs.values())
    for run in wanted:
        own = run.data.tags
        place = _place(run, study, grid)
        reason = reasons.get(run.info.run_id, "")
        if not reason and own["grok.config_hash"] in seen:
            reason = OLDER
        if reason and not _tagged(run, study):
            continue
        if reason:
            left_out.append(dict(zip(LEFT_OUT, (run.info.run_id, run.info.run_name, study or "", place, reason), strict=True)))
            continue
        seen.add(own["grok.config_hash"])
        config = configs[run.info.run_id]
        known = {name: getattr(config, name) for name in told}
        rows.append(
            {"run_id": run.info.run_id, "condition": place, "state": own["grok.state"], "config_hash": own["grok.config_hash"]}
            | known
            | dict(sorted(run.data.metrics.items()))
        )
    columns = ["run_id", "condition", "state", "config_hash", *told]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    return Runs(table, pd.DataFrame(left_out, columns=LEFT_OUT))


def tidy(
    store: Store,
    metrics: Sequence[str] = ("accuracy/test", "delta_w/gap_23"),
    *,
    study: str | None = None,
    activation: str | None = None,
    condition: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Histories of finished runs as one tidy table, for notebooks.

        from analysis.reading import runs as queries
        from grok.store.store import open_store
        queries.tidy(open_store(), ["accuracy/test"], study="headline", condition="grok")

    Args:
        store: an open store. metrics: columns of the histories; NaN where a run has not observed one.
        study, activation, condition, tags: as `select` has them.

    Returns:
        A row per run and epoch: run_id, condition, activation, weight_decay, seed, epoch, a column per metric. Runs that
        are not finished, or not whole, are not in it: `select` says which and why.
    """
    found = training_runs(store)
    files = RunFiles(store, found)
    table = select(found, study, activation=activation, condition=condition, tags=tags, files=files).table
    keys = ["run_id", "condition", "activation", "weight_decay", "seed"]
    parts = []
    for run in table[keys].sort_values(keys[1:] + keys[:1]).to_dict("records"):
        history = files.history(run["run_id"]).reindex(columns=["epoch", *metrics])
        parts.append(history.assign(**{str(key): value for key, value in run.items()}))
    if not parts:
        return pd.DataFrame(columns=[*keys, "epoch", *metrics])
    return pd.concat(parts, ignore_index=True)[[*keys, "epoch", *metrics]]


def read_histories(store: Store, run_ids: Iterable[str]) -> dict[str, pd.DataFrame]:
    """`history.parquet` of each run, by run id, read in parallel.

    Raises:
        StoreError: if a run has none or it is not whole.
    """
    return in_parallel(RunFiles(store).history, list(run_ids))


def read_arrays(store: Store, run_ids: Iterable[str], path: str) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of an npz artifact of each run, by run id and name, read in parallel.

    `delta_w/band.npz` has `w` and `v`, (T, L) float64; `delta_w/factors.npz` has `<kind>_<layer>`, (T + 1, w, w).

    Raises:
        StoreError: if a run has none or it is not whole.
    """
    files = RunFiles(store)
    return in_parallel(lambda run_id: files.arrays(run_id, path), list(run_ids))


def read_bands(store: Store, run_ids: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """`delta_w/band.npz` of each run: {"w": (T, L), "v": (T, L)} float64, by run id.

    Raises:
        StoreError: if a run has none or it is not whole.
    """
    return read_arrays(store, run_ids, BAND)


def _tagged(run: StoredRun, study: str | None) -> bool:
    """Whether a run was made for a study; any was, if none is asked for."""
    return study is None or f"{STUDY_TAG}{study}" in run.data.tags


def _place(run: StoredRun, study: str | None, grid: Mapping[str, str]) -> str:
    """A run's condition in a study; empty for none."""
    own = run.data.tags
    return "" if study is None else own.get(f"{STUDY_TAG}{study}", grid.get(own.get("grok.config_hash", ""), ""))


def _fits(
    run: StoredRun,
    study: str | None,
    activation: str | None,
    condition: str | None,
    tags: Mapping[str, str],
    grid: Mapping[str, str],
) -> bool:
    own = run.data.tags
    if not _tagged(run, study) and own.get("grok.config_hash") not in grid:
        return False
    if condition is not None and (study is None or _place(run, study, grid) != condition):
        return False
    if activation is not None and own.get("grok.resolved.activation", run.data.params.get("activation")) != activation:
        return False
    return all(own.get(name, own.get(f"grok.{name}")) == value for name, value in tags.items())


class _Unusable(Exception):
    """Why a run's numbers cannot be used."""


def _usable(run: StoredRun) -> RunConfig:
    """The config of a finished run of this schema."""
    tags = run.data.tags
    if tags.get("grok.protocol") != PROTOCOL_VERSION:
        raise _Unusable(f"protocol {tags.get('grok.protocol')}, not {PROTOCOL_VERSION}")
    if tags.get("grok.state") not in DONE:
        raise _Unusable(f"state {tags.get('grok.state')}")
    if "grok.config_hash" not in tags:
        raise _Unusable("another schema: it has no tag grok.config_hash")
    fields = RunConfig().to_strings()
    try:
        return RunConfig.from_strings({name: text for name, text in run.data.params.items() if name in fields}).resolved()
    except ConfigError as error:
        raise _Unusable(f"another schema: {error}") from error


def _broken(files: RunFiles, states: Mapping[str, str], configs: Mapping[str, RunConfig]) -> dict[str, str]:
    """Why runs' files cannot be used, by run id."""
    factored = [run_id for run_id, config in configs.items() if config.spectrum_methods != ("gram",)]
    broken = files.load(factored, FACTORS) | files.load(configs, BAND) | files.load(configs, HISTORY)
    for run_id, config in configs.items():
        if run_id not in broken and states[run_id] == "complete":
            rows, updates = files.length(run_id, HISTORY), files.length(run_id, BAND)
            if (rows, updates) != ((config.epochs or 0) + 1, config.epochs):
                broken[run_id] = f"its files must cover {config.epochs} epochs, got {rows} rows and {updates} updates"
    return broken

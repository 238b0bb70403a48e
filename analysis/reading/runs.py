"""Store to tidy tables: which runs there are, what they measured, and what was left out and why."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from analysis.reading.files import RunFiles
from grok.spec.artifacts import BAND, FACTORS, HISTORY
from grok.spec.config import ORDER, PROTOCOL_VERSION, ResolvedConfig, told_fields
from grok.spec.fields import ConfigError, to_text
from grok.spec.plugins import NETWORKS
from grok.spec.studies import OWN_FILE, Cell, Study, load_study, study_names
from grok.store.store import Store
from grok.store.tags import (
    CODE_DIRTY,
    CODE_SEEN,
    CONFIG_HASH,
    KIND,
    RESOLVED,
    ROUNDING_FACTS,
    TRAIN,
    StoredRun,
    study_tag,
    tag,
)

OLDER = "an older run of the same config"
MADE_BY = ("code_version", "protocol", "rounding_used", "rounding_facts", "made_on")
"""Columns that say what made a run's numbers: commit, version of the numbers, order of summation in a word and in full, device
and torch; empty where the code that trained it did not say."""
RESERVED = frozenset(
    ("run_id", "condition", "state", "config_hash", *MADE_BY, *ORDER, "rho_epoch", "lead", "ended", "ended_epoch")
)
"""Columns that no metric of a run takes: what a run is follows from its params, which are held against its hash."""
LEFT_OUT = ["run_id", "name", "study", "condition", "reason"]


class Runs(NamedTuple):
    """Runs of a store.

    Attributes:
        table: a row per config, its newest finished run: run_id, condition, state, config_hash, every config field, `MADE_BY`,
            the summary metrics, and `accuracy/test` and the like at the last epoch.
        left_out: a row per other run: run_id, name, study, condition, reason.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame


@functools.cache
def registered() -> tuple[str, ...]:
    """The registry's studies, in its order."""
    return study_names()


def is_own(study: str) -> bool:
    """Whether a study is spelled as one of your own, `file.yaml:name` or `file.yaml`."""
    return OWN_FILE.fullmatch(study) is not None


def stored_name(study: str) -> str:
    """The name by which a store knows a study: `my/tiny` for `my.yaml:tiny`, any other as it is.

    Raises:
        ConfigError: if the file does not have the study.
    """
    return load_study(study).name if is_own(study) else study


@functools.cache
def grid(study: str) -> tuple[Cell, ...]:
    """The cells of a study of the registry or of your own file, in its order; empty for another."""
    return load_study(study).cells if is_own(study) or study in registered() else ()


@functools.cache
def conditions(study: str) -> dict[str, str]:
    """Condition by config hash, of a study of the registry or of your own file; empty for another."""
    return {cell.config.hash: cell.condition for cell in grid(study)}


def training_runs(store: Store, study: Study | None = None) -> list[StoredRun]:
    """Training runs of the store's active experiments, newest first.

    Args:
        store: any backend. study: of a local store, only the runs that are tagged with it or have a config of its grid.
    """
    every = {KIND: TRAIN}
    if study is None or not store.is_local:
        return store.find(every)
    hashes, own = {cell.config.hash for cell in study.cells}, study_tag(study.name)
    of_grid = store.find_among(every, CONFIG_HASH, hashes, own, lambda run: False)
    found = {run.run_id: run for run in [*store.find(every, own), *of_grid]}
    return sorted(found.values(), key=lambda run: (-run.start_time, run.run_id))


def tagged_studies(runs: Iterable[StoredRun]) -> list[str]:
    """The studies that runs are tagged with, by name."""
    return sorted({study for run in runs for study in run.studies})


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
            configs[run.run_id] = _usable(run)
        except _Unusable as why:
            reasons[run.run_id] = str(why)
    if files is not None:
        reasons |= _broken(files, {run.run_id: run.state for run in wanted}, configs)
    rows, left_out, seen, told = [], [], set[str](), told_fields(configs.values())
    for run in wanted:
        place = _place(run, study, grid)
        reason = reasons.get(run.run_id, "")
        if not reason and run.config_hash in seen:
            reason = OLDER
        if reason and not _tagged(run, study):
            continue
        if reason:
            left_out.append(dict(zip(LEFT_OUT, (run.run_id, run.name, study or "", place, reason), strict=True)))
            continue
        seen.add(run.config_hash)
        config = configs[run.run_id]
        known = {name: _told(getattr(config, name), name) for name in told}
        made = (_code(run), run.protocol, run.rounding, run.get(ROUNDING_FACTS), _made_on(run))
        known |= dict(zip(MADE_BY, made, strict=True))
        rows.append(
            {"run_id": run.run_id, "condition": place, "state": run.state, "config_hash": run.config_hash}
            | known
            | {name: value for name, value in sorted(run.metrics.items()) if name not in RESERVED}
        )
    columns = ["run_id", "condition", "state", "config_hash", *told, *MADE_BY]
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

        from analysis.reading import tidy
        from grok.store.store import open_store
        tidy(open_store(), ["accuracy/test"], study="headline", condition="grok")

    Args:
        store: an open store. metrics: columns of the histories; NaN where a run has not observed one.
        study, activation, condition, tags: as `select` has them; a run of another study of the same config counts, as in the
            report.

    Returns:
        A row per run and epoch: run_id, condition, activation, weight_decay, seed, epoch, a column per metric. Runs that
        are not finished, or not whole, are not in it: `select` says which and why.
    """
    found = training_runs(store)
    files = RunFiles(store, found)
    own, named = (conditions(study), stored_name(study)) if study else ({}, None)
    table = select(found, named, activation=activation, condition=condition, tags=tags, files=files, grid=own).table
    keys = ["run_id", "condition", "activation", "weight_decay", "seed"]
    parts = []
    for run in table[keys].sort_values(keys[1:] + keys[:1]).to_dict("records"):
        history = files.history(run["run_id"]).reindex(columns=["epoch", *metrics])
        parts.append(history.assign(**{str(key): value for key, value in run.items()}))
    if not parts:
        return pd.DataFrame(columns=[*keys, "epoch", *metrics])
    return pd.concat(parts, ignore_index=True)[[*keys, "epoch", *metrics]]


def _code(run: StoredRun) -> str:
    """The commit, and that the tree differed from it, or that the tag was set right afterwards."""
    seen, changed = run.get(CODE_SEEN), run.get(CODE_DIRTY) == "true"
    beside = [f"recorded as {seen}"] if seen else ["tree changed"] if changed else []
    return " ".join([run.code_version, *(f"({text})" for text in beside)])


def _made_on(run: StoredRun) -> str:
    device, version = run.get("device"), run.get("torch")
    return ", ".join(text for text in (device, f"torch {version}" if version else "") if text)


def _told(value: object, name: str) -> object:
    """A value in a table; a switch that is not there as `auto`, since pandas leaves NaN out of every group."""
    return to_text(value) if value is None and name in ("decay_off_at", "decay_on_at", "switch_weight_decay") else value


def _tagged(run: StoredRun, study: str | None) -> bool:
    """Whether a run was made for a study; any was, if none is asked for."""
    return study is None or study in run.studies


def _place(run: StoredRun, study: str | None, grid: Mapping[str, str]) -> str:
    """A run's condition in a study; empty for none."""
    return "" if study is None else run.studies.get(study, grid.get(run.config_hash, ""))


def _fits(
    run: StoredRun,
    study: str | None,
    activation: str | None,
    condition: str | None,
    tags: Mapping[str, str],
    grid: Mapping[str, str],
) -> bool:
    if not _tagged(run, study) and run.config_hash not in grid:
        return False
    if condition is not None and (study is None or _place(run, study, grid) != condition):
        return False
    if activation is not None and run.get(f"{RESOLVED}activation", run.params.get("activation", "")) != activation:
        return False
    return all(run.tags.get(name, run.tags.get(tag(name))) == value for name, value in tags.items())


class _Unusable(Exception):
    """Why a run's numbers cannot be used."""


def _usable(run: StoredRun) -> ResolvedConfig:
    """The config of a finished run of this schema."""
    if run.protocol != PROTOCOL_VERSION:
        raise _Unusable(f"protocol {run.protocol or None}, not {PROTOCOL_VERSION}")
    if not run.done:
        raise _Unusable(f"state {run.state or None}")
    if not run.config_hash:
        raise _Unusable(f"another schema: it has no tag {tag('config_hash')}")
    try:
        config = run.config
    except ConfigError as error:
        raise _Unusable(f"another schema: {error}") from error
    if why := run.unproven(config):
        raise _Unusable(why)
    return config


def _broken(files: RunFiles, states: Mapping[str, str], configs: Mapping[str, ResolvedConfig]) -> dict[str, str]:
    """Why runs' files cannot be used, by run id."""
    factored = [run_id for run_id, config in configs.items() if config.spectrum_methods != ("gram",)]
    banded = set(_there(files, BAND, configs))
    for run_id, config in configs.items():
        files.expect(run_id, config)
    broken = files.load(_there(files, FACTORS, factored), FACTORS) | files.load(banded, BAND) | files.load(configs, HISTORY)
    for run_id, config in configs.items():
        network = NETWORKS.find(config.network) if config.network in NETWORKS.names else None
        layers, lags = (network.watched, network.lags(config)) if network is not None else ((), config.max_window)
        whole = run_id not in broken and run_id in banded
        if whole and not set(layers) <= set(files.names(run_id, BAND)):
            broken[run_id] = f"its bands must be of the layers {', '.join(layers)}, got {', '.join(files.names(run_id, BAND))}"
        whole = whole and run_id not in broken
        if whole and files.width(run_id) != lags:
            broken[run_id] = f"its bands must have {lags} lags, got {files.width(run_id)}"
        if whole and run_id not in broken and states[run_id] == "complete" and (flaw := files.flaw(run_id)):
            broken[run_id] = flaw
        if run_id not in broken and states[run_id] == "complete":
            rows = files.length(run_id, HISTORY)
            updates = files.length(run_id, BAND) if whole else config.epochs
            if (rows, updates) != (config.evaluations, config.epochs):
                broken[run_id] = f"its files must cover {config.epochs} epochs, got {rows} rows and {updates} updates"
    return broken


def _there(files: RunFiles, path: str, run_ids: Iterable[str]) -> list[str]:
    """Those of some runs that came here with a file, or were trained here."""
    return [run_id for run_id in run_ids if path not in files.left_out.get(run_id, ())]

"""The store's runs from Python, in a line: what `analysis.tidy` and `analysis.runs` are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.reading.evidence import Evidence
from analysis.reading.runs import OLDER, conditions, select, stored_name, tagged_studies, training_runs
from analysis.reading.runs import tidy as histories
from grok.spec.fields import ConfigError, shown
from grok.spec.studies import load_study
from grok.store.store import Store, open_store

PASSED_OVER = (OLDER, "protocol ", "state ", "another schema")
"""How reasons begin that are no fault of a run's files."""
FIRST = "Train a study first: python -m entry_points.study --study quick"


def runs(study: str | None = None, *, store: Store | None = None, **where: Any) -> pd.DataFrame:
    """The finished runs of a study, or of the whole store, one per config.

        analysis.runs("headline", condition="grok")["fire_epoch"].median()
        grok.load_run(analysis.runs("headline")["run_id"].iloc[0])

    Args:
        study: of the registry, or your own as `file.yaml:name`; None for every finished run.
        store: an open store; that of `MLFLOW_TRACKING_URI`, or the project's own, if None.
        where: columns with a value, or a tuple of which any will do.

    Returns:
        A row per run: run_id, condition, state, config_hash, the config's fields, what made the numbers, summary metrics. Runs
        of another study count where their config is in this one's grid, as in the report.

    Raises:
        ConfigError: if there is no such study, neither here nor in the store, or no such column.
    """
    store = _opened(store)
    if study is None:
        table = select(training_runs(store)).table
    else:
        _known(study, store)
        table = Evidence(store).runs(study)
    for column, value in where.items():
        if len(table) and column not in table:
            raise ConfigError(f"columns of runs must be among {', '.join(map(str, table))}, got {column}. Pick one of them.")
        table = table[table[column].isin(value if isinstance(value, tuple) else (value,))] if len(table) else table
    return table.reset_index(drop=True)


def tidy(
    study: str | None = None,
    metrics: Sequence[str] = ("accuracy/test", "delta_w/gap_23"),
    *,
    store: Store | None = None,
    condition: str | None = None,
    activation: str | None = None,
) -> pd.DataFrame:
    """The histories of a study's finished runs as one tidy table: a row per run and epoch.

        table = analysis.tidy("headline", ["accuracy/test"])
        table.groupby(["condition", "epoch"])["accuracy/test"].median()

    Args:
        study, store: as `runs` has them. metrics: columns of the histories; NaN where a run has not observed one.
        condition: in the study. activation: of the config.

    Returns:
        run_id, condition, activation, weight_decay, seed, epoch, and a column per metric.

    Raises:
        ConfigError: if there is no such study, neither here nor in the store.
    """
    store = _opened(store)
    if study is not None:
        _known(study, store)
    return histories(store, metrics, study=study, condition=condition, activation=activation)


def run_ids(evidence: Evidence, studies: str) -> list[str]:
    """The ids of the finished runs of some studies, each once.

    Args:
        evidence: of the store. studies: names as the command that trains them has them, separated by commas.

    Raises:
        ConfigError: if there is no such study, or it has no finished runs.
    """
    found: dict[str, None] = {}
    for name in (word.strip() for word in studies.split(",")):
        table = evidence.runs(name)
        if not len(table):
            if "/" not in name:
                load_study(name)  # or says which there are
            told = f"study must have finished runs in {evidence.store.shown}, got {name} with none"
            raise ConfigError(f"{told}. Run it first: {evidence.command(name)}.")
        found |= dict.fromkeys(table["run_id"])
    return list(found)


def unusable(evidence: Evidence, studies: str) -> dict[str, str]:
    """Why finished runs of some studies are not among `run_ids`, by run id: their files or params are not as they were left.

    Runs that are not done, of another schema or protocol, or that another of their config stands for are none of these.
    """
    found: dict[str, str] = {}
    for name in (word.strip() for word in studies.split(",")):
        table = evidence.select(name).left_out
        rows = zip(table["run_id"], table["reason"], strict=True)
        found |= {str(run_id): str(reason) for run_id, reason in rows if not str(reason).startswith(PASSED_OVER)}
    return found


def _opened(store: Store | None) -> Store:
    return store or open_store(existing=FIRST)


def _known(study: str, store: Store) -> None:
    """That a study is in a file of its own, in the registry, or in the store.

    Raises:
        ConfigError: if it is in none.
    """
    if not conditions(study) and stored_name(study) not in tagged_studies(training_runs(store)):
        load_study(shown(study))  # says which there are

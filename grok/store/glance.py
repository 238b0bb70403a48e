"""Runs of a store in an SQLite file, read by five queries: thousands in a second, and without importing mlflow.

MLflow's search makes an object of every row and asks for each run's params, tags, newest metrics and datasets apart.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from grok.spec.config import PROTOCOL_VERSION, ResolvedConfig
from grok.store import moved, whole
from grok.store.provenance import home
from grok.store.tags import (
    CONFIG_HASH,
    KIND,
    PROTOCOL,
    RUN_ID,
    RUN_NAME,
    RUNNING,
    STATES,
    TRAIN,
    StoredRun,
    numbers,
    tag,
    texts,
    whole_number,
    word,
)

WAIT_S = 20
"""For a writer."""
COLUMNS = (
    "run_uuid",
    "name",
    "status",
    "start_time",
    "end_time",
    "artifact_uri",
    "experiment_id",
    "lifecycle_stage",
    "user_id",
)
"""Of the table `runs`, that are read."""
ACTIVE = (
    f"SELECT {', '.join(f'r.{name}' for name in COLUMNS)} FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
    "WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'"
)
TAGGED = " AND EXISTS (SELECT 1 FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = ? AND {})"
ORDER = " ORDER BY r.start_time DESC, r.run_uuid"
"""MLflow's own: newest first."""
OF_RUNS = "run_uuid IN (SELECT value FROM json_each(?))"
PLAIN = re.compile(r"sqlite:///(/[^?#%:]+)")
"""A URI whose path is as it stands there."""
GIVEN = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")
"""Variables of the environment that ask for more than a look."""
READABLE = functools.partial(str, encoding="utf-8", errors="replace")
"""A text of the database, which may be of other bytes than UTF-8."""
HOME = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
Fetch = Callable[[str], Any]
"""MLflow's `Run` of an id."""


class Raw:
    """MLflow's object of a run: what the table of runs has is at hand, the rest is fetched when it is asked for."""

    def __init__(self, row: Mapping[str, Any], name: str, fetch: Fetch) -> None:
        known = dict(row) | {"run_id": row["run_uuid"], "run_name": name, "experiment_id": str(row["experiment_id"])}
        self.info = SimpleNamespace(**known)
        self._fetch = fetch

    @cached_property
    def _whole(self) -> Any:
        return self._fetch(self.info.run_id)

    @property
    def data(self) -> Any:
        """MLflow's `data`."""
        return self._whole.data

    @property
    def inputs(self) -> Any:
        """MLflow's datasets of the run."""
        return self._whole.inputs

    @property
    def outputs(self) -> Any:
        """MLflow's logged models of the run."""
        return self._whole.outputs


def find(
    path: Path, filters: Mapping[str, str], fetch: Fetch, has: str = "", among: tuple[str, Collection[str]] | None = None
) -> list[StoredRun] | None:
    """Runs of all active experiments by their tags, newest first, as `grok.store.store.Store.find` has them.

    Args:
        path: of the database. filters: tags by name, each of this value.
        fetch: MLflow's whole object of a run, for what is not read here.
        has: a tag that must be there; empty for none. among: a tag and the values of which it must have one.

    Returns:
        None where the tables cannot be read so: then MLflow is to be asked.
    """
    conditions: list[tuple[str, tuple[str, ...]]] = [("t.value = ?", (tag(name), value)) for name, value in filters.items()]
    conditions += [("1", (tag(has),))] if has else []
    if among is not None:
        conditions.append(("t.value IN (SELECT value FROM json_each(?))", (tag(among[0]), json.dumps(sorted(among[1])))))
    query = ACTIVE + "".join(TAGGED.format(test) for test, _ in conditions) + ORDER
    given = [one for _, values in conditions for one in values]
    for readable in (str, READABLE):  # the second is slow, and reads what the first refuses
        try:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as database:
                database.execute("BEGIN")  # one state of the store for all queries
                database.text_factory = readable
                found = [dict(zip(COLUMNS, row, strict=True)) for row in database.execute(query, given)]
                rows = [row for row in found if RUN_ID.fullmatch(word(row["run_uuid"]))]
                return _runs(database, rows, fetch)
        except (sqlite3.Error, ValueError) as error:
            if "decode" not in str(error):
                break
    return None


def strangers(path: Path) -> int:
    """How many runs of active experiments are of other tools: without the tag that says what kind of ours a run is.

    Args:
        path: of the database.

    Returns:
        0 where the tables cannot be read so.
    """
    query = f"SELECT count(*) FROM ({ACTIVE} AND NOT {TAGGED.removeprefix(' AND ').format('1')})"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as database:
            return int(database.execute(query, (tag(KIND),)).fetchone()[0])
    except sqlite3.Error:
        return 0


def _runs(database: sqlite3.Connection, rows: list[dict[str, Any]], fetch: Fetch) -> list[StoredRun]:
    """Runs with their tags, params and newest metrics."""
    ids = json.dumps([row["run_uuid"] for row in rows])
    tags = _by_run(database, "key, value FROM tags", ids)
    params = _by_run(database, "key, value FROM params", ids)
    metrics = _by_run(database, "key, CASE WHEN is_nan THEN NULL ELSE value END FROM latest_metrics", ids)
    out = []
    for row in rows:
        run_id = row["run_uuid"]
        own, given = texts(tags.get(run_id, {})), texts(params.get(run_id, {}))
        newest = {key: math.nan if value is None else value for key, value in metrics.get(run_id, {}).items()}
        name, status, start = word(row["name"]) or own.get(RUN_NAME, ""), word(row["status"]), whole_number(row["start_time"])
        out.append(StoredRun(run_id, name, status, start, own, given, numbers(newest), Raw(row, name, fetch)))
    return out


def _by_run(database: sqlite3.Connection, what: str, ids: str) -> dict[str, dict[Any, Any]]:
    """Two columns as a mapping of each run; the same text of thousands of runs is kept once."""
    out: dict[str, dict[Any, Any]] = {}
    for run_id, *pair in database.execute(f"SELECT run_uuid, {what} WHERE {OF_RUNS} ORDER BY key", (ids,)):
        key, value = (sys.intern(one) if isinstance(one, str) else one for one in pair)
        out.setdefault(run_id, {})[key] = value
    return out


@dataclass(frozen=True)
class Seen:
    """A local store that was looked at and not opened.

    Attributes:
        uri: that names it. experiment_id: of the experiment that new training runs go to.
    """

    uri: str
    experiment_id: str

    def home(self, kind: str) -> str:
        """The id of the experiment that a new training run, or a study of them, goes to."""
        if kind not in (TRAIN, "study"):
            raise ValueError(f"kind must be {TRAIN} or study, got {kind}. Open the store.")
        return self.experiment_id


def done(config: ResolvedConfig, name: str) -> tuple[Seen, StoredRun] | None:
    """The finished run of a config in the local store that the environment names, and that store: what `lease.take` would find.

    Nothing is written, neither torch nor mlflow is imported.

    Args:
        config: whose identity. name: of the experiment of new runs, where the environment names none.

    Returns:
        None where there is none, or where it takes more than a look to tell: a run that `mlflow run` has made, a server, a
        store that was moved, a run whose end a killed process left half-done or whose params or files were changed.

    Raises:
        StoreError: if the files of all runs are away.
    """
    place = seen(name)
    if place is None:
        return None
    store, path = place
    runs = find(path, {KIND: TRAIN, CONFIG_HASH: config.hash, PROTOCOL: PROTOCOL_VERSION}, unfetched)
    best = next((run for run in runs or () if run.done), None)
    if best is None or best.status == STATES[RUNNING] or best.edited or whole.flaw(best):
        return None
    return store, best


def seen(name: str) -> tuple[Seen, Path] | None:
    """The local store that the environment names, and its database; None where there is none or it takes more than a look.

    Args:
        name: of the experiment of new runs, where the environment names none.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or f"sqlite:///{home() / 'mlflow.db'}"
    plain = PLAIN.fullmatch(uri)
    if plain is None or any(os.environ.get(one) for one in GIVEN):
        return None
    path = Path(plain[1])
    try:
        if not path.is_file():
            return None
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as database:
            place = database.execute(HOME, (os.environ.get("MLFLOW_EXPERIMENT_NAME") or name,)).fetchone()
            if place is None or moved.places(database, path):
                return None
    except (sqlite3.Error, OSError):
        return None
    return Seen(uri, str(place[0])), path


def unfetched(run_id: str) -> Any:
    """What is given for MLflow's object of a run where it is not to be needed.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"run must be read from an open store, got {run_id}. Open it.")

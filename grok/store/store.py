"""A tracking store: open it, find, create or reopen runs. `MLFLOW_TRACKING_URI` names it; without that it is `mlflow.db`
and `mlruns/` in the project's folder, or the current one where the package is installed.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
from filelock import FileLock
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from grok.spec.config import PROTOCOL_VERSION, RunConfig
from grok.store import glance, opening, sqlite, views
from grok.store.alive import hold, is_ours, process_tags
from grok.store.errors import StoreError, masked, refused
from grok.store.markdown import inert
from grok.store.provenance import home
from grok.store.run import TrackedRun
from grok.store.tags import (
    CONFIG_HASH,
    ERROR,
    KIND,
    NOTE,
    PARENT,
    POINTS_TO,
    PROTOCOL,
    RUN_ID,
    RUN_NAME,
    RUNNING,
    STATE,
    STATES,
    TRAIN,
    StoredRun,
    named,
    tag,
)

logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # pages of SQL; the error is told, in one line
FEW = 100
"""Values that a server is asked for one by one."""
MOVED = (TRAIN, "study", *views.ASIDE)
"""Kinds of runs that leave the experiment `Default`, where `mlflow run` has put them, for the project's own."""


@dataclass(frozen=True)
class Store:
    """A tracking store and the experiment that new runs go to.

    Attributes:
        client: of the store. uri: that names it.
        experiment_id: of the experiment; of `grok` where nobody has named another.
        own: whether nobody has, so that reports go to an experiment of theirs.
    """

    client: mlflow.MlflowClient
    uri: str
    experiment_id: str
    own: bool = False

    @property
    def folder(self) -> Path:
        """Where files that belong to the store are kept on this machine: beside its database, else in the project's folder."""
        return sqlite.path_of(self.uri).parent if self.is_local else home()

    @property
    def shown(self) -> str:
        """Its URI as it may be shown: without a password."""
        return masked(self.uri)

    @property
    def is_local(self) -> bool:
        """Whether it is an SQLite file, so that every process that uses it is on this machine."""
        return sqlite.is_sqlite(self.uri)

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Held by one process at a time on a local store; elsewhere it keeps nobody out."""
        return FileLock(f"{sqlite.path_of(self.uri)}.claims.lock") if self.is_local else contextlib.nullcontext()

    def find(self, filters: Mapping[str, str], has: str = "") -> list[StoredRun]:
        """Runs of all active experiments whose own tags equal `filters` and that have the tag `has`, if any; newest first."""
        if self.is_local:
            found = glance.find(sqlite.path_of(self.uri), filters, self.client.get_run, has)
            if found is not None:
                return found
        terms = [f"tags.`{tag(name)}` = '{value}'" for name, value in filters.items()]
        query = " and ".join([*terms, *([f"tags.`{tag(has)}` IS NOT NULL"] if has else [])])
        experiments = [e.experiment_id for e in self.client.search_experiments()]
        runs: list[StoredRun] = []
        token = None
        while True:
            page = self.client.search_runs(experiments, query, max_results=1000, page_token=token)
            runs.extend(map(StoredRun.of, page))
            token = page.token
            if not token:
                return runs

    def find_among(
        self, filters: Mapping[str, str], name: str, values: Collection[str], likely: str, enough: Callable[[StoredRun], bool]
    ) -> list[StoredRun]:
        """Runs as `find` has them whose tag `name` is one of some values: by one query of a local database.

        A server's search has no such condition. It is asked for the runs with the tag `likely`, and one by one for the values
        that none of these has; where many are left, for all that `filters` let through: each has all its metrics with it.

        Args:
            filters: tags by name, each of this value. name: of the tag. values: of which a run has one.
            likely: a tag that runs which were found before have. enough: whether a run makes others of its value needless.
        """
        if self.is_local:
            found = glance.find(sqlite.path_of(self.uri), filters, self.client.get_run, among=(name, values))
            if found is not None:
                return found
        there = [run for run in self.find(filters, likely) if run.get(name) in values]
        left = sorted(set(values) - {run.get(name) for run in there if enough(run)})
        asked = [{**filters, name: value} for value in left] if len(left) <= FEW else [filters]
        more = [run for one in asked for run in self.find(one) if run.get(name) in values]
        runs = {run.run_id: run for run in [*there, *more]}
        return sorted(runs.values(), key=lambda run: (-run.start_time, run.run_id))

    def strangers(self) -> int:
        """How many runs of other tools there are, which every command passes over; 0 on a server, which has no quick answer."""
        return glance.strangers(sqlite.path_of(self.uri)) if self.is_local else 0

    def prior(self, config: RunConfig) -> list[StoredRun]:
        """Training runs with this identity and protocol, newest first."""
        return self.find({KIND: TRAIN, CONFIG_HASH: config.hash, PROTOCOL: PROTOCOL_VERSION})

    def get(self, run_id: str) -> StoredRun:
        """The run of an id.

        Raises:
            StoreError: if the store has none.
        """
        if not RUN_ID.fullmatch(run_id):
            raise StoreError(f"run must be named by its id, 32 hex digits, got {run_id!r:.80}. Look it up with `mlflow ui`.")
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise StoreError(f"run must exist in {self.uri}, got {run_id}. Look its id up with `mlflow ui`.") from error
            raise
        if run.info.lifecycle_stage != "active":
            raise StoreError(f"run must not be deleted, got {run_id}. Restore it: `mlflow runs restore --run-id {run_id}`.")
        return StoredRun.of(run)

    def known(self, run: StoredRun | str) -> StoredRun:
        """A run, looked up where only its id is given."""
        return self.get(run) if isinstance(run, str) else run

    def experiment(self, name: str) -> str:
        """The id of the experiment of a name; made if there is none, its files beside a local database.

        Raises:
            StoreError: if it is deleted, or the name is none that a folder can have.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            opening.check_name(name, self.is_local)
            folder = self.folder / "mlruns" / quote(name, safe=" ")
            place = folder.as_uri() if self.is_local else None
            try:
                return str(self.client.create_experiment(name, place, views.tags_of(name)))
            except MlflowException:  # another command made it at the same moment
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise opening.deleted(found)
        return self.furnish(found)

    def furnish(self, experiment: Any) -> str:
        """The id of an experiment, which gets the note and the saved views that it lacks."""
        for key, text in views.missing(experiment.name, experiment.tags).items():
            self.client.set_experiment_tag(experiment.experiment_id, key, text)
        return str(experiment.experiment_id)

    def home(self, kind: str) -> str:
        """The id of the experiment that a new run of a kind goes to."""
        return self.experiment(views.REPORTS) if self.own and kind in views.ASIDE else self.experiment_id

    def create(self, name: str, tags: Mapping[str, str], parent: str | None = None) -> TrackedRun:
        """A new run; the one that `mlflow run` has made for this process, if it has."""
        marks = {RUN_NAME: name} | ({PARENT: parent} if parent else {})
        marks = named({**marks, **tags, STATE: RUNNING, **process_tags()})
        run_id, kind = os.environ.pop("MLFLOW_RUN_ID", None), marks.get(tag(KIND), "")
        if run_id is None or parent is not None:
            experiment = self.home(kind)
            try:
                made = self.client.create_run(experiment, tags=resolve_tags(marks))  # at once: others see it whole
            except MlflowException as error:
                if not (code := refused(error)):
                    raise
                told = f"{self.client.get_experiment(experiment).name} ({code}). Ask for the right, or set"
                told = f"experiment must be one that you may write to, got {told} MLFLOW_EXPERIMENT_NAME to one of yours."
                raise StoreError(told) from error
            try:
                run = TrackedRun(self.client, StoredRun.of(made))
            except StoreError:  # the experiment keeps its files where they cannot be written
                self.client.delete_run(made.info.run_id)
                raise
            hold(run.run_id)
            return run
        hold(run_id)
        if self.own and self.is_local and kind in MOVED:
            sqlite.move_run(sqlite.path_of(self.uri), run_id, self.home(kind))
        run = TrackedRun(self.client, replace(_marked(self.get(run_id), marks), name=name))
        run.set_tags(marks)
        return run

    def reopen(self, run: StoredRun | str, tags: Mapping[str, str] | None = None) -> TrackedRun:
        """A run that stopped, set running again, with some more tags. One that this process has just taken is so already.

        Args:
            run: as it is in the store, or its id.
            tags: without our prefix.
        """
        if not isinstance(run, str) and is_ours(run) and not tags:
            return TrackedRun(self.client, run, resumed=bool(run.params))
        run = self.known(run)
        self.client.update_run(run.run_id, status=STATES[RUNNING])
        hold(run.run_id)
        marks = named({**(tags or {}), STATE: RUNNING, **process_tags()})
        tracked = TrackedRun(self.client, _marked(run, marks), resumed=True)
        tracked.set_tags(marks)
        if tag(ERROR) in run.tags:
            self.client.delete_tag(run.run_id, tag(ERROR))
        tracked.drop_partial_files()
        return tracked


def _marked(run: StoredRun, marks: Mapping[str, str]) -> StoredRun:
    """A run as it is once it is set running with these tags, by their whole names."""
    kept = {name: text for name, text in run.tags.items() if name != tag(ERROR)}
    return replace(run, status=STATES[RUNNING], tags={**kept, **marks})


def point_to(store: Store, run: StoredRun | str) -> None:
    """Turn the run that `mlflow run` made for this process, if any, into a pointer to the run that has the work."""
    made = os.environ.pop("MLFLOW_RUN_ID", None)
    if made is not None and made != (run if isinstance(run, str) else run.run_id):
        hand_over(store, made, run)


def hand_over(store: Store, made: str, run: StoredRun | str) -> None:
    """Turn a run into a pointer to the one that has the work."""
    run = store.known(run)
    page = views.run_page(run.experiment_id, run.run_id)
    why = "Nothing was trained or computed here: what the command asks for has a run already, and the same is not done twice."
    work = f"**The work is in [{inert(run.name)}]({page})** (`{run.run_id}`)."
    tags = {
        KIND: "pointer",
        STATE: "complete",
        POINTS_TO: run.run_id,
        RUN_NAME: f"see: {run.name}",
        NOTE: f"{work}\n\n{why} A new run: the same command with `--force`.",
    }
    store.client.log_batch(made, tags=[RunTag(key, value) for key, value in named(tags).items()])


def adopt(store: Store, name: str, kind: str) -> None:
    """Name the run that `mlflow run` made for this process, if any, for a command that has none of its own."""
    if adopted_run_id() is not None:
        store.create(name, {KIND: kind}).end("complete")


def adopted_run_id() -> str | None:
    """The run that `mlflow run` made for this process, not yet taken."""
    return os.environ.get("MLFLOW_RUN_ID")


def tracking_uri() -> str:
    """The store that `MLFLOW_TRACKING_URI` names, or the project's own."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or sqlite.uri_of(home() / "mlflow.db")
    scheme, mark, rest = uri.partition(":")
    return f"{scheme.lower()}{mark}{rest}"  # HTTP:// is http://, which MLflow would take for a scheme of its own


def open_store(existing: str = "") -> Store:
    """Open the store that `MLFLOW_TRACKING_URI` names, or the project's own, and its experiment.

    The experiment is that of `MLFLOW_RUN_ID`, `MLFLOW_EXPERIMENT_ID` or `MLFLOW_EXPERIMENT_NAME`, else `grok`. Runs of other
    experiments are found all the same.

    Args:
        existing: for who only reads: nothing is made, neither a database nor an experiment; what to do if there is no database.

    Raises:
        StoreError: if the store cannot be reached or written; nothing was created then.
    """
    uri = tracking_uri()
    if sqlite.is_sqlite(uri):
        path = sqlite.path_of(uri)
        if existing and not (path.is_file() and path.stat().st_size):
            raise StoreError(f"store must hold runs, got no database at {uri}. {existing}.")
        sqlite.check(uri)
    elif uri.startswith(("http:", "https:")):
        opening.check_server(uri)
    logging.getLogger("mlflow.utils.databricks_utils").setLevel(logging.ERROR)  # what it warns of comes as an error too
    try:
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        if existing and (made := adopted_run_id()):
            opening.experiment_of_run(client, made)  # it is named for the command in the end
        elif existing and not sqlite.is_sqlite(uri):
            client.search_experiments(max_results=1)  # are we let in?
        store = Store(client, uri, "") if existing else _with_experiment(Store(client, uri, ""))
    except StoreError:
        raise
    except Exception as error:  # whatever a backend raises, a person needs one line
        raise opening.unusable(uri, error) from error
    if store.is_local:
        sqlite.tidy(uri)
    return store


def connect(uri: str, experiment_id: str) -> Store:
    """A store that another process has opened, for a worker: no checks, no experiment made."""
    opening.hush()
    mlflow.set_tracking_uri(uri)
    return Store(mlflow.MlflowClient(uri), uri, experiment_id)


def _with_experiment(store: Store) -> Store:
    """The store with the experiment that new runs go to.

    `mlflow run` without `--experiment-name` names MLflow's `Default`: nobody has chosen that. A run that it made there is moved
    as it is taken, which only a local database allows; on a server the runs stay where they were made.
    """
    client, run_id, name = store.client, adopted_run_id(), os.environ.get("MLFLOW_EXPERIMENT_NAME")
    named = opening.experiment_of_run(client, run_id) if run_id else os.environ.get("MLFLOW_EXPERIMENT_ID")
    if named and (named != views.DEFAULT_ID or name or not store.is_local):
        return replace(store, experiment_id=store.furnish(opening.experiment_by_id(client, named)))
    return replace(store, experiment_id=store.experiment(name or views.EXPERIMENT), own=name in (None, "", views.EXPERIMENT))

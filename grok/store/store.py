"""The only importer of mlflow: open a store, find, create or resume runs, log and read. `MLFLOW_TRACKING_URI` names the
store; without it the store is `mlflow.db` and `mlruns/` in the project's folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlparse
from urllib.request import url2pathname

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import numpy as np
import psutil
import requests
from filelock import FileLock
from mlflow.entities import (
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from torch import Tensor

from grok.spec.config import EXECUTION_FIELDS, PROTOCOL_VERSION, RunConfig
from grok.store import files as checkpoint
from grok.store.tags import PREFIX as TAG
from grok.store.tags import StoredRun
from grok.store.tags import tag as named_tag

PROJECT = Path(__file__).resolve().parent.parent.parent
STATES = {"running": "RUNNING", "complete": "FINISHED", "diverged": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
"""Our state tag, and the MLflow status that goes with it."""
STALE_S = 3600.0
"""A run of another host without a sign of life for this long counts as dead."""
DATASET_TRIES = 5
_held: set[str] = set()
"""Runs that this process is training."""
KIND_TAG = "mlflow.experimentKind"
"""Asks the MLflow UI for its pages on training, not those on language models."""


class StoreError(RuntimeError):
    """The tracking store, or a run in it, cannot be used; one line with the rule, the value and the next step."""

    exit_status = 2


class TakenOverError(StoreError):
    """Another process trains these runs now: whoever meets this leaves them as they are."""

    def __init__(self, run_ids: list[str]) -> None:
        super().__init__(f"run must be trained by one process, got {', '.join(run_ids)}, which another took over. Wait for it.")
        self.run_ids = run_ids


@dataclass(frozen=True)
class Store:
    """A tracking store and the experiment that new runs go to."""

    client: mlflow.MlflowClient
    uri: str
    experiment_id: str

    @property
    def folder(self) -> Path:
        """Where files that belong to the store are kept on this machine: beside its database, else in the project's folder."""
        return _sqlite_path(self.uri).parent if self.is_local else PROJECT

    @property
    def is_local(self) -> bool:
        """Whether it is an SQLite file, so that every process that uses it is on this machine."""
        return self.uri.startswith("sqlite:///")

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Held by one process at a time on a local store; elsewhere it keeps nobody out."""
        return FileLock(f"{_sqlite_path(self.uri)}.claims.lock") if self.is_local else contextlib.nullcontext()

    def find(self, filters: Mapping[str, str]) -> list[StoredRun]:
        """Runs of all active experiments whose own tags equal `filters`, newest first."""
        query = " and ".join(f"tags.`{TAG}{name}` = '{value}'" for name, value in filters.items())
        experiments = [e.experiment_id for e in self.client.search_experiments()]
        runs: list[StoredRun] = []
        token = None
        while True:
            page = self.client.search_runs(experiments, query, max_results=1000, page_token=token)
            runs.extend(map(StoredRun.of, page))
            token = page.token
            if not token:
                return runs

    def prior(self, config: RunConfig) -> list[StoredRun]:
        """Training runs with this identity and protocol, newest first."""
        return self.find({"kind": "train", "config_hash": config.hash, "protocol": PROTOCOL_VERSION})

    def get(self, run_id: str) -> StoredRun:
        """The run of an id.

        Raises:
            StoreError: if the store has none.
        """
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise StoreError(f"run must exist in {self.uri}, got {run_id}. Look its id up with `mlflow ui`.") from error
            raise
        if run.info.lifecycle_stage != "active":
            raise StoreError(f"run must not be deleted, got {run_id}. Restore it: `mlflow runs restore --run-id {run_id}`.")
        return StoredRun.of(run)

    def create(self, name: str, tags: Mapping[str, str], parent: str | None = None) -> TrackedRun:
        """A new run; the one that `mlflow run` has made for this process, if it has."""
        run_id = os.environ.pop("MLFLOW_RUN_ID", None)
        if run_id is None or parent is not None:
            own = {"mlflow.runName": name} | ({MLFLOW_PARENT_RUN_ID: parent} if parent else {})
            if KIND_TAG not in self.client.get_experiment(self.experiment_id).tags:
                self.client.set_experiment_tag(self.experiment_id, KIND_TAG, "custom_model_development")
            marks = _named({**own, **tags, "state": "running", **process_tags()})  # at once: others see it whole or not at all
            run_id = self.client.create_run(self.experiment_id, tags=resolve_tags(marks)).info.run_id
            _held.add(run_id)
            return TrackedRun(self.client, run_id)
        _held.add(run_id)
        run = TrackedRun(self.client, run_id)
        run.set_tags({"mlflow.runName": name, **tags, "state": "running", **process_tags()})
        return run

    def let_go(self, run_id: str) -> None:
        """Hold a run no longer, and leave it as it is."""
        _held.discard(run_id)

    def reopen(self, run_id: str, tags: Mapping[str, str] | None = None) -> TrackedRun:
        """A run that stopped, set running again, with some more tags."""
        self.client.update_run(run_id, status="RUNNING")
        run = TrackedRun(self.client, run_id, resumed=True)
        _held.add(run_id)
        run.set_tags({**(tags or {}), "state": "running", **process_tags()})
        if f"{TAG}error" in self.get(run_id).data.tags:
            self.client.delete_tag(run_id, f"{TAG}error")
        run.drop_partial_files()
        return run


def point_to(store: Store, run_id: str) -> None:
    """Turn the run that `mlflow run` made for this process, if any, into a pointer to the run that has the work."""
    made = os.environ.pop("MLFLOW_RUN_ID", None)
    if made is None or made == run_id:
        return
    name = store.get(run_id).info.run_name
    tags = {
        f"{TAG}kind": "pointer",
        f"{TAG}state": "complete",
        f"{TAG}points_to": run_id,
        "mlflow.runName": f"see: {name}",
        "mlflow.note.content": f"This config has a run already: **{name}** (`{run_id}`). The work is there.",
    }
    store.client.log_batch(made, tags=[RunTag(key, value) for key, value in tags.items()])


def adopted_run_id() -> str | None:
    """The run that `mlflow run` made for this process, not yet taken."""
    return os.environ.get("MLFLOW_RUN_ID")


def open_store(existing: str = "") -> Store:
    """Open the store that `MLFLOW_TRACKING_URI` names, or the project's own, and its experiment.

    The experiment is that of `MLFLOW_RUN_ID`, `MLFLOW_EXPERIMENT_ID` or `MLFLOW_EXPERIMENT_NAME`, else MLflow's Default.

    Args:
        existing: for who only reads: nothing is made, neither a database nor an experiment; what to do if there is no database.

    Raises:
        StoreError: if the store cannot be reached or written; nothing was created then.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{PROJECT / 'mlflow.db'}"
    if existing and uri.startswith("sqlite:///") and not (_sqlite_path(uri).is_file() and _sqlite_path(uri).stat().st_size):
        raise StoreError(f"store must hold runs, got no database at {uri}. {existing}.")
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    elif uri.startswith("sqlite:///"):
        _check_sqlite(uri)
    try:
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        return Store(client, uri, "" if existing else _experiment(client, uri))
    except StoreError:
        raise
    except Exception as error:  # whatever a backend raises, a person needs one line
        reason = str(error).strip().splitlines()[0][:400]
        raise StoreError(f"MLFLOW_TRACKING_URI must name a usable store, got {uri} ({reason}). Check it.") from error


def connect(uri: str, experiment_id: str) -> Store:
    """A store that another process has opened, for a worker: no checks, no experiment made."""
    mlflow.set_tracking_uri(uri)
    return Store(mlflow.MlflowClient(uri), uri, experiment_id)


def _check_server(uri: str) -> None:
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=10)
    except requests.RequestException as error:
        raise StoreError(
            f"MLFLOW_TRACKING_URI must name a server that answers, got {uri} ({type(error).__name__}). Start it: mlflow server."
        ) from error


def _check_sqlite(uri: str) -> None:
    path = _sqlite_path(uri)
    try:
        with tempfile.TemporaryFile(dir=path.parent), contextlib.closing(sqlite3.connect(path, timeout=20)) as database:
            database.execute("BEGIN IMMEDIATE")  # asks for the write lock, and reads the header
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"MLFLOW_TRACKING_URI must name a database in a folder that can be written, got {uri} ({error}). Name another."
        ) from error
    if not path.stat().st_size:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        with FileLock(f"{path}.lock"):  # two first commands at once would both make the tables, and break them
            SqlAlchemyStore(uri, (path.parent / "mlruns").as_uri())  # artifacts beside the database, whatever the cwd


def _sqlite_path(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute()


def _experiment(client: mlflow.MlflowClient, uri: str) -> str:
    run_id = adopted_run_id()
    if run_id:
        return str(client.get_run(run_id).info.experiment_id)
    if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return str(client.get_experiment(experiment_id).experiment_id)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
    found = client.get_experiment_by_name(name)
    if found is None:
        folder = _sqlite_path(uri).parent / "mlruns" / quote(name, safe=" ")  # beside the database too
        return str(client.create_experiment(name, folder.as_uri() if uri.startswith("sqlite:///") else None))
    if found.lifecycle_stage != "active":
        raise StoreError(f"experiment must be active, got {name} (deleted). Restore it or set MLFLOW_EXPERIMENT_NAME.")
    return str(found.experiment_id)


def process_tags() -> dict[str, str]:
    """Who runs this: host, process and time, by which a dead run is told from a living one."""
    process = f"{os.getpid()}:{psutil.Process().create_time():.2f}"
    return {"host": socket.gethostname(), "process": process, "heartbeat": f"{time.time():.0f}"}


def is_alive(run: StoredRun) -> bool:
    """Whether the process that holds a `running` run still lives, as far as can be told from here."""
    tags = run.data.tags
    if tags.get(f"{TAG}state") != "running":
        return False
    if tags.get(f"{TAG}process") == process_tags()["process"] and tags.get(f"{TAG}host") == socket.gethostname():
        return run.info.run_id in _held
    if tags.get(f"{TAG}host") != socket.gethostname():
        return time.time() - float(tags.get(f"{TAG}heartbeat", 0)) < STALE_S
    pid, _, born = tags.get(f"{TAG}process", "0:0").partition(":")
    try:
        process = psutil.Process(int(pid))
        return bool(abs(process.create_time() - float(born)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, ValueError):
        return False


def code_tags() -> dict[str, str]:
    """Git commit of the project and whether the tree differs from it; `unknown` outside a checkout."""

    def git(*words: str) -> str:
        try:
            out = subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "unknown"
        return out.stdout.strip() if out.returncode == 0 else "unknown"

    inside = git("rev-parse", "--show-toplevel")
    commit = git("rev-parse", "HEAD") if inside == str(PROJECT) else "unknown"
    dirty = "unknown" if commit == "unknown" else str(bool(git("status", "--porcelain", "--untracked-files=no"))).lower()
    return {"code_version": commit, "code_dirty": dirty}


def _named(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as MLflow takes them: names that are not its own get our prefix."""
    return {named_tag(key): str(value)[:7900] for key, value in tags.items()}


class TrackedRun:
    """One MLflow run: params once, metrics without duplicates, artifacts, state.

    Args:
        client: of the store.
        run_id: an existing run.
        resumed: whether something was logged by an earlier process; what is there is then not logged again.
        artifact_uri: of the run, where it is known already; saves a query.
    """

    def __init__(
        self, client: mlflow.MlflowClient, run_id: str, resumed: bool = False, artifact_uri: str | None = None
    ) -> None:
        self.client, self.run_id, self.resumed = client, run_id, resumed
        self._known: dict[str, set[int]] | None = None if resumed else {}
        uri = artifact_uri or client.get_run(run_id).info.artifact_uri
        parsed = urlparse(uri)
        self._root = Path(url2pathname(parsed.path)) if parsed.scheme in ("", "file") else None
        self._artifacts = get_artifact_repository(uri, tracking_uri=client.tracking_uri)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; names that are not MLflow's get our prefix."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in _named(tags).items()])

    def log_config(self, config: RunConfig) -> None:
        """Log a resolved config as params. Params are write-once: those that are there stay as they are.

        Raises:
            StoreError: if a param is there already and means another run.
        """
        config = config.resolved()
        there = self.client.get_run(self.run_id).data.params
        fields = config.to_strings()
        earlier = RunConfig.from_strings(fields | {k: v for k, v in there.items() if k in fields}).resolved().to_strings()
        differ = [k for k in there if k in fields and k not in EXECUTION_FIELDS and earlier[k] != fields[k]]
        if differ:
            told = ", ".join(f"{k} {there[k]} (now {fields[k]})" for k in differ)
            raise StoreError(f"params must stay as logged, got {told} in run {self.run_id}. Start a new run.")
        new = [Param(k, v) for k, v in fields.items() if k not in there]
        spelt = [RunTag(f"{TAG}resolved.{k}", fields[k]) for k in there if k in fields and there[k] != fields[k]]
        self.client.log_batch(self.run_id, params=new, tags=spelt)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log plain params; those that are there, as `mlflow run` has spelt them, stay and get a `grok.resolved.NAME` tag."""
        there = self.client.get_run(self.run_id).data.params
        new = [Param(name, text) for name, text in params.items() if name not in there]
        spelt = [RunTag(f"{TAG}resolved.{k}", params[k]) for k in there if k in params and there[k] != params[k]]
        self.client.log_batch(self.run_id, params=new, tags=spelt)

    def log_points(self, points: Iterable[tuple[int, str, float]]) -> None:
        """Log (step, metric, value) points in batches; a step that an earlier process logged is left as it is."""
        now = int(time.time() * 1000)
        fresh = [(step, key, value) for step, key, value in points if step not in self._logged(key)]
        for start in range(0, len(fresh), 1000):
            batch = [Metric(key, value, now, step) for step, key, value in fresh[start : start + 1000]]
            self.client.log_batch(self.run_id, metrics=batch, tags=[RunTag(f"{TAG}heartbeat", str(now // 1000))])

    def _logged(self, key: str) -> set[int]:
        if self._known is None:
            names = self.client.get_run(self.run_id).data.metrics
            self._known = {n: {m.step for m in self.client.get_metric_history(self.run_id, n)} for n in names}
        return self._known.get(key, set())

    def put_tensors(self, path: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Store tensors as a safetensors artifact, whole or not at all where the artifact store is a local folder."""
        if self._root is not None:
            checkpoint.save(self._root / path, tensors, facts)
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            checkpoint.save(local, tensors, facts)
            self.put_file(local, str(Path(path).parent))

    def put_file(self, local: Path, folder: str = "") -> None:
        """Store a file as an artifact under `folder`."""
        self._artifacts.log_artifact(str(local), folder if folder not in ("", ".") else None)

    def put_arrays(self, path: str, **arrays: np.ndarray) -> None:
        """Store arrays as a compressed npz artifact."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            np.savez_compressed(local, **arrays)  # type: ignore[arg-type]
            self.put_file(local, str(Path(path).parent))

    def put_text(self, path: str, text: str) -> None:
        """Store text as an artifact."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            local.write_text(text, encoding="utf-8")
            self.put_file(local, str(Path(path).parent))

    def put_json(self, path: str, value: Any) -> None:
        """Store a value as a JSON artifact."""
        self.put_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")

    def get_file(self, path: str, folder: Path) -> Path:
        """A local path of an artifact: in place where the store is local, else downloaded into `folder`.

        Raises:
            StoreError: if there is none.
        """
        try:
            local = self._root / path if self._root is not None else Path(self._artifacts.download_artifacts(path, str(folder)))
            if local.exists():
                return local
        except (MlflowException, OSError):
            pass
        raise StoreError(f"artifact must exist in run {self.run_id}, got {path}. See what it has with `mlflow ui`.")

    def list_files(self, folder: str) -> list[str]:
        """Paths of the artifacts directly under `folder`, sorted; not those that are still being written."""
        paths = [entry.path for entry in self._artifacts.list_artifacts(folder) if not entry.is_dir]
        return sorted(path for path in paths if not Path(path).name.startswith("."))

    def drop_partial_files(self) -> None:
        """Delete what a killed process was writing when it died."""
        for path in self._root.rglob(checkpoint.PARTIAL) if self._root is not None else ():
            path.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Delete one artifact of this run."""
        if self._root is not None:
            (self._root / path).unlink(missing_ok=True)
        else:
            self._artifacts.delete_artifacts(path)

    def log_dataset(self, features: np.ndarray, targets: np.ndarray, name: str, source: str, context: str) -> None:
        """Log a dataset's digest, shape and source; the data itself is a function of the config."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a source in words is ambiguous to MLflow, and meant so
            dataset = mlflow.data.from_numpy(features, source=source, targets=targets, name=name)
        entry = DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", context)])
        for attempt in range(DATASET_TRIES):
            try:
                self.client.log_inputs(self.run_id, [entry])
                return
            except MlflowException:  # another run logged the same dataset at the same moment: now it is there
                if attempt == DATASET_TRIES - 1:
                    raise
                time.sleep(0.1 * 2**attempt)

    def log_network(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        step: int,
        code: Sequence[Path] = (),
        *,
        model_type: str,
        example: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Log the network as an MLflow model: safetensors and the code that reads them, no pickle.

        Args:
            tensors: by layer. facts: what the network needs beside them, an `activation` perhaps. step: epoch.
            code: files of the user's own that the network needs, which go along.
            model_type: as the network calls itself. example: inputs and scores, for the signature.
        """
        run = self.client.get_run(self.run_id)
        if run.outputs is not None and run.outputs.model_outputs:
            return  # an earlier process got this far
        if self.resumed:  # or not quite
            for left in self.client.search_logged_models([run.info.experiment_id], f"source_run_id = '{self.run_id}'"):
                self.client.delete_logged_model(left.model_id)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*type hint", UserWarning)  # of MLflow's own classes
            from mlflow.models import infer_signature
            from mlflow.pyfunc import save_model
        model = self.client.create_logged_model(
            run.info.experiment_id,
            name="network",
            source_run_id=self.run_id,
            tags={f"{TAG}activation": str(facts["activation"])} if "activation" in facts else {},
            model_type=model_type,
        )
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*input example", UserWarning)  # the signature is given
            weights = Path(folder) / "network.safetensors"
            checkpoint.save(weights, tensors, facts)
            signature = infer_signature(*example)
            requirements = [f"{m}=={sys.modules[m].__version__.split('+')[0]}" for m in ("mlflow", "torch", "numpy")]
            save_model(
                f"{folder}/model",
                python_model=str(PROJECT / "grok" / "store" / "served.py"),
                artifacts={"network": str(weights)},
                signature=signature,
                code_paths=[str(PROJECT / "grok"), *map(str, code)],
                pip_requirements=[*requirements, "safetensors"],
            )
            self.client.log_model_artifacts(model.model_id, f"{folder}/model")
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self.client.log_outputs(self.run_id, models=[LoggedModelOutput(model.model_id, step)])

    def end(self, state: str, error: str = "") -> None:
        """Set our state tag and MLflow's status."""
        if state != "running":
            _held.discard(self.run_id)
        self.set_tags({"state": state} | ({"error": error} if error else {}))
        self.client.set_terminated(self.run_id, status=STATES[state])

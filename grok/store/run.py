"""One run, open to be written: params once, metrics without duplicates, files, datasets, state."""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from torch import Tensor

from grok.spec.config import EXECUTION_FIELDS, ResolvedConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import EVERY
from grok.store import files, places
from grok.store.alive import let_go
from grok.store.errors import StoreError, one_line
from grok.store.tags import DONE, ERROR, HEARTBEAT, RESOLVED, RUNNING, SEARCHED, STATE, STATES, StoredRun, named, tag

DATASET_TRIES = 5
RESUME = "resume"
"""The folder of the states to go on from."""


class TrackedRun:
    """One MLflow run: params once, metrics without duplicates, artifacts, state.

    Args:
        client: of the store.
        run: as the store has it; or its id, and then it is looked up when more is asked.
        resumed: whether something was logged by an earlier process; what is there is then not logged again.
        artifact_uri: of the run, where its id alone is given and this is known already; saves a query.

    Raises:
        StoreError: if its files are said to be in a folder that is not its own, or a link, or at the place of no experiment.
    """

    def __init__(
        self, client: mlflow.MlflowClient, run: StoredRun | str, resumed: bool = False, artifact_uri: str | None = None
    ) -> None:
        self.client, self.resumed = client, resumed
        self._stored = None if isinstance(run, str) else run
        self.run_id = run if isinstance(run, str) else run.run_id
        self._known: dict[str, set[int]] | None = None if resumed else {}
        self._uri = artifact_uri or self.stored.artifact_uri
        self._root = places.folder(self._uri, self.run_id, "artifacts")
        if self._root is None:
            self._artifacts = places.repository(client, self._uri, self.run_id, "artifacts")

    @property
    def in_place(self) -> bool:
        """Whether its files are in a local folder, where they are read and written in place."""
        return self._root is not None

    @property
    def stored(self) -> StoredRun:
        """The run as it was when it was opened."""
        if self._stored is None:
            self._stored = self.look()
        return self._stored

    def look(self) -> StoredRun:
        """The run as the store has it now."""
        return StoredRun.of(self.client.get_run(self.run_id))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; names that are not MLflow's get our prefix."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in named(tags).items()])

    def log_config(self, config: ResolvedConfig) -> None:
        """Log a resolved config as params, and those that one searches for as tags: `mlflow run` may have logged `auto` there.

        Params are write-once: those that were there stay as they are.

        Raises:
            StoreError: if a param was there already and means another run.
        """
        self.check_config(config)
        self.log_params(config.to_strings(), SEARCHED)

    def check_config(self, config: ResolvedConfig) -> None:
        """Make sure that the params that are there are those of a config.

        Raises:
            StoreError: if one means another run.
        """
        fields, there = config.to_strings(), self.stored.params
        try:
            earlier = ResolvedConfig.from_strings(fields | {k: v for k, v in there.items() if k in fields}).to_strings()
        except ConfigError as error:
            raise StoreError(f"params must stay as logged, got {error} in run {self.run_id}. Start a new run.") from error
        free = [*EXECUTION_FIELDS, *(["signals"] if EVERY in (there.get("signals"), fields["signals"]) else [])]
        differ = [k for k in there if k in fields and k not in free and earlier[k] != fields[k]]
        if differ:
            told = ", ".join(f"{k} {there[k]} (now {fields[k]})" for k in differ)
            raise StoreError(f"params must stay as logged, got {told} in run {self.run_id}. Start a new run.")

    def log_params(self, params: Mapping[str, str], searched: Iterable[str] = ()) -> None:
        """Log plain params; those that were there, as `mlflow run` has spelt them, stay and get a tag `resolved.NAME`.

        Args:
            params: by name. searched: names of those that get such a tag in any case.
        """
        there = self.stored.params
        new = [Param(name, text) for name, text in params.items() if name not in there]
        spelt = [k for k in there if k in params and there[k] != params[k]]
        resolved = [RunTag(tag(RESOLVED + name), params[name]) for name in dict.fromkeys([*searched, *spelt])]
        self.client.log_batch(self.run_id, params=new, tags=resolved)

    def log_points(self, points: Iterable[tuple[int, str, float]]) -> None:
        """Log (step, metric, value) points in batches; a step that an earlier process logged is left as it is."""
        now = int(time.time() * 1000)
        fresh = [(step, key, value) for step, key, value in points if step not in self._logged(key)]
        for start in range(0, len(fresh), 1000):
            batch = [Metric(key, value, now, step) for step, key, value in fresh[start : start + 1000]]
            self.client.log_batch(self.run_id, metrics=batch, tags=[RunTag(tag(HEARTBEAT), str(now // 1000))])

    def log_summary(self, values: Mapping[str, float]) -> None:
        """Log numbers that a later command may put others in the place of: the newest counts, one that is the same stays."""
        there, now = self.look().metrics, int(time.time() * 1000)
        fresh = [Metric(key, float(value), now, 0) for key, value in values.items() if there.get(key) != value]
        for start in range(0, len(fresh), 1000):
            self.client.log_batch(self.run_id, metrics=fresh[start : start + 1000])

    def _logged(self, key: str) -> set[int]:
        if self._known is None:
            names = self.look().metrics
            self._known = {n: {m.step for m in self.client.get_metric_history(self.run_id, n)} for n in names}
        return self._known.get(key, set())

    def put_tensors(self, path: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Store tensors as a safetensors artifact, whole or not at all where the artifact store is a local folder."""
        if self._root is not None:
            files.save(self._place(path), tensors, facts)
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            files.save(local, tensors, facts)
            self.put_file(local, str(Path(path).parent))

    def put_file(self, local: Path, folder: str = "") -> None:
        """Store a file as an artifact under `folder`, whole or not at all where the artifact store is a local folder."""
        if self._root is not None:
            files.copy(local, self._place(f"{folder or '.'}/{local.name}"))
            return
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
            local = self._place(path) if self._root is not None else Path(self._artifacts.download_artifacts(path, str(folder)))
            if local.is_file():
                return local
        except StoreError:
            raise
        except (MlflowException, OSError):
            pass
        except Exception as error:  # of the package that reads such a place
            raise places.unusable(self._uri, error) from error
        raise StoreError(f"artifact must exist in run {self.run_id}, got {path}. See what it has with `mlflow ui`.")

    def _place(self, path: str) -> Path:
        """The local path of an artifact, which no name and no link leads out of the run's folder.

        Raises:
            StoreError: if one does, or no file can have the name.
        """
        assert self._root is not None
        return places.within(self._root, path, self.run_id)

    def list_files(self, folder: str) -> list[str]:
        """Paths of the artifacts directly under `folder`, sorted; not those that are still being written."""
        return sorted(path for path, is_folder in self._entries(folder) if not is_folder)

    def walk(self, folder: str = "") -> list[str]:
        """Paths of all artifacts under `folder`, sorted; nothing whose name, or whose folder's, begins with a point."""
        found = self._entries(folder)
        deeper = [path for entry, is_folder in found if is_folder and not self._is_link(entry) for path in self.walk(entry)]
        return sorted([entry for entry, is_folder in found if not is_folder] + deeper)

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        """What is directly under a folder: paths, and whether each is a folder; nothing whose name begins with a point.

        Raises:
            StoreError: if the folder is a link, or its place cannot be read.
        """
        if self._root is not None:
            place = self._place(folder) if folder else self._root
            try:
                found = [(str(one.relative_to(self._root)), one.is_dir()) for one in place.iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []
        else:
            try:
                found = [(one.path, bool(one.is_dir)) for one in self._artifacts.list_artifacts(folder or None)]
            except (MlflowException, OSError):
                raise
            except Exception as error:  # of the package that reads such a place
                raise places.unusable(self._uri, error) from error
        return [(path, is_folder) for path, is_folder in found if not PurePosixPath(path).name.startswith(".")]

    def _is_link(self, path: str) -> bool:
        return self._root is not None and (self._root / path).is_symlink()

    def drop_partial_files(self) -> None:
        """Delete what a killed process was writing when it died."""
        root = self._root
        found = [root.rglob(pattern) for pattern in (files.PARTIAL, files.EARLIER_PARTIAL)] if root is not None else []
        for path in itertools.chain(*found):
            path.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Delete one artifact of this run."""
        if self._root is not None:
            self._place(path).unlink(missing_ok=True)
            return
        with contextlib.suppress(MlflowException, OSError):  # gone already, or left where the server does not let us
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

    def drop_states(self, but: str = "") -> None:
        """Delete the states to go on from, all but one."""
        states = self.list_files(RESUME)
        if states and not but and self._root is None:
            self.delete(RESUME)  # with what a server that was killed had half received, which it lists to nobody
            return
        for name in states:
            if name != but:
                self.delete(name)
        if not but and self._root is not None:
            with contextlib.suppress(OSError):  # not there, or not empty
                (self._root / RESUME).rmdir()

    def end_by(self, error: BaseException) -> None:
        """End as an error left it: `interrupted` by Ctrl-C, else `failed` with the reason."""
        stopped = isinstance(error, KeyboardInterrupt)
        self.end("interrupted" if stopped else "failed", f"{type(error).__name__}: {one_line(error)}")

    def end(self, state: str, error: str = "") -> None:
        """Set our state tag and MLflow's status; of a run that is done, delete the states to go on from.

        Our tag is set first and MLflow's status last: whoever finds a run that is done and yet RUNNING by MLflow's status
        knows that the process which ended it was killed in between, and does the rest (`grok.store.prior.mend`).
        """
        if state != RUNNING:
            let_go(self.run_id)
        self.set_tags({STATE: state} | ({ERROR: error} if error else {}))
        if state in DONE:
            self.drop_states()
            with contextlib.suppress(MlflowException):  # not there: the run had logged nothing yet
                self.client.delete_tag(self.run_id, tag(HEARTBEAT))
        self.client.set_terminated(self.run_id, status=STATES[state])

"""Whole runs, out of a store and into another's database, with their ids and times.

MLflow's client makes a run under an id of its own choosing, so a run that is to keep its id is written through the tables of
MLflow's database. This module alone knows them, looks that they are as it knows them, and writes a run in one transaction.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mlflow
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import insert

from grok.store.errors import StoreError
from grok.store.store import Store
from grok.store.tags import FILES_LEFT_OUT, HOST, NOTE, PROCESS, StoredRun, tag
from grok.store.views import with_report

DATABASES: Final = ("sqlite:", "postgresql", "mysql", "mssql")
"""How the address of a store begins whose tables can be written."""
ADDRESSES: Final = ("mlflow.project.uri", "mlflow.source.git.repoURL", "mlflow.gitRepoURL")
STAY_BEHIND: Final = ("mlflow.user", "mlflow.source.name", *ADDRESSES, tag(HOST), tag(PROCESS))
"""Tags that name a person, a machine or a folder: they do not travel."""
CAME: Final = (tag(FILES_LEFT_OUT),)
"""Tags that say how a run came here, and nothing of the run."""
USED: Final = {
    models.SqlRun: (
        "run_uuid name source_type source_name entry_point_name user_id status start_time end_time deleted_time "
        "source_version lifecycle_stage artifact_uri experiment_id"
    ),
    models.SqlTag: "key value run_uuid",
    models.SqlParam: "key value run_uuid",
    models.SqlMetric: "key value timestamp step is_nan run_uuid",
    models.SqlLatestMetric: "key value timestamp step is_nan run_uuid",
    models.SqlDataset: (
        "dataset_uuid experiment_id name digest dataset_source_type dataset_source dataset_schema dataset_profile"
    ),
    models.SqlInput: "input_uuid source_type source_id destination_type destination_id step",
    models.SqlInputTag: "input_uuid name value",
}
"""Columns of MLflow's tables, as of MLflow 3.17, that a run is written to."""


@dataclass(frozen=True)
class Point:
    """A value of a metric.

    Attributes:
        key: its name. value: float64. step: epoch. timestamp: ms since 1970.
    """

    key: str
    value: float
    step: int
    timestamp: int


@dataclass(frozen=True)
class Record:
    """A run without its files.

    Attributes:
        run_id, name, status: of the run. experiment: its name. start_time, end_time: ms since 1970; None: not ended.
        params: texts. tags: by whole names, without those of `STAY_BEHIND` and `CAME`.
        datasets: MLflow's datasets of the run, as plain data. metrics: the newest point of each, by name.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    start_time: int
    end_time: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    datasets: Sequence[Mapping[str, Any]]
    metrics: tuple[Point, ...]


def record(run: StoredRun, experiment: str) -> Record:
    """A run of a store as a record.

    Args:
        run: as the store has it. experiment: the name of the one that it is in.
    """
    known = (m for m in run.data._metric_objs if m.key in run.metrics)  # a value that is no number was nobody's point
    points = (Point(m.key, float(m.value), int(m.step), int(m.timestamp)) for m in known)
    return Record(
        run.run_id,
        run.name,
        experiment,
        run.status,
        run.start_time,
        run.info.end_time if isinstance(run.info.end_time, int) else None,
        dict(sorted(run.params.items())),
        {name: _travelling(name, text) for name, text in sorted(run.tags.items()) if name not in (*STAY_BEHIND, *CAME)},
        _datasets(run),
        tuple(sorted(points, key=lambda point: point.key)),
    )


def _travelling(name: str, text: str) -> str:
    """A tag without what stays behind: the line of a description that links a report of this store."""
    return with_report(text, "") if name == NOTE else text


def _datasets(run: StoredRun) -> list[dict[str, Any]]:
    inputs = run.inputs.dataset_inputs if run.inputs is not None else ()
    found = [
        {
            "name": one.dataset.name,
            "digest": one.dataset.digest,
            "source_type": one.dataset.source_type,
            "source": one.dataset.source,
            "schema": one.dataset.schema,
            "profile": one.dataset.profile,
            "tags": {tag.key: tag.value for tag in one.tags},
        }
        for one in inputs
    ]
    return sorted(found, key=lambda one: (one["name"], one["digest"]))


class Database:
    """The tables of a store, open for whole runs.

    Args:
        store: a local database or a database server; not a tracking server, which gives runs ids of its own.

    Raises:
        StoreError: if its tables cannot be written, or this MLflow has other tables.
    """

    def __init__(self, store: Store) -> None:
        if not store.uri.startswith(DATABASES):
            raise StoreError(
                f"MLFLOW_TRACKING_URI must name a database for an import, since runs keep their ids, got {store.shown}. "
                "Name the database that the server reads."
            )
        _check_tables()
        self.store = store
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self._sql = SqlAlchemyStore(store.uri, (store.folder / "mlruns").as_uri())

    def find(self, run_id: str) -> StoredRun | None:
        """The run of an id, None if there is none.

        Raises:
            StoreError: if it is deleted.
        """
        try:
            return self.store.get(run_id)
        except StoreError:
            with self._sql.ManagedSessionMaker(read_only=True) as session:
                if session.get(models.SqlRun, run_id) is None:
                    return None
            raise

    def place(self, experiment_id: str, run_id: str) -> str:
        """Where the files of a run are to be."""
        location = self.store.client.get_experiment(experiment_id).artifact_location
        return str(append_to_uri_path(location, run_id, SqlAlchemyStore.ARTIFACTS_FOLDER_NAME))

    def put(self, one: Record, experiment_id: str, series: Iterable[Point] = (), tags: Mapping[str, str] | None = None) -> None:
        """Write a run, all of it or nothing. Its files are put at `place` before.

        Args:
            one: the run, which is not there. experiment_id: to put it in.
            series: more points of its metrics, for charts. tags: more of them, by whole names.
        """
        own = {"run_uuid": one.run_id}
        run = models.SqlRun(
            **own,
            name=one.name,
            artifact_uri=self.place(experiment_id, one.run_id),
            experiment_id=int(experiment_id),
            source_type="UNKNOWN",
            source_name="",
            entry_point_name="",
            source_version="",
            user_id="",
            status=one.status,
            start_time=one.start_time,
            end_time=one.end_time,
            deleted_time=None,
            lifecycle_stage="active",
        )
        texts = {models.SqlTag: {**one.tags, **(tags or {})}, models.SqlParam: one.params}
        newest = [_row(point) | own for point in one.metrics]
        seen = {(point.key, point.step) for point in one.metrics}
        more = [_row(point) | own for point in series if (point.key, point.step) not in seen]
        with self._sql.ManagedSessionMaker(read_only=False) as session:
            session.add(run)
            session.flush()
            for kind, rows in (
                *((kind, [{"key": key, "value": text} | own for key, text in found.items()]) for kind, found in texts.items()),
                (models.SqlLatestMetric, newest),
                (models.SqlMetric, newest + more),
            ):
                if rows:
                    session.execute(insert(kind.__table__), rows)
            for dataset in one.datasets:
                _put_dataset(session, one.run_id, int(experiment_id), dataset)


def _row(point: Point) -> dict[str, Any]:
    """A point as MLflow's tables have it: NaN and infinity are not numbers to every database."""
    value = point.value
    if not math.isfinite(value):
        value = 0.0 if math.isnan(value) else math.copysign(1.7976931348623157e308, value)
    where = {"key": point.key, "step": point.step, "timestamp": point.timestamp}
    return where | {"value": value, "is_nan": math.isnan(point.value)}


def _put_dataset(session: Any, run_id: str, experiment_id: int, dataset: Mapping[str, Any]) -> None:
    kind = models.SqlDataset
    key = (experiment_id, dataset["name"], dataset["digest"])
    found = session.get(kind, key)
    if found is None:
        found = kind(
            dataset_uuid=uuid.uuid4().hex,
            experiment_id=experiment_id,
            name=dataset["name"],
            digest=dataset["digest"],
            dataset_source_type=dataset["source_type"],
            dataset_source=dataset["source"],
            dataset_schema=dataset["schema"],
            dataset_profile=dataset["profile"],
        )
        session.add(found)
    edge = uuid.uuid4().hex
    ends = {"source_type": "DATASET", "source_id": found.dataset_uuid, "destination_type": "RUN", "destination_id": run_id}
    session.add(models.SqlInput(input_uuid=edge, **ends))
    session.add_all(models.SqlInputTag(input_uuid=edge, name=name, value=text) for name, text in dataset["tags"].items())


def _check_tables() -> None:
    """Look that MLflow's tables have the columns that are written, and no other that must be.

    Raises:
        StoreError: if not.
    """
    for kind, known in USED.items():
        columns = {column.key: column for column in kind.__table__.columns}
        gone = set(known.split()) - set(columns)
        new = {
            name
            for name, column in columns.items()
            if name not in known.split() and not column.nullable and column.default is None and column.server_default is None
        }
        if gone or new:
            told = ", ".join(sorted(gone | new))
            raise StoreError(
                f"mlflow must have the tables of version 3.17, got {mlflow.__version__} ({kind.__tablename__}: {told}). "
                "Import with the version that requirements.txt pins."
            )

"""A bundle into a store: real runs with their ids, times, tags and files. Nothing is overwritten, nothing half-made."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from analysis.bundle import layout, tables
from analysis.bundle.layout import BundleError
from analysis.reading.evidence import DERIVED, DERIVED_RANKS
from grok.spec.artifacts import BAND, HISTORY
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tables import load_table, save_table
from grok.store.tags import FILES_LEFT_OUT, TRAIN, StoredRun, tag
from grok.store.transplant import Database, Point, Record, record

POINTS: Final = 50
"""Points of a metric by epoch that MLflow's own charts get; `history.parquet` has every epoch."""
STATUSES: Final = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Packed:
    """A run in a bundle.

    Attributes:
        record: all but its files. tables: by path, in Arrow's form. files: local path by path in the run. left_out: paths of
            files that the run has where it was trained.
    """

    record: Record
    tables: Mapping[str, pa.Table]
    files: Mapping[str, Path]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of an import: ids of runs that were made, that got files which they had come without, and that were there."""

    made: tuple[str, ...]
    completed: tuple[str, ...]
    there: tuple[str, ...]


def read(folder: Path) -> list[Packed]:
    """The runs of a bundle, parents before those that they hold.

    Raises:
        BundleError: if anything of it is not as it must be.
    """
    manifest = layout.verified(folder)
    content = layout.read_json(folder / layout.RUNS)
    try:
        columns = [[_text(name) for name in names] for names in content["columns"]]
        rows = list(content["runs"])
        parts = {path: tables.by_run(folder / layout.TABLES / path) for path in _listed(manifest["files"], layout.TABLES)}
        metrics = _metrics(folder / layout.METRICS)
        runs = [_packed(row, columns, parts, metrics, folder, manifest["files"]) for row in rows]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        why = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise BundleError(f"{layout.RUNS} must describe runs of a bundle, got {why}. Export it anew.") from error
    if len({run.record.run_id for run in runs}) < len(runs):
        raise BundleError(f"{layout.RUNS} must have each run once, got one twice. Export the bundle anew.")
    return runs


def _listed(files: Mapping[str, Any], folder: str) -> list[str]:
    start = f"{folder}/"
    return sorted(name.removeprefix(start) for name in files if name.startswith(start))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} for a text")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"{str(value)[:40]!r} for a time")
    return value


def _texts(value: Any) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in value.items()}


def _path(value: Any) -> str:
    path = _text(value)
    if not layout.is_plain(path):
        raise ValueError(f"{path[:60]!r} for a path")
    return path


def _packed(
    row: Mapping[str, Any],
    columns: Sequence[list[str]],
    parts: Mapping[str, Mapping[str, pa.Table]],
    metrics: Mapping[str, tuple[Point, ...]],
    folder: Path,
    listed: Mapping[str, Any],
) -> Packed:
    run_id = _text(row["run_id"])
    if not ID.fullmatch(run_id):
        raise ValueError(f"{run_id[:40]!r} for a run id")
    if row["status"] not in STATUSES:
        raise ValueError(f"{str(row['status'])[:40]!r} for a status")
    end = row["end_time"]
    one = Record(
        run_id,
        _text(row["name"]),
        _text(row["experiment"]),
        row["status"],
        _number(row["start_time"]),
        None if end is None else _number(end),
        _texts(row["params"]),
        _texts(row["tags"]),
        [_dataset(dataset) for dataset in row["datasets"]],
        metrics.get(run_id, ()),
    )
    own = {_path(path): parts[path][run_id].select(columns[number]) for path, number in row["tables"].items()}
    files = {_path(path): f"{layout.FILES}/{run_id}/{path}" for path in row["files"]}
    absent = next((name for name in files.values() if name not in listed), None)
    if absent is not None or set(files) & set(own):
        raise ValueError(f"{absent or run_id} for a file that is listed once")
    left = tuple(_path(path) for path in row["left_out"])
    return Packed(one, own, {path: folder / name for path, name in files.items()}, left)


def _dataset(value: Mapping[str, Any]) -> dict[str, Any]:
    texts: dict[str, Any] = {name: _text(value[name]) for name in ("name", "digest", "source_type", "source")}
    return (
        texts | {name: value[name] and _text(value[name]) for name in ("schema", "profile")} | {"tags": _texts(value["tags"])}
    )


def _metrics(path: Path) -> dict[str, tuple[Point, ...]]:
    out: dict[str, list[Point]] = {}
    table = tables.open_table(path, tables.SHARE_AS_OBJECTS)
    wanted = (tables.RUN, "key", "value", "step", "timestamp")
    for run_id, key, value, step, timestamp in zip(*(table[name].to_pylist() for name in wanted), strict=True):
        point = Point(_text(key), float("nan") if value is None else float(value), int(step), int(timestamp))
        out.setdefault(_text(run_id), []).append(point)
    return {run_id: tuple(points) for run_id, points in out.items()}


def unpack(store: Store, runs: Sequence[Packed], progress: Callable[[Sequence[Packed]], Iterable[Packed]] = iter) -> Outcome:
    """Make the runs of a bundle in a store. Stopped anywhere, the same call goes on.

    Args:
        store: a database. runs: as `read` gives them.
        progress: shows how far it is: gives the runs that it is given, one by one.

    Raises:
        StoreError: if the store gives runs ids of its own.
        BundleError: if a run is there and is another; nothing was made then.
    """
    database = Database(store)
    with store.lock():
        found = {run.record.run_id: database.find(run.record.run_id) for run in runs}
        _refuse_others(store, runs, found)
        todo = [run for run in runs if found[run.record.run_id] is None]
        experiments = {name: store.experiment(name) for name in dict.fromkeys(run.record.experiment for run in todo)}
        for run in progress(todo):
            _put(store, database, run, experiments[run.record.experiment])
        there = [(run, known) for run in runs if (known := found[run.record.run_id]) is not None]
        completed = [known.run_id for run, known in there if _complete(store, run, known)]
    untouched = (known.run_id for _, known in there if known.run_id not in completed)
    return Outcome(tuple(run.record.run_id for run in todo), tuple(completed), tuple(untouched))


def _put(store: Store, database: Database, run: Packed, experiment_id: str) -> None:
    """Files first: a run that can be found has them all."""
    run_id = run.record.run_id
    _put_files(TrackedRun(store.client, run_id, artifact_uri=database.place(experiment_id, run_id)), run)
    marks = {tag(FILES_LEFT_OUT): " ".join(run.left_out)} if run.left_out else {}
    database.put(run.record, experiment_id, series(run), marks)


def _put_files(tracked: TrackedRun, run: Packed, only: Collection[str] | None = None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for path, table in run.tables.items():
            if only is None or path in only:
                local = Path(scratch) / path
                local.parent.mkdir(parents=True, exist_ok=True)
                save_table(local, table.to_pandas())
                tracked.put_file(local, str(Path(path).parent))
    for path, local in run.files.items():
        if only is None or path in only:
            tracked.put_file(local, str(Path(path).parent))


def _complete(store: Store, run: Packed, known: StoredRun) -> bool:
    """Give a run that came without some files those that the bundle has of them; whether there are any."""
    new = [path for path in known.files_left_out if path in run.tables or path in run.files]
    if new:
        _put_files(TrackedRun(store.client, known, artifact_uri=known.artifact_uri), run, new)
        rest = [path for path in known.files_left_out if path not in new]
        store.client.set_tag(known.run_id, tag(FILES_LEFT_OUT), " ".join(rest))
    return bool(new)


def series(run: Packed, most: int = POINTS) -> Iterator[Point]:
    """Points of each metric by epoch for MLflow's charts: `most` of them, evenly, the first and the last among them.

    Args:
        run: with its history. most: of each metric.
    """
    if HISTORY not in run.tables:
        return
    newest = {point.key: point for point in run.record.metrics}
    table = run.tables[HISTORY]
    epochs = table["epoch"].to_numpy()
    for key in (name for name in table.column_names if name in newest):
        values = table[key].to_numpy()
        seen = np.flatnonzero(~np.isnan(values))
        places = seen[np.unique(np.linspace(0, len(seen) - 1, min(most, len(seen))).astype(int))] if len(seen) else seen
        for epoch, value in zip(epochs[places].tolist(), values[places].tolist(), strict=True):
            yield Point(key, value, epoch, newest[key].timestamp)


def _refuse_others(store: Store, runs: Sequence[Packed], found: Mapping[str, StoredRun | None]) -> None:
    """Look that each run that is there already is the one of the bundle.

    Raises:
        BundleError: naming those that are not, and in what.
    """
    names = {e.experiment_id: e.name for e in store.client.search_experiments()}
    told = []
    for run in runs:
        known = found[run.record.run_id]
        if known is not None and (why := difference(store, run, known, names[known.experiment_id])):
            told.append(f"{run.record.run_id} ({why})")
    if told:
        more = f" and {len(told) - 5} more" if len(told) > 5 else ""
        raise BundleError(
            f"runs that are there must be those of the bundle, got others in {store.shown}: {', '.join(told[:5])}{more}. "
            "Nothing was imported. Import into a store of its own, or delete them for good with `mlflow gc`."
        )


def difference(store: Store, run: Packed, known: StoredRun, experiment: str) -> str:
    """In what a run of a bundle differs from the one of its id in a store; empty if in nothing.

    A run that was trained may have come to serve more studies since, and a parent run tells of later commands: tags that were
    added are no difference, nor are a parent's new words.
    """
    mine, theirs = run.record, record(known, experiment)
    if known.kind != TRAIN:
        return "" if (mine.start_time, mine.tags.get(tag("kind"))) == (theirs.start_time, known.kind) else "its start"
    names = ("name", "experiment", "status", "start_time", "end_time", "params", "datasets")
    for name in names:
        if getattr(mine, name) != getattr(theirs, name):
            return name.replace("_", " ")
    changed = sorted(name for name, text in mine.tags.items() if theirs.tags.get(name) != text)
    if changed:
        return f"tag {changed[0]}"
    if [_key(point) for point in mine.metrics] != [_key(point) for point in theirs.metrics]:
        return "metrics"
    return _other_file(store, run, known)


def _key(point: Point) -> tuple[str, str, int]:
    return point.key, repr(point.value), point.step


def _other_file(store: Store, run: Packed, known: StoredRun) -> str:
    tracked = TrackedRun(store.client, known, artifact_uri=known.artifact_uri)
    with tempfile.TemporaryDirectory() as scratch:
        for path in (*run.tables, *run.files):
            if path in known.files_left_out or (path in (DERIVED, DERIVED_RANKS) and BAND not in known.files_left_out):
                continue  # not here, and not missed
            try:
                local = tracked.get_file(path, Path(scratch))
                if path in run.files:
                    same = layout.sha256(local) == layout.sha256(run.files[path])
                else:
                    mine, theirs = run.tables[path].to_pandas(), load_table(local)
                    same = set(mine) <= set(theirs) and mine.equals(theirs[list(mine)])
            except (StoreError, OSError, ValueError, pa.ArrowException):
                same = False
            if not same:
                return path
    return ""

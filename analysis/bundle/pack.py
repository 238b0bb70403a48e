"""Runs of a store into a bundle."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.bundle import layout, tables
from analysis.bundle.crate import crate
from analysis.reading.evidence import DERIVED, DERIVED_RANKS
from analysis.reading.runs import conditions, stored_name
from grok.spec.artifacts import BAND, FACTORS, HISTORY
from grok.spec.limited import BrokenFileError
from grok.store.errors import StoreError, brief, one_line
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tables import load_table, save_table
from grok.store.tags import CONFIG_HASH, KIND, RUNNING, STUDY_NAME, TRAIN, StoredRun, tag
from grok.store.transplant import Point, Record, record

KINDS: Final = (TRAIN, "study", "sensitivity")
"""Kinds of runs that travel: what was trained, asked and searched. Reports are made anew from them."""
NEVER: Final = re.compile(r"(figures|resume)/.*|.*\.(png|svg|pdf)|config\.json")
"""Files that nothing reads again, or that say what the params say."""
PARENTS: Final = re.compile(r".*\.(json|csv|md|txt)")
"""Files of studies and sensitivity runs that travel; their Parquet files say the same."""
BANDS: Final = re.compile(f"{re.escape(BAND)}|{re.escape(FACTORS)}")
TABLE: Final = ".parquet"
KEPT: Final = ("epoch", "accuracy/train", "accuracy/test")


@dataclass(frozen=True)
class Wanted:
    """What goes into a bundle.

    Attributes:
        studies: names; empty for every run. run_ids: instead of studies, if any are given.
        drop: patterns of columns of histories that stay behind, as `delta_v/*`; or, of runs that count in one study alone, as
            `rounding:delta_w/*`.
        bands: of all runs. files: all others of training runs. named: patterns of others, as `signals*.parquet`.
        also: paths by run id that go in whatever these say.
    """

    studies: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()
    bands: bool = False
    files: bool = False
    drop: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    also: Mapping[str, Collection[str]] = field(default_factory=dict)

    def dropped(self, run: StoredRun, columns: Iterable[str]) -> list[str]:
        """Those of a history's columns that stay behind; never the epoch and the accuracies, without which it is none."""
        own = f"{next(iter(run.studies))}:" if len(run.studies) == 1 else None
        patterns = [one for one in self.drop if ":" not in one]
        patterns += [one.removeprefix(own) for one in self.drop if own and one.startswith(own)]
        return [name for name in columns if name not in KEPT and any(fnmatchcase(name, one) for one in patterns)]

    def takes(self, run: StoredRun, path: str) -> bool:
        """Whether a file of a run goes in."""
        if NEVER.fullmatch(path) or not layout.is_plain(path):
            return False
        if run.kind != TRAIN:
            return bool(PARENTS.fullmatch(path))
        if path in self.also.get(run.run_id, ()):
            return True
        if BANDS.fullmatch(path):
            return self.bands
        return path in (HISTORY, DERIVED, DERIVED_RANKS) or self.files or any(fnmatchcase(path, one) for one in self.named)


def chosen(store: Store, wanted: Wanted) -> list[StoredRun]:
    """The runs that go in, by their start.

    Raises:
        StoreError: if a run that is named is not there. BundleError: if it is of another kind or under way, or there are none.
    """
    if wanted.run_ids:
        found = [store.get(run_id) for run_id in wanted.run_ids]
    else:
        found = [run for kind in KINDS for run in store.find({KIND: kind})]
    if wanted.studies and not wanted.run_ids:
        found = [run for run in found if _serves(run, wanted.studies)]
    strange = next((run for run in found if run.kind not in KINDS), None)
    if strange is not None:
        raise layout.BundleError(
            f"runs must be of kind {', '.join(KINDS)}, got {strange.run_id} ({strange.kind or None}). Leave it out."
        )
    going = next((run for run in found if wanted.run_ids and run.state == RUNNING), None)
    if going is not None:
        raise layout.BundleError(f"runs must have ended, got {going.run_id} ({RUNNING}). Wait for it, or leave it out.")
    if not any(run.kind == TRAIN for run in found):
        of = f" of {', '.join(wanted.studies)}" if wanted.studies else ""
        raise layout.BundleError(f"store must hold training runs{of}, got none in {store.shown}. Train them first.")
    return sorted({run.run_id: run for run in found}.values(), key=lambda run: (run.start_time, run.run_id))


def _serves(run: StoredRun, studies: Sequence[str]) -> bool:
    """Whether a run is of one of these studies, or is of another and counts there, as the report has it."""
    names = [stored_name(study) for study in studies]
    if run.kind != TRAIN:
        return run.get(STUDY_NAME) in names or run.get("sensitivity_study") in names
    return any(name in run.studies for name in names) or any(run.config_hash in conditions(study) for study in studies)


def pack(
    store: Store,
    wanted: Wanted,
    out: Path,
    derived: Mapping[str, Mapping[str, pd.DataFrame]] | None = None,
    progress: Callable[[Sequence[StoredRun]], Iterable[StoredRun]] = iter,
) -> dict[str, Any]:
    """Write a bundle; the same store gives the same bytes.

    Args:
        store: of the runs. wanted: which, and what of them. out: a new folder, or one that holds a bundle alone.
        derived: by run id and path, tables that go in for bands that do not: `DERIVED` and `DERIVED_RANKS`.
        progress: shows how far it is: gives the runs that it is given, one by one.

    Returns:
        What `manifest.json` says, `bytes`, and by run id `failed`: why a run is not in it, `broken`: which table of one
        that is in it is not whole and goes as it is, and `uncounted`: why no report counts a finished one that is in it.

    Raises:
        StoreError: if no training run could be read.
    """
    runs = chosen(store, wanted)
    names = {e.experiment_id: e.name for e in store.client.search_experiments()}
    with layout.building(out) as folder:
        packing = _Packing(folder)
        for run in progress(runs):
            try:
                packing.add(store, run, record(run, names[run.experiment_id]), wanted, (derived or {}).get(run.run_id, {}))
            except StoreError as error:  # of this run: its files cannot be read
                packing.forget(run.run_id, one_line(error))
        if TRAIN not in packing.kinds:
            why = next(iter(packing.failed.values()), "")
            raise StoreError(f"a training run must be readable to be exported, got none ({why}). Restore their files.")
        facts = packing.finish(wanted)
        layout.write_json(folder / layout.CRATE, crate(facts, layout.entries(folder)))
        layout.write_manifest(folder, facts)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        there = (run for run in runs if run.kind == TRAIN and run.done and run.run_id not in packing.failed)
        odd = {run.run_id: why for run in there if (why := _uncounted(run))}
        return facts | {"bytes": size, "failed": packing.failed, "broken": packing.broken, "uncounted": odd}


class _Packing:
    """A bundle while it is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.records: list[Record] = []
        self.tables: dict[str, dict[str, pa.Table]] = {}
        self.types: dict[tuple[str, str], pa.DataType] = {}
        self.kinds: list[str] = []
        self.studies: set[str] = set()
        self.failed: dict[str, str] = {}
        self.broken: dict[str, str] = {}

    def add(self, store: Store, run: StoredRun, one: Record, wanted: Wanted, derived: Mapping[str, pd.DataFrame]) -> None:
        """Take a run and its files."""
        tracked = TrackedRun(store.client, run, artifact_uri=run.artifact_uri)
        there = tracked.walk()
        left = [path for path in there if not wanted.takes(run, path) and not NEVER.fullmatch(path)]
        row: dict[str, Any] = {"tables": {}, "files": [], "left_out": sorted({*left, *run.files_left_out})}
        with tempfile.TemporaryDirectory() as scratch:
            for path in (path for path in there if wanted.takes(run, path)):
                local = tracked.get_file(path, Path(scratch))
                table = self._table(run, path, local) if path.endswith(TABLE) and run.kind == TRAIN else None
                if table is not None and path == HISTORY:
                    table = table.drop_columns(wanted.dropped(run, table.column_names))
                if table is not None:
                    self._take(row, run.run_id, path, table)
                else:
                    shutil.copyfile(local, self._target(run, path))
                    row["files"].append(path)
        without = {BAND, FACTORS} & set(row["left_out"])
        for path, frame in derived.items() if without else ():
            if path not in row["tables"]:
                table = tables.plain(frame)
                if table is not None:
                    self._take(row, run.run_id, path, table)
                else:  # without a row: it goes as a file of its own
                    target = self._target(run, path)
                    save_table(target, frame)
                    row["files"].append(path)
        self.rows.append(_row(one) | row)
        self.kinds.append(run.kind)
        self.studies |= set(run.studies)
        self.records.append(one)

    def _target(self, run: StoredRun, path: str) -> Path:
        target = self.folder / layout.FILES / run.run_id / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def forget(self, run_id: str, why: str) -> None:
        """Leave out a run of which something was taken before the rest could not be read."""
        self.failed[run_id] = why
        shutil.rmtree(self.folder / layout.FILES / run_id, ignore_errors=True)
        for found in self.tables.values():
            found.pop(run_id, None)
        self.tables = {path: found for path, found in self.tables.items() if found}

    def _table(self, run: StoredRun, path: str, local: Path) -> pa.Table | None:
        """A table that goes with those of other runs; None if it is broken, or of other types than theirs."""
        try:
            table = tables.plain(load_table(local))
        except (OSError, BrokenFileError) as error:
            self.broken[run.run_id] = f"{path} is not whole and goes as it is ({brief(error, 120)})"
            return None
        if table is None or any(self.types.get((path, f.name), f.type) != f.type for f in table.schema):
            return None
        return table

    def _take(self, row: dict[str, Any], run_id: str, path: str, table: pa.Table) -> None:
        self.types |= {(path, field.name): field.type for field in table.schema}
        self.tables.setdefault(path, {})[run_id] = table
        row["tables"][path] = list(table.column_names)

    def finish(self, wanted: Wanted) -> dict[str, Any]:
        """Write what was taken; the facts of the manifest."""
        for path, found in sorted(self.tables.items()):
            tables.write(self.folder / layout.TABLES / path, found)
        columns = sorted({tuple(names) for row in self.rows for names in row["tables"].values()})
        for row in self.rows:
            row["tables"] = {path: columns.index(tuple(names)) for path, names in row["tables"].items()}
        layout.write_json(self.folder / layout.RUNS, {"columns": columns, "runs": self.rows})
        _write_metrics(self.folder / layout.METRICS, self.records)
        return {
            "dropped": list(wanted.drop),
            "runs": {kind: self.kinds.count(kind) for kind in KINDS},
            "studies": sorted(self.studies),
            "rows": {path: sum(map(len, found.values())) for path, found in sorted(self.tables.items())},
            "bands": _share(self.rows, BAND),
            "newest": max(one.end_time or one.start_time for one in self.records),
        }


def _uncounted(run: StoredRun) -> str:
    """Why no report counts a finished run, by what says which config it has; empty where one does."""
    return run.edited if run.config_hash else f"it has no tag {tag(CONFIG_HASH)}"


def _share(rows: Iterable[Mapping[str, Any]], path: str) -> str:
    """Of how many runs a file is in the bundle: all, some or none of those that have it."""
    has, lacks = sum(path in row["files"] for row in rows), sum(path in row["left_out"] for row in rows)
    return "none" if not has else "some" if lacks else "all"


def _row(one: Record) -> dict[str, Any]:
    names = ("run_id", "name", "experiment", "status", "start_time", "end_time", "params", "tags", "datasets")
    return {name: getattr(one, name) for name in names}


def _write_metrics(path: Path, records: Sequence[Record]) -> None:
    """The newest point of each metric of each run."""
    points: list[tuple[str, Point]] = [(one.run_id, point) for one in records for point in one.metrics]
    columns = {
        tables.RUN: pa.array([run_id for run_id, _ in points]).dictionary_encode(),
        "key": pa.array([point.key for _, point in points]).dictionary_encode(),
        "value": pa.array([point.value for _, point in points], pa.float64()),
        "step": pa.array([point.step for _, point in points], pa.int64()),
        "timestamp": pa.array([point.timestamp for _, point in points], pa.int64()),
    }
    pq.write_table(pa.table(columns), path, compression="zstd", compression_level=tables.LEVEL, store_schema=False)

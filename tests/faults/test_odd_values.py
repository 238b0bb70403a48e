"""Values of a store that are no texts and no numbers, as any tool may put there: read as if they were not there."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from analysis.reading.evidence import Evidence
from analysis.reading.runs import training_runs
from grok.runs import train
from grok.store import glance, moved, sqlite, tags
from grok.store.store import Store, open_store
from grok.store.tags import StoredRun
from grok.store.transplant import record

pytestmark = pytest.mark.faults
ODD: dict[str, object] = {"NULL": None, "bytes": b"\xff1", "number": 7}
OURS = sorted(
    {tags.tag(name) for name in vars(tags).values() if isinstance(name, str) and name.replace("_", "").isalpha()}
    | {tags.tag(start + "s") for start in (tags.STUDY, tags.STOP, tags.RESOLVED, tags.PROGRESS)}
    | {tags.NOTE, tags.RUN_NAME, tags.PARENT, tags.PROJECT_ENTRY}
)


def execute(store: Store, query: str, *given: object) -> None:
    with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
        database.execute(query, given)
        database.commit()


def told(run: StoredRun) -> Iterator[object]:
    """Everything that a stored run says of itself."""
    for name, one in vars(StoredRun).items():
        if isinstance(one, property) and name not in ("config", "info", "data", "inputs", "outputs"):
            yield getattr(run, name)
    yield run.stop_asked("s")


@pytest.fixture(scope="module")
def kept(template_store: Path, tmp_path_factory: pytest.TempPathFactory, tiny: Any) -> Iterator[tuple[Store, str]]:
    """A store with one run, which counts."""
    path = tmp_path_factory.mktemp("odd") / "mlflow.db"
    shutil.copy(template_store, path)
    moved.rebase(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
        opened = open_store()
        (made,) = train.train_tracked([tiny()], opened, tags={"study.headline": "grok"})
        yield opened, str(made.run_id)


@pytest.fixture
def store(kept: tuple[Store, str]) -> Iterator[Store]:
    """The same for each test: its database is put back afterwards."""
    opened, _ = kept
    with closing(sqlite3.connect(":memory:")) as before, closing(sqlite3.connect(sqlite.path_of(opened.uri))) as database:
        database.backup(before)
        yield opened
        before.backup(database)


@pytest.fixture
def trained(kept: tuple[Store, str]) -> str:
    return kept[1]


@pytest.mark.parametrize("kind", ODD)
def test_a_tag_that_is_no_text_is_as_if_not_there(store: Store, trained: str, kind: str) -> None:
    put = "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES (?, ?, ?)"
    needed = [tags.tag(name) for name in (tags.KIND, tags.STATE, tags.CONFIG_HASH, tags.PROTOCOL)]
    assert set(needed) < set(OURS)
    for name in sorted(OURS, key=lambda name: name in needed):
        if name == needed[0]:
            continue  # without it the run is another tool's
        if name in needed:
            evidence = Evidence(store)
            counted, left_out = evidence.runs("headline"), set(evidence.left_out["run_id"])
            assert (len(counted), left_out) == ((1, set()) if name == min(needed) else (0, {trained}))
        execute(store, put, name, ODD[kind], trained)
        (run,) = store.find({})
        assert run.tags == store.get(trained).tags, name
        assert run.tags.get(name) == ("7" if kind == "number" else None), name
        list(told(run))
    assert set(Evidence(store).left_out["run_id"]) <= {trained}  # told, or passed over: no traceback
    execute(store, put, tags.tag(tags.KIND), ODD[kind], trained)
    assert store.find({tags.KIND: "train"}) == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("UPDATE params SET value = x'ff31' WHERE key = 'width'", "its params are not those"),
        ("UPDATE params SET value = CAST(x'ff31' AS TEXT) WHERE key = 'width'", "another schema"),
        ("UPDATE OR REPLACE tags SET value = CAST(x'ff31' AS TEXT) WHERE key = 'grok.threads'", ""),
        ("UPDATE tags SET key = x'ff31' WHERE key = 'grok.threads'", ""),
        ("UPDATE params SET key = x'ff31' WHERE key = 'width'", "its params are not those"),
        ("UPDATE latest_metrics SET value = 'many' WHERE key = 'fire_epoch'", ""),
        ("UPDATE latest_metrics SET value = x'ff31' WHERE key = 'fire_epoch'", ""),
        ("UPDATE latest_metrics SET key = x'ff31' WHERE key = 'fire_epoch'", ""),
        ("UPDATE runs SET name = x'ff31'", ""),
        ("UPDATE runs SET name = NULL", ""),
        ("UPDATE runs SET status = NULL", ""),
        ("UPDATE runs SET start_time = 'noon', end_time = x'ff'", ""),
    ],
)
def test_what_else_of_a_run_may_be_no_text_and_no_number(store: Store, trained: str, query: str, why: str) -> None:
    execute(store, query)
    found = training_runs(store)
    assert [run.run_id for run in found] == [trained]
    assert glance.find(sqlite.path_of(store.uri), {}, store.client.get_run) is not None  # and not by MLflow's search
    list(told(found[0]))
    assert isinstance(found[0].name, str)
    assert all(isinstance(number, float) for number in found[0].metrics.values())
    evidence = Evidence(store)
    reasons = list(evidence.left_out["reason"])
    assert [reason[: len(why)] for reason in reasons] == [why] * bool(why)
    assert len(evidence.runs("headline")) == (not why)


@pytest.mark.parametrize("value", ["many", b"\xff1"])
def test_a_point_that_is_no_number_does_not_travel(store: Store, trained: str, value: object) -> None:
    execute(store, "UPDATE latest_metrics SET value = ? WHERE key = 'fire_epoch'", value)
    execute(store, "UPDATE runs SET end_time = 'noon'")
    kept = record(store.find({})[0], "grok")
    assert "fired" in {point.key for point in kept.metrics}
    assert "fire_epoch" not in {point.key for point in kept.metrics}
    assert kept.end_time is None


def test_a_run_whose_id_is_no_text_is_none(store: Store, trained: str) -> None:
    columns = "name, status, start_time, lifecycle_stage, artifact_uri, experiment_id"
    execute(store, f"INSERT INTO runs (run_uuid, {columns}) SELECT x'ff31', {columns} FROM runs")
    execute(store, "INSERT INTO tags (key, value, run_uuid) VALUES ('grok.kind', 'train', x'ff31')")
    assert [run.run_id for run in store.find({"kind": "train"})] == [trained]


def test_an_experiment_whose_place_is_no_text_is_no_store_that_moved(store: Store) -> None:
    execute(store, "UPDATE experiments SET artifact_location = x'ff31' WHERE name = 'tests'")
    assert moved.rebase(sqlite.path_of(store.uri)) == ([], 0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("nan", 0.0), ("inf", 0.0), ("-1", 0.0), ("1e999", 0.0), ("x", 0.0), ("2.5", 2.5)]
)
def test_seconds_that_are_none_count_as_none(text: str, seconds: float) -> None:
    assert StoredRun("r", "", "", 0, {"grok.wall_s": text}, {}, {}, None).wall_s == seconds

"""A store that somebody else has written, by an input: a database with a run of ours, and the run's files.

    tags|grok.threads|b:\\xff      a tag; so `params` and `latest_metrics`
    runs|artifact_uri|n:          a column of the run; so `experiments`, `logged_models`, `model_versions`
    run|NAME                      another run, which later lines are about
    fit                           its hash is made that of its params
    file|delta_w/band.npz         a file in place of the run's, to the next such line

A value is a text unless it begins with `n:` (NULL), `i:`, `f:` or `b:`; `untyped` makes the tables without types, which keep
each value as it is.
"""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grok.spec.artifacts import BAND, FACTORS, HISTORY, WEIGHTS
from grok.spec.config import PROTOCOL_VERSION, ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError
from grok.store import files
from grok.store.errors import StoreError
from grok.store.store import Store
from grok.store.tags import CONFIG_HASH, KIND, PROTOCOL, STATE, TRAIN, tag
from tests.fuzz import recipes
from tests.fuzz.base import RUN_ID, scratch

TINY = RunConfig(modulus=7, width=8, epochs=12, max_window=8, window=5, slope_lag=3, first_epoch=5, top_pairs=5).resolved()
RAW = replace(TINY, spectrum_methods=("gram", "gram32", "svd"))
EXPERIMENT = 1
SCHEMA: dict[str, dict[str, str]] = {
    "experiments": {
        "experiment_id": "INTEGER",
        "name": "VARCHAR(256)",
        "artifact_location": "VARCHAR(256)",
        "lifecycle_stage": "VARCHAR(32)",
    },
    "runs": {
        "run_uuid": "VARCHAR(32)",
        "name": "VARCHAR(250)",
        "status": "VARCHAR(9)",
        "start_time": "BIGINT",
        "end_time": "BIGINT",
        "artifact_uri": "VARCHAR(200)",
        "experiment_id": "INTEGER",
        "lifecycle_stage": "VARCHAR(20)",
        "user_id": "VARCHAR(256)",
    },
    "tags": {"key": "VARCHAR(250)", "value": "VARCHAR(8000)", "run_uuid": "VARCHAR(32)"},
    "params": {"key": "VARCHAR(250)", "value": "VARCHAR(8000)", "run_uuid": "VARCHAR(32)"},
    "latest_metrics": {"key": "VARCHAR(250)", "value": "FLOAT", "is_nan": "BOOLEAN", "run_uuid": "VARCHAR(32)"},
    "logged_models": {"model_id": "VARCHAR(36)", "artifact_location": "VARCHAR(1000)"},
    "model_versions": {"name": "VARCHAR(256)", "source": "VARCHAR(500)", "storage_location": "VARCHAR(500)"},
}
"""Of MLflow's tables, the columns that we read without it; without their rules, which an editor can take away."""
PAIRS = ("tags", "params", "latest_metrics")
MOST_ID = 1000
"""Bytes of the id of a run, which stands in some dozens of rows."""
LOST = (OverflowError, UnicodeError, sqlite3.Error, ValueError)
"""What SQLite says of a value that no database can have."""


@dataclass(frozen=True)
class World:
    """A store on disk.

    Attributes:
        database: its file. folder: of the run's artifacts. store: the store, whose MLflow has nothing to say.
    """

    database: Path
    folder: Path
    store: Store


class _Mute:
    """A client that finds nothing: what is not read from the database is not read."""

    def __getattr__(self, name: str) -> Any:
        def nothing(*args: Any, **kwargs: Any) -> Any:
            raise StoreError(f"{name} must find it, got nothing. Ask again.")

        return nothing


def made(content: bytes) -> World:
    """The store that an input describes; lines that describe nothing are passed over."""
    root = scratch() / "store"
    folder = root / "mlruns" / str(EXPERIMENT) / RUN_ID / "artifacts"
    head, *rest = content.split(b"\nfile|")
    _place_files(folder, dict(one.partition(b"\n")[::2] for one in rest))
    database = root / "mlflow.db"
    database.write_bytes(_database(head, root))
    client: Any = _Mute()
    return World(database, folder, Store(client, f"sqlite:///{database}", str(EXPERIMENT)))


def _database(content: bytes, root: Path) -> bytes:
    lines = [line.split(b"|", 2) for line in content.split(b"\n")]
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.executescript(_tables(typed=[b"untyped"] not in lines))
        place = (root / "mlruns" / str(EXPERIMENT)).as_uri()
        _insert(database, "experiments", (EXPERIMENT, "grok", place, "active"))
        run: Any = RUN_ID
        _add_run(database, run, place)
        for words in lines:
            with contextlib.suppress(*LOST):
                run = _edited(database, [word.replace(b"{here}", str(root).encode()) for word in words], run, place)
        return bytes(database.serialize())


def _edited(database: sqlite3.Connection, words: list[bytes], run: Any, place: str) -> Any:
    """The database after a line; the run that the next is about."""
    table = words[0].decode("ascii", "replace")
    if table == "run" and len(words) > 1:
        run = _value(words[1][:MOST_ID])
        _add_run(database, run, place)
    elif table == "fit":
        _fit(database, run)
    elif table in PAIRS and len(words) == 3:
        database.execute(f"DELETE FROM {table} WHERE key = ? AND run_uuid = ?", (_value(words[1]), run))
        more = (0,) if table == "latest_metrics" else ()
        _insert(database, table, (_value(words[1]), _value(words[2]), *more, run))
    elif table in SCHEMA and len(words) == 3 and (column := words[1].decode("ascii", "replace")) in SCHEMA[table]:
        if table in ("logged_models", "model_versions"):
            database.execute(f"INSERT INTO {table} ({column}) VALUES (?)", (_value(words[2]),))
        else:
            where = ("run_uuid", run) if table == "runs" else ("1", 1)
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {where[0]} = ?", (_value(words[2]), where[1]))
            return _value(words[2]) if column == "run_uuid" else run
    return run


def _tables(typed: bool) -> str:
    columns = {
        table: ", ".join(f"{name} {kind if typed else ''}" for name, kind in known.items()) for table, known in SCHEMA.items()
    }
    return "".join(f"CREATE TABLE {table} ({told});" for table, told in columns.items())


def _insert(database: sqlite3.Connection, table: str, values: tuple[Any, ...]) -> None:
    texts = ", ".join("CAST(? AS TEXT)" if isinstance(value, _Text) else "?" for value in values)
    database.execute(f"INSERT INTO {table} VALUES ({texts})", values)


class _Text(bytes):
    """A text that need not be UTF-8."""


def _value(word: bytes) -> Any:
    kind, rest = word[:2], word[2:]
    if kind == b"n:":
        return None
    if kind in (b"i:", b"f:"):
        return (int if kind == b"i:" else float)(rest)
    if kind == b"b:":
        return rest
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        return _Text(word)


def _add_run(database: sqlite3.Connection, run: Any, place: str) -> None:
    folder = f"{place}/{RUN_ID}/artifacts"
    _insert(database, "runs", (run, "one", "FINISHED", 1, 2, folder, EXPERIMENT, "active", "me"))
    tags = {KIND: TRAIN, CONFIG_HASH: RAW.hash, STATE: "complete", PROTOCOL: PROTOCOL_VERSION, "study.quick": "grok"}
    for name, value in tags.items():
        _insert(database, "tags", (tag(name), value, run))
    for name, value in RAW.to_strings().items():
        _insert(database, "params", (name, value, run))
    _insert(database, "latest_metrics", ("accuracy/test", 0.25, 0, run))


def _fit(database: sqlite3.Connection, run: Any) -> None:
    """The hash of a run's params among its tags: it is no secret."""
    params = dict(database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,)))
    with contextlib.suppress(ConfigError, AttributeError, TypeError):
        found = ResolvedConfig.from_strings(params).hash
        database.execute("UPDATE tags SET value = ? WHERE key = ? AND run_uuid = ?", (found, tag(CONFIG_HASH), run))


def _place_files(folder: Path, given: Mapping[bytes, bytes]) -> None:
    """The files of the run: what an input gives in place of a good one; those of the input before are put back."""
    there = good_files()
    asked = {name.decode("ascii", "replace"): content for name, content in given.items()}
    if not folder.is_dir():
        _replaced.update(dict.fromkeys(there))
    for name in [*_replaced]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(there[name], folder / name)
    _replaced.clear()
    for name in asked.keys() & there.keys():
        content = asked[name]
        (folder / name).write_bytes(recipes.unfolded(content) if content.startswith(b"@") else content)
        _replaced[name] = None


_replaced: dict[str, None] = {}


@functools.cache
def good_files() -> dict[str, Path]:
    """The files of a run of `RAW` that came to its end, by name."""
    folder = scratch() / "good"
    contents = {
        HISTORY: recipes.table(b"rows 13\nepoch epoch\naccuracy/train real\naccuracy/test real"),
        BAND: recipes.arrays(b"w 12,8 <f8 band\nv 12,8 <f8 band"),
        FACTORS: factors(),
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    weights = [WEIGHTS.format(epoch) for epoch in RAW.checkpoint_epochs]
    for name in weights:
        (folder / name).parent.mkdir(exist_ok=True)
        files.save(folder / name, {"w": torch.ones(14, 8), "v": torch.ones(8, 7)}, {"epoch": 4})
    return {name: folder / name for name in (*contents, *weights)}


def factors() -> bytes:
    """Those of a run of `RAW`."""
    packed = io.BytesIO()
    one = np.full((RAW.epochs + 1, RAW.window, RAW.window), np.nan)
    one[2:] = np.eye(RAW.window) * 3.0
    np.savez_compressed(packed, qr_w=one, qr_v=one, gram32_w=one.astype(np.float32), gram32_v=one.astype(np.float32))
    return packed.getvalue()


@contextlib.contextmanager
def environment(world: World, variables: Any) -> Iterator[None]:
    """The variables by which a command finds a store, for the time of a look."""
    before = dict(variables)
    for name in [name for name in variables if name.startswith("MLFLOW_")]:
        del variables[name]
    variables["MLFLOW_TRACKING_URI"] = world.store.uri
    try:
        yield
    finally:
        variables.clear()
        variables.update(before)

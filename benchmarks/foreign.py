"""A store that is shared with other tools: `python -m benchmarks.foreign --source STORE --store NEW --runs 10000`.

A copy of a store is asked the commands that a person repeats; then it gets runs of other tools, of many shapes, in its own
experiments and in theirs, and is asked again: seconds and peak memory, without and with. Every command must say the same.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.many import DATABASE, asked, make

ASKED = ("train", "study --study quick", "analyze --study quick --out report")
EXPERIMENTS = ("theirs", "neptune/import <b>", "a'b\"c", "…", "grok-like", "x" * 250, "[link](http://x)", "-", "0x7")
"""Names of the experiments of other tools."""
PLACES = (
    "file:///home/ann/work/mlruns/7",
    "s3://bucket/with space",
    "dbfs:/databricks/mlflow/7",
    "",
    "mlflow-artifacts:/7",
    "file:///etc",
    "/nowhere/mlruns/0",
    "http://[::1",
    "file:///tmp/../etc",
)
"""Where these keep their files: on other machines, in places that cannot be read, nowhere."""
NAMES = (
    "<script>alert(1)</script>",
    "[x](javascript:1)",
    "a\nb",
    "\u202e\U0001f600",
    "",
    None,
    "'; drop table runs; --",
    "n" * 250,
)
STATUSES = ("RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED")
CHANGING = re.compile(r"run=\S+ |(?:seconds|tables|bytes)=\S+")
"""Of a result line, what differs each time."""


def shapes(number: int, ours: tuple[str, dict[str, str], dict[str, str]]) -> dict[str, Any]:
    """Tags, params and metrics of a run of another tool; the number says of which shape.

    Args:
        number: of the run. ours: id, tags and params of a run of this project, which some look like.
    """
    run_id, tags, params = ours
    mark = random.Random(number)
    kinds: tuple[dict[str, Any], ...] = (
        {},
        {
            "tags": {"mlflow.source.name": "train.py", "mlflow.user": "ann", "mlflow.autologging": "sklearn"},
            "params": {"C": "1.0"},
        },
        {"params": params, "metrics": {"fired": 1.0, "fire_epoch": 3.0, "accuracy/test": 1.0}},  # no tag says whose it is
        {"tags": {"mlflow.parentRunId": run_id}, "params": {"fold": str(number)}},
        {"tags": {"mlflow.parentRunId": "0" * 32, "mlflow.runName": "no parent"}},
        {"tags": {"notes": "x" * 8000, "mlflow.note.content": "<img src=x onerror=1>" * 300, "grok.model": "another grok"}},
        {"tags": {name: text for name, text in tags.items() if name != "grok.kind"}, "params": params},  # ours but for its kind
        {"tags": {"grok.kind.": "train", "grok": "kind", "grok.config_hash": tags["grok.config_hash"], "`; --": "%"}},
        {"metrics": {"loss": math.nan, "accuracy/test": math.inf, "m" * 250: -1e308}},
        {"tags": {f"sys/tag/{i}": str(i) for i in range(40)}, "params": {f"p/{i}": "v" * 500 for i in range(20)}},
    )
    made = {"tags": {}, "params": {}, "metrics": {}} | kinds[number % len(kinds)]
    made["name"], made["status"] = mark.choice(NAMES), mark.choice(STATUSES)
    made["start"] = mark.choice((0, None, 1, 2**62, 1_700_000_000_000 + number))
    return made


def fill(path: Path, count: int) -> None:
    """Write runs of other tools into a database of MLflow's, in its experiments and in some of theirs, all at once.

    Args:
        path: of the database, which must have a run of this project. count: of the runs.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN")
        query = "SELECT run_uuid FROM tags WHERE key = 'grok.kind' AND value = 'train' ORDER BY run_uuid LIMIT 1"
        (run_id,) = database.execute(query).fetchone()
        texts = [
            dict(database.execute(f"SELECT key, value FROM {one} WHERE run_uuid = ?", (run_id,))) for one in ("tags", "params")
        ]
        homes = [one for (one,) in database.execute("SELECT experiment_id FROM experiments ORDER BY 1")][:2]
        homes += list(_experiments(database))
        for number in range(count):
            _write(database, f"{number:032x}", homes[number % len(homes)], shapes(number, (run_id, *texts)))
        database.execute("COMMIT")


def _experiments(database: sqlite3.Connection) -> Iterator[int]:
    (last,) = database.execute("SELECT max(experiment_id) FROM experiments").fetchone()
    for number, (name, place) in enumerate(zip(EXPERIMENTS, PLACES, strict=True), start=last + 1):
        row = (number, name, place, "active", 0, 0)
        columns = "experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time"
        database.execute(f"INSERT INTO experiments ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)
        yield number


def _write(database: sqlite3.Connection, run_id: str, experiment: int, made: dict[str, Any]) -> None:
    (place,) = database.execute("SELECT artifact_location FROM experiments WHERE experiment_id = ?", (experiment,)).fetchone()
    row = (run_id, made["name"], made["status"], made["start"], "active", f"{place}/{run_id}/artifacts"[:200], experiment)
    columns = "run_uuid, name, status, start_time, lifecycle_stage, artifact_uri, experiment_id"
    database.execute(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    for table in ("tags", "params"):
        rows = [(key, value, run_id) for key, value in made[table].items()]
        database.executemany(f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)", rows)
    for key, value in made["metrics"].items():
        point = (key, 0.0 if math.isnan(value) else min(value, 1.7e308), 0, run_id, 0, math.isnan(value))
        for table in ("metrics", "latest_metrics"):
            columns = "key, value, timestamp, run_uuid, step, is_nan"
            database.execute(f"INSERT INTO {table} ({columns}) VALUES (?, ?, ?, ?, ?, ?)", point)


def main() -> int:
    """Copy, ask, fill, ask; exit status 1 if a command failed or said something else."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.foreign", description=__doc__)
    parser.add_argument("--source", type=Path, help="folder of a store that is there and only read; without, four short runs")
    parser.add_argument("--store", type=Path, required=True, help="new folder for its copy")
    parser.add_argument("--runs", type=int, default=10_000, help="of other tools")
    parser.add_argument("--times", type=int, default=3, help="that each command is given; the fastest counts")
    parser.add_argument("--command", action="append", help=f"an entry point with its flags; default: {'; '.join(ASKED)}")
    record.json_flag(parser)
    flags = parser.parse_args()
    about, rows = record.environment(record.spelt("benchmarks.foreign")), list[dict[str, Any]]()
    make(flags.source, flags.store, 0)
    for count in (0, flags.runs):
        if count:
            fill(flags.store / DATABASE, count)
        for words in flags.command or ASKED:
            tries = [asked(flags.store, words) for _ in range(flags.times + 1)][1:]  # the first may write what the others find
            rows.append(min(tries, key=lambda row: float(row["wall_s"])) | {"foreign": count})
            print(" ".join(f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}" for n, v in rows[-1].items()), flush=True)
    said = {count: [CHANGING.sub("", row["line"]) for row in rows if row["foreign"] == count] for count in (0, flags.runs)}
    if flags.json:
        record.write(flags.json, about, rows)
    same = said[0] == said[flags.runs]
    print(f"foreign={flags.runs} same={'yes' if same else 'no'}")
    return int(not same or any(row["status"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

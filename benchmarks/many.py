"""A store of thousands of runs, and what it costs to ask it: `python -m benchmarks.many make`, `python -m benchmarks.many ask`.

`make` copies the finished training runs of a store, row by row, until a new store has so many: each copy is of another seed
and so has an identity of its own; its files are hard links to those of the first. `--source` names the folder of a store that
is there (it is only read, through SQLite's backup); without it four short runs are trained. `ask` gives, in `--parts`:

`size`: the bytes of a run in the database. `commands`: the commands that a person repeats to that store, each in a process of
its own: wall and processor seconds, peak memory; by default `train`, the study `headline`, a study of 60 cells and `analyze`,
of which a study that is not complete there is left out, as asking for it would train. `ui`: the list of runs of the fullest
experiment by MLflow's server, which is started for it on 127.0.0.1. `run`: what one new default run puts into a store of its
own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import many_parts, record
from benchmarks.jobs import command
from benchmarks.load import train

DATABASE, FILES = "mlflow.db", "mlruns"
SEEDS_APART = 1000
"""Between the seed of a run and that of its copy: no study has so many."""
BY_RUN = ("params", "latest_metrics", "metrics")
"""Tables with a row per run and name, copied as they are."""
STUDY, CELLS = "headline", 60
"""The study that is asked for, and the size of another one."""
REPORT = "analyze --out report"
PARTS = ("size", "commands", "ui", "run")


def make(source: Path | None, folder: Path, count: int) -> None:
    """A store of `count` finished training runs in a new folder.

    Args:
        source: folder of a store; None to train four short runs. folder: new. count: of its finished training runs.
    """
    folder.mkdir(parents=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / DATABASE}"
    if source is None:
        os.environ["MLFLOW_EXPERIMENT_NAME"] = "many"
        failed = [seed for seed in range(4) if train(seed)]
        if failed:
            raise RuntimeError(f"runs must train, got failures of seeds {failed}.")
    else:
        read_only = f"{(source / DATABASE).absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(read_only, uri=True)) as old, sqlite3.connect(folder / DATABASE) as new:
            old.backup(new)
        new.close()
        shutil.copytree(source / FILES, folder / FILES, copy_function=os.link)
        subprocess.run([sys.executable, "-m", "entry_points.rebase"], check=True, stdout=subprocess.DEVNULL)
    with contextlib.closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as database:
        database.execute("BEGIN")
        for run_id, name, text in copies(folder, count):
            copy(database, run_id, name, text)
        database.execute("COMMIT")


def copies(folder: Path, count: int) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """The run to copy, the params and the tags that the copy has of its own, until there are `count` runs."""
    from grok.store.glance import find

    runs = [run for run in find(folder / DATABASE, {"kind": "train"}, str) or () if run.done]
    for number in range(count - len(runs)):
        run, turn = runs[number % len(runs)], number // len(runs) + 1
        config = replace(run.config, seed=run.config.seed + SEEDS_APART * turn)
        yield run.run_id, {"seed": str(config.seed)}, {"grok.config_hash": config.hash}


def copy(database: sqlite3.Connection, run_id: str, params: dict[str, str], tags: dict[str, str]) -> None:
    """Copy a run's rows under a new id, and link its files."""
    new = uuid.uuid4().hex
    row = dict(
        zip(_columns(database, "runs"), *database.execute("SELECT * FROM runs WHERE run_uuid = ?", (run_id,)), strict=True)
    )
    old_place = Path(row["artifact_uri"].removeprefix("file://")).parent
    row |= {"run_uuid": new, "artifact_uri": row["artifact_uri"].replace(run_id, new)}
    _insert(database, "runs", row)
    for table in (*BY_RUN, "tags"):
        names = _columns(database, table)
        picked = ", ".join("?" if name == "run_uuid" else name for name in names)
        database.execute(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {picked} FROM {table} WHERE run_uuid = ?", (new, run_id)
        )
    for table, own in (("params", params), ("tags", tags)):
        for key, value in own.items():
            database.execute(f"UPDATE {table} SET value = ? WHERE run_uuid = ? AND key = ?", (value, new, key))
    names = _columns(database, "inputs")
    for found in database.execute("SELECT * FROM inputs WHERE destination_id = ?", (run_id,)).fetchall():
        edge = dict(zip(names, found, strict=True))
        tagged = database.execute("SELECT name, value FROM input_tags WHERE input_uuid = ?", (edge["input_uuid"],)).fetchall()
        edge |= {"input_uuid": uuid.uuid4().hex, "destination_id": new}
        _insert(database, "inputs", edge)
        for name, value in tagged:
            _insert(database, "input_tags", {"input_uuid": edge["input_uuid"], "name": name, "value": value})
    if old_place.is_dir():
        shutil.copytree(old_place, old_place.with_name(new), copy_function=os.link)


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


def sizes(folder: Path) -> dict[str, Any]:
    """Runs of a store and the bytes of its database that each takes, by table with its indices where SQLite tells."""
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as database:
        (runs,) = database.execute("SELECT count(*) FROM runs").fetchone()
        (points,) = database.execute("SELECT count(*) FROM metrics").fetchone()
        rows = database.execute(
            "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1 ORDER BY 2 DESC"
        )
        by_table = {f"{name}_table": size / runs for name, size in rows.fetchmany(6)}
    whole = (folder / DATABASE).stat().st_size
    return {"part": "size", "runs": runs, "bytes_per_run": whole / runs, "points_per_run": points / runs} | by_table


def fullest(folder: Path) -> str:
    """The experiment that has most runs."""
    query = (
        "SELECT e.name FROM experiments e JOIN runs r ON r.experiment_id = e.experiment_id GROUP BY 1 ORDER BY count(*) DESC"
    )
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as database:
        return str(database.execute(query).fetchone()[0])


def asked(folder: Path, words: str) -> dict[str, Any]:
    """One command to the store: seconds and peak memory."""
    environment = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder.absolute() / DATABASE}",
        "MLFLOW_EXPERIMENT_NAME": fullest(folder),
    }
    name, *rest = shlex.split(words)
    return {"part": words, "cells": _cells(rest)} | command(["-m", f"entry_points.{name}", *rest], environment)


def _cells(words: list[str]) -> int | None:
    from grok.spec.studies import load_study

    return len(load_study(words[words.index("--study") + 1]).cells) if "--study" in words[:-1] else None


def usual(folder: Path) -> tuple[list[str], list[str]]:
    """The commands that a store is asked by default, and what is left out of them, a sentence each."""
    from grok.spec.config import PROTOCOL_VERSION, RunConfig
    from grok.spec.studies import load_study, registry
    from grok.store.glance import find

    runs = find(folder / DATABASE, {"kind": "train", "protocol": PROTOCOL_VERSION}, str) or ()
    done = {run.get("config_hash") for run in runs if run.done}

    def whole(name: str) -> bool:
        return all(cell.config.hash in done for cell in load_study(name).cells)

    out, missing = [], []
    if RunConfig().resolved().hash in done:
        out.append("train")
    else:
        missing.append("train: no run of the default config is done")
    sized = [name for name, study in registry().items() if len(study.cells) == CELLS]
    for what, names in ((STUDY, [STUDY]), (f"of {CELLS} cells", sized)):
        there = [name for name in names if whole(name)]
        if there:
            out.append(f"study --study {there[0]}")
        else:
            missing.append(f"study {what}: not complete in this store")
    return [*out, REPORT], missing


def main(arguments: list[str]) -> int:
    """Make a store or ask one; exit status 1 if a command failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description=__doc__)
    parser.add_argument("what", choices=("make", "ask"))
    parser.add_argument("--store", type=Path, required=True, help="folder of the store: new for `make`")
    parser.add_argument("--source", type=Path, help="folder of the store to copy; without it short runs are trained")
    parser.add_argument("--runs", type=int, default=3000, help="finished training runs of the store")
    parser.add_argument("--command", action="append", help="to ask, such as 'analyze --out report'; may be repeated")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma list of {', '.join(PARTS)}; all by default")
    parser.add_argument("--train", default="", metavar="WORDS", help="more flags of the run of part `run`, to try the command")
    record.json_flag(parser)
    flags = parser.parse_args(arguments)
    parts = flags.parts.split(",")
    if unknown := [name for name in parts if name not in PARTS]:
        parser.error(f"parts must be of {', '.join(PARTS)}, got {', '.join(unknown)}. Pick from these.")
    if (flags.store / DATABASE).is_file() == (flags.what == "make"):
        parser.error(f"store must be {'new' if flags.what == 'make' else 'there'}, got {flags.store}. Name another folder.")
    about = record.environment(record.spelt("benchmarks.many"))
    rows = []
    if flags.what == "make":
        make(flags.source, flags.store, flags.runs)
        rows.append(told(sizes(flags.store)))
    else:
        rows.extend(told(row) for row in ask(flags.store, parts, flags.command, flags.train))
    if flags.json:
        record.write(flags.json, about, rows)
    return int(any(row.get("status", 0) for row in rows))


def ask(folder: Path, parts: list[str], commands: list[str] | None, words: str) -> Iterator[dict[str, Any]]:
    """A row for each thing that a store is asked.

    Args:
        folder: of the store. parts: of `PARTS`. commands: None for the usual ones. words: more flags of the new run.
    """
    if "size" in parts:
        yield sizes(folder)
    if "commands" in parts:
        chosen, missing = (commands, []) if commands else usual(folder)
        for line in missing:
            print(f"left out: {line}", file=sys.stderr)
        yield from (asked(folder, one) for one in chosen)
    if "ui" in parts:
        yield from many_parts.run_list(folder.absolute() / DATABASE, fullest(folder))
    if "run" in parts:
        yield many_parts.one_run(words, sizes)


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row on a line, and give it back."""
    print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()), flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

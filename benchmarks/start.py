"""From a command to its first trained epoch, `train` asked again, and imports: `python -m benchmarks.start [--store FOLDER]`.

The default run is started by `python -m entry_points.train` in a fresh process, in which the moment is taken at which the
first step of its network has been made; it is ended there. So it is from the start of Python to the end of a step, with the
store's opening, the run's creation and the first evaluation in it; beside it stands when torch, mlflow and the loop's own
module were imported (`torch_s`, `mlflow_s`, `loop_imported_s`) and when the network and its data had been made (`made_s`).
Once into a new store, whose tables are made first thing, once into one that is there: a copy of the database of `--store`, or
a new one with one short run. Asked again: the command of a run that is done. A first round, which brings files into the disk's
cache, is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.jobs import PROJECT, command

Row = dict[str, Any]
DATABASE = "mlflow.db"
SEED = 990_000
"""Of the first of the runs that are started here: no store has them."""
WATCHED = {"torch": "torch_s", "mlflow": "mlflow_s", "grok.training.loop": "loop_imported_s"}
FIRST_STEP = """
import importlib.machinery, json, os, runpy, sys, time
told = {}
now = lambda: time.monotonic() - BEGAN
class Finder:
    def find_spec(self, name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name in WATCHED else None
        if spec is not None:
            run = spec.loader.exec_module
            def exec_module(module):
                run(module)
                told[WATCHED[name]] = now()
                if name == "grok.training.loop":
                    watch(module.Training)
            spec.loader.exec_module = exec_module
        return spec
def watch(training):
    make, step = training.__init__, training._step
    def made(self, *given, **named):
        make(self, *given, **named)
        told["made_s"] = now()
    def first(self):
        step(self)
        used = os.times()
        told.update(wall_s=now(), cpu_s=used.user + used.system + used.children_user + used.children_system)
        print("first " + json.dumps(told), flush=True)
        sys.stdin.readline()
        os._exit(0)
    training.__init__, training._step = made, first
sys.meta_path.insert(0, Finder())
runpy.run_module("entry_points.train", run_name="__main__", alter_sys=True)
"""
IMPORTS = {
    "import torch": ("", "import torch"),
    "import mlflow": ("", "import mlflow"),
    "import grok beside torch": ("import torch", "import grok"),
    "SpectralMonitor beside torch": ("import torch", "from grok import SpectralMonitor"),
}
"""What is imported before the clock starts, and what is timed."""
TIMED = """
import time
{before}
wall, cpu = time.perf_counter(), time.process_time()
{timed}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def first_epoch(uri: str, seed: int, words: list[str]) -> Row:
    """Seconds until the first step of a new run in this store has been made; its process is ended then.

    Raises:
        RuntimeError: if it comes to no step.
    """
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": uri}
    with tempfile.TemporaryDirectory() as where, tempfile.TemporaryFile("w+") as errors:
        program = f"WATCHED, BEGAN = {WATCHED!r}, {time.monotonic()}\n{FIRST_STEP}"  # a clock that all processes share
        child = subprocess.Popen(
            [sys.executable, "-c", program, "--seed", str(seed), *words],
            cwd=where,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            for line in child.stdout or ():
                if line.startswith("first "):
                    found: Row = json.loads(line.removeprefix("first "))
                    return found
        finally:
            child.kill()
            child.communicate()
        errors.seek(0)
        last = (errors.read().strip().splitlines() or ["nothing on standard error"])[-1]
    raise RuntimeError(f"train must come to its first step, got {last}")


def imported(before: str, timed: str) -> Row:
    """Seconds of an import within its process, and of the whole process."""
    told = command(["-c", TIMED.format(before=before, timed=timed)], {})
    wall, cpu = map(float, told["line"].split())
    return {"wall_s": wall, "cpu_s": cpu, "process_wall_s": told["wall_s"], "process_cpu_s": told["cpu_s"]}


def runs_in(database: Path) -> int:
    """How many runs there are."""
    with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
        return int(opened.execute("SELECT count(*) FROM runs").fetchone()[0])


@contextlib.contextmanager
def existing(folder: Path | None) -> Iterator[tuple[Path, list[str]]]:
    """The database of a store that is written to, a copy, and the command of a run that is done there.

    Args:
        folder: of the store to copy; None for a new one.

    Raises:
        RuntimeError: if the run is not trained.
    """
    from benchmarks.load import SHORT

    words = [word for name, value in SHORT.items() for word in (f"--{name}", str(value))]
    again = ["-m", "entry_points.train", *words, "--device", "cpu", "--seed", "0"]
    with tempfile.TemporaryDirectory() as place:
        database = Path(place) / DATABASE
        there = {"MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
        if folder is not None:
            source = f"{(folder / DATABASE).absolute().as_uri()}?mode=ro"
            with (
                contextlib.closing(sqlite3.connect(source, uri=True)) as old,
                contextlib.closing(sqlite3.connect(database)) as new,
            ):
                old.backup(new)
            _done(command(["-m", "entry_points.rebase"], there), "store=")  # so that files of new runs go beside the copy
        _done(command(again, there), "state=complete")
        yield database, again


def _done(told: Row, words: str) -> None:
    """Refuse to go on after a command that failed, or whose last line lacks these words."""
    if told["status"] or words not in told["line"]:
        raise RuntimeError(f"command must end with {words}, got status {told['status']}: {told['line']}")


def measure(folder: Path | None, rounds: int, words: list[str]) -> list[Row]:
    """A row for each part and round.

    Args:
        folder: of the store that is there, None for a new one with one run. rounds: that count. words: more flags of `train`.
    """
    rows: list[Row] = []
    with existing(folder) as (database, again):
        runs = runs_in(database)
        there = f"sqlite:///{database}"
        for turn in range(rounds + 1):
            with tempfile.TemporaryDirectory() as place:
                new = f"sqlite:///{Path(place) / DATABASE}"
                found: list[Row] = [{"part": "first epoch, new store", "runs": 0} | first_epoch(new, SEED + turn, words)]
            found.append({"part": "first epoch", "runs": runs} | first_epoch(there, SEED + turn, words))
            told = command(again, {"MLFLOW_TRACKING_URI": there})
            _done(told, "reused=yes")
            found.append({"part": "train asked again", "runs": runs} | told)
            found += [{"part": name} | imported(*timed) for name, timed in IMPORTS.items()]
            rows += [{"round": turn} | row for row in found if turn]
    return rows


def report(rows: list[Row]) -> Iterator[str]:
    """A line a part: medians with their range."""
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        words = []
        for name in ("wall_s", "cpu_s", *WATCHED.values(), "made_s"):
            values = [row[name] for row in mine if name in row]
            if values:
                words.append(f"{name} {statistics.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]")
        runs = f" ({mine[0]['runs']} runs there)" if mine[0].get("runs") else ""
        yield f"{part}{runs}: {', '.join(words)}"


def main(arguments: list[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--store", type=Path, help="folder of a store that is there; it is only read")
    parser.add_argument("--rounds", type=int, default=5, help="that count; one before them does not. Default 5.")
    parser.add_argument("--train", default="", metavar="WORDS", help='more flags of train, such as "--threads 1"')
    record.json_flag(parser)
    flags = parser.parse_args(arguments)
    if flags.rounds < 1:
        parser.error(f"rounds must be a whole number ≥ 1, got {flags.rounds}. Take 5.")
    if flags.store is not None and not (flags.store / DATABASE).is_file():
        parser.error(f"store must be a folder with {DATABASE}, got {flags.store}. Name another, or leave it out.")
    about = record.environment(record.spelt("benchmarks.start"))
    rows = measure(flags.store, flags.rounds, flags.train.split())
    for line in report(rows):
        print(line)
    if flags.json:
        record.write(flags.json, about, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

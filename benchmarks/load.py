"""Many writers on one store, and short runs for hours: `python -m benchmarks.load writers`, `python -m benchmarks.load soak`.

`writers`: processes that train and log short runs into one store at once; is every run complete, has it each metric at each
step of its table once, how many runs a second, and how long does a command take to find its run among them all. `soak`: one
process trains short runs one after the other; its memory against the runs is a line whose slope is the leak, told with its 95 %
interval; the first quarter, in which caches fill, is left out. The store is a new SQLite file, or that of `--uri`: a server's,
as docs/shared-server.md has it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from benchmarks import record
from grok.store.sqlite import path_of

if TYPE_CHECKING:
    from grok.store.store import Store

SHORT = {"modulus": 7, "width": 16, "epochs": 60, "window": 6, "max-window": 12, "slope-lag": 3, "first-epoch": 8}
SHORT |= {"top-pairs": 20, "threads": 1, "save-every": 20, "observe-every": 20}
"""The run that is trained over and over, of another seed each time."""
WARM = 0.25
"""Of a soak's runs, that are left out of the slope."""
COUNTED = ("metrics_by_epoch", "steps_twice", "steps_missing", "steps_beyond")
"""What is counted of the points of runs; all but the first must be 0."""
SERIES = "memory_by_run_mib"
"""Of a soak, what the line is drawn through, after each run."""


def train(seed: int) -> int:
    """One short tracked run in this process; the exit status."""
    from entry_points.train import main as command

    words = [word for name, value in SHORT.items() for word in (f"--{name}", str(value))]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return command([*words, "--device", "cpu", "--seed", str(seed)])


@contextlib.contextmanager
def store(uri: str) -> Iterator[str]:
    """The store of a URI, or a new SQLite file that goes afterwards; the environment names it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = uri or f"sqlite:///{folder}/mlflow.db"
        os.environ["MLFLOW_EXPERIMENT_NAME"] = "load"
        yield os.environ["MLFLOW_TRACKING_URI"]


def writers(count: int, runs: int, first: int) -> list[dict[str, Any]]:
    """`count` processes of `runs` runs each at once, and what is in the store then."""
    from grok.store.store import open_store

    opened = open_store()  # one process makes the tables
    began = time.perf_counter()
    words = [sys.executable, "-m", "benchmarks.load", "one", "--runs", str(runs)]
    children = [subprocess.Popen([*words, "--first-seed", str(first + n * runs)]) for n in range(count)]
    statuses = [child.wait() for child in children]
    seconds = time.perf_counter() - began
    wanted = {str(first + n) for n in range(count * runs)}
    found = [run for run in opened.find({"kind": "train"}) if run.params.get("seed") in wanted]
    complete = [run for run in found if run.state == "complete" and run.status == "FINISHED"]
    steps = held(opened, [run.run_id for run in complete])
    began = time.perf_counter()
    status = train(first)  # which is there: reused
    reuse_s = time.perf_counter() - began
    return [
        {
            "writers": count,
            "runs_each": runs,
            "failed_writers": sum(status != 0 for status in statuses),
            "runs": len(found),
            "complete": len(complete),
            **steps,
            "runs_per_s": len(found) / seconds,
            "runs_in_store": len(opened.find({"kind": "train"})),
            "reuse_s": reuse_s,
            "reuse_status": status,
        }
    ]


def held(opened: Store, run_ids: Sequence[str]) -> dict[str, int]:
    """Points by epoch of runs in a store, held against the table of each run, which is written by itself.

    The runs are short, so that every finite value of the table is a point.

    Returns:
        metrics_by_epoch: how many the runs have together. steps_twice: points at a step that has one already.
        steps_missing: values of the tables without a point. steps_beyond: steps of points that no table has.
    """
    from grok.runs.load import load_run

    points, out = counted(opened, run_ids), dict.fromkeys(COUNTED, 0)
    for run_id in run_ids:
        table = load_run(run_id, store=opened).history.drop(columns="epoch").notna().sum()
        for key, wanted in table[table > 0].items():
            logged, steps = points.get((run_id, str(key)), (0, 0))
            for name, more in zip(COUNTED, (1, logged - steps, max(0, wanted - steps), max(0, steps - wanted)), strict=True):
                out[name] += int(more)
    return out


def counted(opened: Store, run_ids: Sequence[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """Points and steps of each run and metric: by one query of a local database, else by the client, metric by metric."""
    if opened.is_local:
        query = "SELECT run_uuid, key, COUNT(*), COUNT(DISTINCT step) FROM metrics GROUP BY run_uuid, key"
        with contextlib.closing(sqlite3.connect(path_of(opened.uri))) as base:
            return {(run_id, key): (points, steps) for run_id, key, points, steps in base.execute(query)}
    out = {}
    for run_id in run_ids:
        for key in opened.client.get_run(run_id).data.metrics:
            steps = [point.step for point in opened.client.get_metric_history(run_id, key)]
            out[run_id, key] = len(steps), len(set(steps))
    return out


def soak(minutes: float, first: int) -> list[dict[str, Any]]:
    """Short runs for so long; memory of the process and open files after each."""
    process, rows = psutil.Process(), list[tuple[int, float, int]]()
    began, failed = time.monotonic(), 0
    while time.monotonic() - began < minutes * 60 or len(rows) < 4:
        failed += train(first + len(rows)) != 0
        gc.collect()
        rows.append((len(rows) + 1, process.memory_info().rss / 2**20, process.num_fds()))
    runs, memory, files = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    kept = slice(int(WARM * len(rows)), None)
    slope, half = line(runs[kept], memory[kept])
    return [
        {
            "minutes": (time.monotonic() - began) / 60,
            "runs": len(rows),
            "failed": failed,
            "memory_mib": [float(memory[0]), float(memory[kept][0]), float(memory[-1])],
            "leak_kib_per_run": slope * 1024,
            "leak_kib_per_run_95": [(slope - half) * 1024, (slope + half) * 1024],
            "open_files": [int(files[0]), int(files[-1])],
            SERIES: [round(value, 2) for value in memory.tolist()],
        }
    ]


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of a least-squares line and half its 95 % interval, where neighbouring values depend on each other.

        m = n (1 − r) / (1 + r),  s² = Σe² / (n − 2),  half = t(0.975; m − 2) s √(n / m) / √Σ(x − x̄)²

    m is how many independent values n dependent ones are worth, no fewer than 3; r is the autocorrelation of the residuals e at
    lag 1, no less than 0.

    Source: Santer et al., J. Geophys. Res. 105 (2000) 7337, who have m − 2 in s² in place of the root. It is one or the other:
    both together widen twice. Of made-up series with r of 0 to 0.9 it holds the slope in 93 to 96 of 100, where each has 400
    values, and in 88 to 95 where each has 100.
    """
    from scipy import stats

    fit = stats.linregress(x, y)
    rest = y - fit.intercept - fit.slope * x
    square = float(rest @ rest)
    r = max(0.0, float(rest[1:] @ rest[:-1]) / square) if square > 0 else 0.0
    independent = max(3.0, len(x) * (1 - r) / (1 + r))
    error = np.sqrt(square / (len(x) - 2) / np.sum((x - x.mean()) ** 2) * len(x) / independent)
    return float(fit.slope), float(stats.t.ppf(0.975, independent - 2) * error)


def main(arguments: list[str]) -> int:
    """Measure and print; exit status 1 if a run failed, is missing, or has a step of a metric twice or not at all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("what", choices=("writers", "soak", "one"))
    parser.add_argument("--uri", default="", help="of a store that is there; default: a new SQLite file")
    parser.add_argument("--writers", type=int, default=8, help="processes at once")
    parser.add_argument("--runs", type=int, default=25, help="of each writer; 375 give 3,000 of 8")
    parser.add_argument("--minutes", type=float, default=120.0, help="of a soak")
    parser.add_argument("--first-seed", type=int, default=0, help="of the runs")
    record.json_flag(parser)
    flags = parser.parse_args(arguments)
    if flags.what == "one":
        return max(train(flags.first_seed + n) for n in range(flags.runs))
    about = record.environment(record.spelt("benchmarks.load"))
    with store(flags.uri):
        if flags.what == "soak":
            rows = soak(flags.minutes, flags.first_seed)
            good = rows[0]["failed"] == 0
        else:
            rows = writers(flags.writers, flags.runs, flags.first_seed)
            wanted = flags.writers * flags.runs
            good = rows[0] | {"runs": wanted, "complete": wanted, **dict.fromkeys(COUNTED[1:], 0)} == rows[0]
            good = good and rows[0]["failed_writers"] == rows[0]["reuse_status"] == 0
    for name, value in rows[0].items():
        if name != SERIES:
            print(f"{name}: {value}")
    if flags.json:
        record.write(Path(flags.json), about, rows)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

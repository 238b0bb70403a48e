"""Many writers on one store, and short runs for hours: `python -m benchmarks.load writers`, `python -m benchmarks.load soak`.

`writers`: processes that train and log short runs into one store at once; is every run complete, has it each step once, how
many runs a second, and how long does a command take to find its run among them all. `soak`: one process trains short runs one
after the other; its memory against the runs is a line whose slope is the leak, told with its 95 % interval; the first quarter,
in which caches fill, is left out. The store is a new SQLite file, or that of `--uri`: a server's, as docs/shared-server.md has
it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import record

SHORT = {"modulus": 7, "width": 16, "epochs": 60, "window": 6, "max-window": 12, "slope-lag": 3, "first-epoch": 8}
SHORT |= {"top-pairs": 20, "threads": 1, "save-every": 20, "observe-every": 20}
"""The run that is trained over and over, of another seed each time."""
WARM = 0.25
"""Of a soak's runs, that are left out of the slope."""


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
    twice, missing = 0, 0
    for run in found:
        steps = [point.step for point in opened.client.get_metric_history(run.run_id, "loss/train")]
        twice += len(steps) - len(set(steps))
        missing += int(SHORT["epochs"]) + 1 - len(set(steps))
    began = time.perf_counter()
    status = train(first)  # which is there: reused
    return [
        {
            "writers": count,
            "runs_each": runs,
            "failed_writers": sum(status != 0 for status in statuses),
            "runs": len(found),
            "complete": sum(run.state == "complete" and run.status == "FINISHED" for run in found),
            "steps_twice": twice,
            "steps_missing": missing,
            "runs_per_s": len(found) / seconds,
            "runs_in_store": len(opened.find({"kind": "train"})),
            "reuse_s": time.perf_counter() - began,
            "reuse_status": status,
        }
    ]


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
        }
    ]


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of a least-squares line and half its 95 % interval.

    Neighbouring values of memory depend on each other, so the interval is one for as many values as there are independent ones:
    n (1 − r) / (1 + r) with r the autocorrelation of the residuals at lag 1, no fewer than 3.
    """
    from scipy import stats

    fit = stats.linregress(x, y)
    rest = y - fit.intercept - fit.slope * x
    square = float(rest @ rest)
    r = max(0.0, float(rest[1:] @ rest[:-1]) / square) if square > 0 else 0.0
    independent = max(3.0, len(x) * (1 - r) / (1 + r))
    spread = float(np.sqrt(square / (independent - 2) / np.sum((x - x.mean()) ** 2)))
    return float(fit.slope), float(stats.t.ppf(0.975, independent - 2) * spread * np.sqrt(len(x) / independent))


def main(arguments: list[str]) -> int:
    """Measure and print; exit status 1 if a run failed, is missing, or has a step twice."""
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
            good = rows[0] | {"runs": wanted, "complete": wanted, "steps_twice": 0, "steps_missing": 0} == rows[0]
            good = good and rows[0]["failed_writers"] == rows[0]["reuse_status"] == 0
    for name, value in rows[0].items():
        print(f"{name}: {value}")
    if flags.json:
        record.write(Path(flags.json), about, rows)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

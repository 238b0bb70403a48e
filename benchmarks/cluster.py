"""What fan-out and a server bear: `python -m benchmarks.cluster dask`, `python -m benchmarks.cluster server --uri URI`.

`dask`: a study of tiny runs on 1, 2, 4 and 8 Dask workers on loopback, into a new SQLite store, against the same runs one after
the other in this process without a study. Workers have had runs before. Runs an hour, and the processor time of a run, in this
process and in the workers, so that what waits and what works can be told apart. What a fan-out costs a run: the processor time
beyond that of a run without one, and the seconds beyond it of the workers that have a core each, in which waiting for the
database is counted. A run that trains fifty times as long has either below 2 %.
`server`: processes that write batches of metrics as a run does, at once, into a store that is there; batches and values a
second, and the slowest batch. The server is one as docs/shared-server.md has it; its runs are in an experiment of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import record
from grok.runs import study
from grok.runs.fanout import Fanout
from grok.runs.train import train_tracked
from grok.spec.config import RunConfig
from grok.spec.studies import Cell, Study
from grok.store.store import Store, open_store

TINY: dict[str, Any] = {
    "modulus": 7,
    "width": 16,
    "epochs": 60,
    "window": 6,
    "max_window": 12,
    "slope_lag": 3,
    "first_epoch": 8,
    "top_pairs": 20,
    "threads": 1,
    "save_every": 60,
    "observe_every": 20,
    "checkpoint_epochs": (60,),
    "device": "cpu",
}
"""The run that is trained over and over, of another seed each time."""
WORKERS = (1, 2, 4, 8)
WRITERS = (1, 2, 4, 8)
SHARE = 0.02
"""Of a run's time, below which what the fan-out costs is little."""
BATCH = 1000
"""Metric values in a request: the most that MLflow takes in one, and what a run logs."""
EXPERIMENT = "benchmarks-cluster"


def dask(runs: int, counts: Sequence[int] = WORKERS) -> Iterator[dict[str, Any]]:
    """A row for the single runs, and one for each number of workers, each on a store of its own."""
    import distributed

    alone, cpu_alone = timed(runs, None)
    row: dict[str, Any] = {"part": "dask", "workers": 0, "runs": runs, "seconds_a_run": alone, "runs_an_hour": 3600 / alone}
    yield row | {"cpu_s_a_run": cpu_alone}
    for workers in counts:
        with distributed.LocalCluster(workers, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1") as site:
            each, cpu = timed(runs, Fanout("dask", scheduler=site.scheduler_address), workers)
        beside = each * min(workers, os.cpu_count() or 1) - alone
        row = {"part": "dask", "workers": workers, "runs": runs, "seconds_a_run": each, "runs_an_hour": 3600 / each}
        row |= {"cpu_s_a_run": cpu, "cpu_beside_s": cpu - cpu_alone, "beside_s": beside}
        yield row | {"run_of_2_percent_s": max(beside, cpu - cpu_alone) / SHARE}


def processor_s() -> float:
    """Processor time of this process and of all that it has begun and that are there."""
    found = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found += times.user + times.system
    return found


def timed(runs: int, fanout: Fanout | None, workers: int = 1) -> tuple[float, float]:
    """Seconds a run, and processor seconds: as a study on a fan-out, or one after the other in this process without one; into a
    new store.

    Args:
        runs: how many. fanout: where, None for this process. workers: that it has; each has had some runs before.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        store = open_store()
        trained(store, fanout, "warm", range(runs, runs + 2 * workers))
        cpu, began = processor_s(), time.perf_counter()
        trained(store, fanout, "cluster", range(runs))
        return (time.perf_counter() - began) / runs, (processor_s() - cpu) / runs


def trained(store: Store, fanout: Fanout | None, name: str, seeds: Iterable[int]) -> None:
    """Tiny runs of these seeds, as a study if there is a fan-out.

    Raises:
        RuntimeError: if a run is not complete.
    """
    cells = tuple(Cell("grok", RunConfig(**TINY, seed=seed).resolved()) for seed in seeds)
    if fanout is None:
        for cell in cells:
            train_tracked([cell.config], store)
        return
    named = Study(name, "What does a worker cost beside its run?", "ours", cells)
    parent = study.open_parent(store, named, force=False)
    results = study.run_study(named, store, fanout, parent=parent, seeds_at_once=1)
    if not all(result.done for result in results):
        raise RuntimeError(f"every run must be complete, got {[result.error or result.state for result in results]}.")


def written(uri: str, seconds: float, place: int, begin: Any) -> list[float]:
    """Seconds of each batch that one process writes into a run of its own, in so many seconds."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    run = client.create_run(experiment.experiment_id, run_name=f"writer {place}")
    begin.wait()
    took, until = list[float](), time.perf_counter() + seconds
    while time.perf_counter() < until:
        now = int(time.time() * 1000)
        values = [Metric(f"metric/{n % 25}", float(n), now, len(took) * BATCH + n) for n in range(BATCH)]
        began = time.perf_counter()
        client.log_batch(run.info.run_id, metrics=values)
        took.append(time.perf_counter() - began)
    client.set_terminated(run.info.run_id)
    return took


def server(uri: str, seconds: float, counts: Sequence[int] = WRITERS) -> Iterator[dict[str, Any]]:
    """A row for each number of processes that write at once."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    if client.get_experiment_by_name(EXPERIMENT) is None:
        client.create_experiment(EXPERIMENT)
    context = multiprocessing.get_context("spawn")
    for count in counts:
        with context.Manager() as manager, context.Pool(count) as pool:
            begin = manager.Barrier(count)
            asked = [(uri, seconds, place, begin) for place in range(count)]
            took = np.array([one for part in pool.starmap(written, asked, chunksize=1) for one in part])
        row = {"part": "server", "writers": count, "batch": BATCH, "batches": len(took), "batches_per_s": len(took) / seconds}
        row |= {"values_per_s": BATCH * len(took) / seconds, "median_ms": 1000 * float(np.median(took))}
        yield row | {"slowest_ms": 1000 * float(took.max())}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("what", choices=("dask", "server"))
    parser.add_argument("--runs", type=int, default=48, help="of the study")
    parser.add_argument("--uri", default="", help="of the server")
    parser.add_argument("--seconds", type=float, default=20.0, help="of writing, for each number of writers")
    parser.add_argument("--counts", default="1,2,4,8", help="comma list: workers, or writers at once. Default 1,2,4,8.")
    record.json_flag(parser)
    flags = parser.parse_args(arguments)
    if (flags.what == "server") != bool(flags.uri):
        parser.error(
            f"uri must be given with server and only then, got {flags.uri or 'none'}. Write server --uri http://HOST:5000."
        )
    about = record.environment(record.spelt("benchmarks.cluster"))
    counts = [int(text) for text in flags.counts.split(",")]
    rows = []
    for row in dask(flags.runs, counts) if flags.what == "dask" else server(flags.uri, flags.seconds, counts):
        rows.append(row)
        told = (f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in row.items())
        print(" ".join(told), flush=True)
    if flags.json:
        record.write(flags.json, about, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

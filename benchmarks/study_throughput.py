"""Runs an hour of a study with 1 and 2 local workers against single runs: `python -m benchmarks.study_throughput [--epochs N]`.

One sitting, each part on a throw-away store of its own: single runs one after the other in this process with one thread,
then the same cells as a study with each number of workers. Ratio 1 is a worker that costs nothing beside its run; with w
workers on as many free cores the ratio can reach w. A worker's start, some seconds, is a part of a study's time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from analysis.figures import run_figures
from benchmarks import record
from grok.runs import study as study_runs
from grok.runs.fanout import Fanout
from grok.runs.train import train_tracked
from grok.spec.config import RunConfig
from grok.spec.studies import Cell, Study
from grok.store.store import Store, open_store


def fresh_store(folder: str) -> Store:
    """A new store in a folder."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path(folder) / 'mlflow.db'}"
    return open_store()


def single(cells: tuple[Cell, ...]) -> float:
    """Seconds a run, one after the other, without a study around them."""
    with tempfile.TemporaryDirectory() as folder:
        store = fresh_store(folder)
        start = time.perf_counter()
        for cell in cells:
            train_tracked([cell.config], store, figures=run_figures)
        return (time.perf_counter() - start) / len(cells)


def study(cells: tuple[Cell, ...], workers: int, seeds_at_once: int) -> float:
    """Seconds a run of the cells as a study."""
    with tempfile.TemporaryDirectory() as folder:
        store = fresh_store(folder)
        named = Study("throughput", "How many runs an hour?", "ours", cells)
        start = time.perf_counter()
        parent = study_runs.open_parent(store, named, force=False)
        results = study_runs.run_study(
            named, store, Fanout(workers=workers), parent=parent, seeds_at_once=seeds_at_once, figures=run_figures
        )
        if not all(result.done for result in results):
            raise RuntimeError(f"every run must be complete, got {[result.error or result.state for result in results]}.")
        return (time.perf_counter() - start) / len(cells)


def main() -> None:
    """Print a line for the single runs and one for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=None, help="shorter runs, to try the command")
    parser.add_argument("--runs", type=int, default=4, help="cells of the study, seeds 0, 1, …")
    parser.add_argument("--activation", default="square")
    parser.add_argument("--workers", default="1,2", help="comma list")
    parser.add_argument("--seeds-at-once", type=int, default=1)
    record.json_flag(parser)
    flags = parser.parse_args()
    about = record.environment(record.spelt("benchmarks.study_throughput"))
    cells = tuple(
        Cell("grok", RunConfig(activation=flags.activation, epochs=flags.epochs, threads=1, seed=seed).resolved())
        for seed in range(flags.runs)
    )
    alone = single(cells)
    print(f"single: seconds_a_run={alone:.1f} runs_an_hour={3600 / alone:.0f}", flush=True)
    rows = [{"workers": 0, "seconds_a_run": alone, "runs_an_hour": 3600 / alone, "ratio": 1.0}]
    for workers in map(int, flags.workers.split(",")):
        each = study(cells, workers, flags.seeds_at_once)
        print(
            f"workers={workers}: seconds_a_run={each:.1f} runs_an_hour={3600 / each:.0f} ratio={alone / each:.2f}", flush=True
        )
        rows.append({"workers": workers, "seconds_a_run": each, "runs_an_hour": 3600 / each, "ratio": alone / each})
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main()

"""Time the sensitivity study: `python -m benchmarks.sensitivity [--store FOLDER] [--part first] [--study headline] [--trials
300]`.

Reads the finished runs of the store that `--store` or MLFLOW_TRACKING_URI names. Prints, a line each, in `--part`:

`first`: the first use of the command: the runs read, and all rolling spectra that it asks for, which it keeps from then on;
here in a folder that is thrown away. `again`: the same with what the first has kept. In processes of their own.
`spectra`: rolling spectra of one run for one window. `settings`: settings a second once the spectra are there.
`trials`: trials a second of a search for each of `--trials`, `--samplers` and `--workers`, the shares of detectors, Optuna's
sampler and its storage, the best J on calibration seeds, and more workers against one. For these parts spectra are kept beside
the store, as the command itself keeps them; the trials go to a temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from analysis.sensitivity import loading as runs
from analysis.sensitivity import neighbourhood, planning, search, study
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.settings import SensitivityConfig
from benchmarks import record
from benchmarks.jobs import command
from grok.numerics.spectra import rolling_eigenvalues
from grok.store.store import open_store

WINDOWS = (5, 10, 20, 30, 40, 64)
SETTINGS = 2048


Row = dict[str, Any]
PARTS = ("first", "again", "spectra", "settings", "trials")


class Enough(Exception):
    """The spectra are there, and what follows is not timed."""


def read_all(study_name: str, folder: Path) -> Row:
    """The runs of a store read and all spectra of the command made, or found in a folder: seconds of this process.

    The command's own course is taken, and left when it has done with spectra.
    """
    start, cpu = time.perf_counter(), time.process_time()
    config = SensitivityConfig(study=study_name)
    cells = runs.load(open_store(), config, folder / "gaps")
    tasks = planning.plan(cells, config, folder)
    loaded = time.perf_counter() - start

    def report(what: str, done: int, of: int) -> None:
        if what != "spectra":
            raise Enough

    with contextlib.suppress(Enough):
        study.run(cells, config, tasks, report=report)
    groups = {id(cell): cell for cell in (*cells.cells.values(), *cells.raw.values())}
    row = {"runs": sum(len(cell.table) for cell in groups.values()), "loaded_s": loaded}
    return row | {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}


def uses(study_name: str, parts: list[str]) -> Iterator[Row]:
    """The first use, and another; each in a fresh process."""
    program = "import json, sys\nfrom pathlib import Path\nfrom benchmarks.sensitivity import read_all\n"
    program += "print(json.dumps(read_all(sys.argv[1], Path(sys.argv[2]))))"
    with tempfile.TemporaryDirectory() as folder:
        for part in ("first", "again") if "again" in parts else ("first",):
            told = command(["-c", program, study_name, folder], {})
            if told["status"]:
                raise RuntimeError(f"a study must be read, got status {told['status']} of {study_name}. Is it in the store?")
            process = {"process_wall_s": told["wall_s"], "process_cpu_s": told["cpu_s"], "peak_mb": told["peak_mb"]}
            yield {"part": part, "study": study_name} | json.loads(told["line"]) | process


def spectra(cells: Cells) -> Iterator[Row]:
    """Milliseconds for one run and one window, the best of three."""
    for activation in cells.activations:
        cell = cells.cells[activation, "grok"]
        band = cell.bands[0]["w"]
        for window in (w for w in WINDOWS if w <= band.shape[1]):
            seconds = []
            for _ in range(3):
                start = time.perf_counter()
                rolling_eigenvalues(band, window, 4)
                seconds.append(time.perf_counter() - start)
            yield {"part": "spectra", "activation": activation, "epochs": len(band), "window": window, "ms": 1e3 * min(seconds)}


def settings(cells: Cells, config: SensitivityConfig) -> Iterator[Row]:
    """Settings a second on all grokking and η = 0 runs, windows repeating."""
    judges = [Judge(cells, activation, cells.controls(activation)[:1], config) for activation in cells.activations]
    count = sum(len(cells.cells[a, c].table) for a in cells.activations for c in ("grok", *cells.controls(a)[:1]))
    tried = neighbourhood.designed(neighbourhood.space(cells.largest_window()), "slope", SETTINGS, 0)
    for setting in tried:
        for judge in judges:
            judge.fires(setting)  # spectra first
    start = time.perf_counter()
    for setting in tried:
        for judge in judges:
            judge.fires(setting)
    yield {"part": "settings", "runs": count, "per_s": len(tried) / (time.perf_counter() - start)}


def searches(cells: Cells, config: SensitivityConfig, folder: Path, samplers: list[str], workers: list[int]) -> Iterator[Row]:
    """Trials a second, and what they are spent on; beside one worker's, how many times as fast more of them are."""
    for sampler in samplers:
        alone = 0.0
        for count in workers:
            asked = replace(config, workers=count, sampler=sampler, name=f"{sampler}-{count}-{config.n_trials}")
            (task,) = planning.plan(cells, asked, folder)
            cells.prepare(planning.spectra_needed(cells, asked, [task]))
            cpu = time.process_time()
            found = search.search(task, cells)
            cpu, times = time.process_time() - cpu, found.times
            parts = times.detectors + times.sampler + times.storage
            alone = times.wall if count == 1 else alone
            row = {
                "part": "trials",
                "sampler": sampler,
                "workers": count,
                "n": times.trials,
                "per_s": times.trials / times.wall,
                "wall_s": times.wall,
                "detectors_share": times.detectors / parts,
                "sampler_share": times.sampler / parts,
                "storage_share": times.storage / parts,
                "best": max(trial.values[0] for trial in found.trials),
            }
            row |= {"cpu_s": cpu} if count == 1 else {}  # the workers' own is in their processes
            yield row | ({"times_one_worker": alone / times.wall} if count > 1 and alone else {})


def main(arguments: list[str]) -> int:
    """Print each measurement on a line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sensitivity", description=__doc__)
    parser.add_argument("--store", type=Path, metavar="FOLDER", help="of a store that is there; else MLFLOW_TRACKING_URI's")
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated; default spectra, settings and trials")
    parser.add_argument("--study", default="headline", help="a study with finished runs")
    parser.add_argument("--trials", default="300", help="of each search; comma list. Default 300.")
    parser.add_argument("--samplers", default="random,tpe", help="comma list. Default random,tpe.")
    parser.add_argument("--workers", default="1,2", help="of each search; comma list, 1 first to compare. Default 1,2.")
    parser.add_argument("--window", default="5..30", help="windows of the searches; fewer make the spectra before them cheaper")
    record.json_flag(parser)
    flags = parser.parse_args(arguments)
    if flags.store is not None:
        if not (flags.store / "mlflow.db").is_file():
            parser.error(f"store must be a folder with mlflow.db, got {flags.store}. Name another.")
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{flags.store.absolute() / 'mlflow.db'}"
    parts = flags.part or list(PARTS[2:])
    about = record.environment(record.spelt("benchmarks.sensitivity"))
    rows: list[Row] = []
    for row in measured(flags, parts):
        rows.append(row)
        print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()), flush=True)
    if flags.json:
        record.write(flags.json, about, rows)
    return 0


def measured(flags: argparse.Namespace, parts: list[str]) -> Iterator[Row]:
    """The rows of the parts that are asked for."""
    if {"first", "again"} & set(parts):
        yield from uses(flags.study, parts)
    if not {"spectra", "settings", "trials"} & set(parts):
        return
    config = SensitivityConfig(study=flags.study, window=flags.window, mode="search")
    store = open_store()
    cells = runs.load(store, config, store.folder / "sensitivity" / "gaps")
    made = [spectra(cells)] if "spectra" in parts else []
    made += [settings(cells, config)] if "settings" in parts else []
    yield from chain(*made)
    if "trials" in parts:
        with tempfile.TemporaryDirectory() as folder:
            for count in map(int, flags.trials.split(",")):
                asked = replace(config, n_trials=count)
                workers = [int(text) for text in flags.workers.split(",")]
                yield from searches(cells, asked, Path(folder), flags.samplers.split(","), workers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

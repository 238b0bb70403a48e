"""Time the sensitivity study: `python -m benchmarks.sensitivity [--study headline] [--trials 300]`.

Reads the finished runs of the store that MLFLOW_TRACKING_URI names; spectra are kept beside it, as the command itself keeps
them, and the trials go to a temporary folder. Prints, a line each:
rolling spectra of one run for one window; settings a second once the spectra are there; trials a second of a search with one
and with two workers, and the shares of detectors, Optuna's sampler and its storage.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from analysis.sensitivity import loading as runs
from analysis.sensitivity import neighbourhood, planning, search
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.settings import SensitivityConfig
from benchmarks import record
from grok.numerics.spectra import rolling_eigenvalues
from grok.store.store import open_store

WINDOWS = (5, 10, 20, 30, 40, 64)
SETTINGS = 2048


Row = dict[str, Any]


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


def searches(cells: Cells, config: SensitivityConfig, folder: Path) -> Iterator[Row]:
    """Trials a second, and what they are spent on."""
    for workers in (1, 2):
        for sampler in ("random", "tpe"):
            asked = replace(config, workers=workers, sampler=sampler, name=f"{sampler}-{workers}")
            (task,) = planning.plan(cells, asked, folder)
            cells.prepare(planning.spectra_needed(cells, asked, [task]))
            times = search.search(task, cells).times
            parts = times.detectors + times.sampler + times.storage
            yield {
                "part": "trials",
                "sampler": sampler,
                "workers": workers,
                "n": times.trials,
                "per_s": times.trials / times.wall,
                "wall_s": times.wall,
                "detectors_share": times.detectors / parts,
                "sampler_share": times.sampler / parts,
                "storage_share": times.storage / parts,
            }


def main() -> None:
    """Print each measurement on a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="headline", help="a study with finished runs")
    parser.add_argument("--trials", type=int, default=300, help="of each search")
    parser.add_argument("--window", default="5..30", help="windows of the searches; fewer make the spectra before them cheaper")
    record.json_flag(parser)
    flags = parser.parse_args()
    about = record.environment(record.spelt("benchmarks.sensitivity"))
    config = SensitivityConfig(study=flags.study, n_trials=flags.trials, window=flags.window, mode="search")
    store = open_store()
    cells = runs.load(store, config, store.folder / "sensitivity" / "gaps")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in chain(spectra(cells), settings(cells, config), searches(cells, config, Path(folder))):
            rows.append(row)
            print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()), flush=True)
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main()

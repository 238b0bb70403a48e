"""Time and peak memory of reading a store into tables, of the claims and of the errata: `python -m benchmarks.analysis`.

`--store URI` reads the studies that are there (it is only read); `--synthetic N` makes N small runs in a new store, and reads
those. Each part is timed in a process of its own: nothing is cached from an earlier one, though files may be in the system's
cache. `cpu` is the processor's time, which other work on the machine does not change.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import record
from benchmarks.measure import peak_mb
from grok.spec.config import RunConfig

SMALL = RunConfig(modulus=11, width=32, n_train=48, epochs=64, window=6, max_window=24, top_pairs=20, threads=1, device="cpu")


def make(uri: str, count: int) -> None:
    """Fill a store with complete runs of a tiny config that were never trained, by the tracking API."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    from mlflow.entities import Metric, Param

    from grok.store.store import open_store

    store = open_store()
    rng, epochs = np.random.default_rng(0), SMALL.epochs or 0
    names = ("accuracy/train", "accuracy/test", "features/rho", "delta_w/gap_23", "delta_w/gap_12")
    for seed in range(count):
        config = replace(SMALL, seed=seed).resolved()
        tags = {"kind": "train", "config_hash": config.hash, "protocol": "1", "state": "complete"}
        tags = {f"grok.{name}": text for name, text in tags.items()} | {"grok.study.synthetic": ("grok", "eta0")[seed % 2]}
        run_id = store.client.create_run(store.experiment_id, run_name=config.display_name(), tags=tags).info.run_id
        params = [Param(name, text) for name, text in config.to_strings().items()]
        metrics = [Metric(name, float(rng.random()), 0, epochs) for name in (*names, "fired", "late_gap_23", "fire_epoch")]
        store.client.log_batch(run_id, metrics=metrics, params=params)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            table = pd.DataFrame({"epoch": np.arange(epochs + 1)} | {name: rng.random(epochs + 1) for name in names})
            table.to_parquet(folder / "history.parquet")
            (folder / "delta_w").mkdir()
            np.savez_compressed(folder / "delta_w" / "band.npz", w=rng.random((epochs, 24)), v=rng.random((epochs, 24)))
            store.client.log_artifacts(run_id, name)
        store.client.set_terminated(run_id)


def measure(uri: str, part: str) -> None:
    """One line of JSON: what was read, seconds, peak memory before and after."""
    start = time.perf_counter()
    from analysis.exhibits.evaluate import evaluate, write
    from analysis.papers import CLAIMS, ERRATA
    from analysis.reading.evidence import Evidence
    from analysis.studies import summary as study_summary
    from grok.store.store import connect

    store = connect(uri, "0")
    imports, begun, before = time.perf_counter() - start, clock(), peak_mb()
    evidence = Evidence(store)
    runs = sum(len(evidence.runs(study)) for study in evidence.studies)
    conditions = sum(
        len(study_summary.conditions(evidence.runs(study))) for study in evidence.studies if len(evidence.runs(study))
    )
    left_out = len(evidence.left_out)
    row = {"part": part, "runs": runs, "conditions": conditions, "left_out": left_out, "imports_s": imports}
    row |= since(begun, "tables")
    if part != "read":
        begun = clock()
        row["made"] = len(evaluate(evidence, CLAIMS) if part == "claims" else write(evidence, ERRATA))
        row |= since(begun, part)
    print(json.dumps(row | {"before_mb": before, "peak_mb": peak_mb()}), flush=True)


def clock() -> tuple[float, float]:
    """Wall and processor time."""
    return time.perf_counter(), time.process_time()


def since(begun: tuple[float, float], name: str) -> dict[str, float]:
    """Wall and processor seconds from `begun` on."""
    wall, cpu = (now - then for now, then in zip(clock(), begun, strict=True))
    return {f"{name}_s": wall, f"{name}_cpu_s": cpu}


def main() -> None:
    """Time each part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default=None, metavar="URI", help="of a store with studies")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="runs to make in a new store and read")
    parser.add_argument("--part", choices=("read", "claims", "errata"), default=None, help="this process times one part")
    record.json_flag(parser)
    flags = parser.parse_args()
    if flags.part:
        measure(flags.store, flags.part)
        return
    about = record.environment(record.spelt("benchmarks.analysis"))
    rows = [again(flags.store, part) for part in ("read", "claims", "errata")] if flags.store else []
    if flags.synthetic:
        with tempfile.TemporaryDirectory() as folder:
            uri = f"sqlite:///{folder}/mlflow.db"
            start = time.perf_counter()
            make(uri, flags.synthetic)
            print(f"made {flags.synthetic} runs in {time.perf_counter() - start:.0f} s", flush=True)
            rows.append(again(uri, "read") | {"synthetic": True})
    if flags.json:
        record.write(flags.json, about, rows)


def again(uri: str, part: str) -> dict[str, Any]:
    """Run this file on one part, print and return its row."""
    command = [sys.executable, "-m", "benchmarks.analysis", "--store", uri, "--part", part]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in found.items()), flush=True)
    return found


if __name__ == "__main__":
    main()

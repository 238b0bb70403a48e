"""The measurements. `python -m benchmarks.measure` takes one: it reads a job on standard input, imports, allocates and
warms up, says `ready`, waits for a line, measures, and answers with a row of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any, TextIO, cast

from benchmarks.by_the_clock import epochs
from benchmarks.jobs import Job
from grok.spec.config import RunConfig

WARM_BLOCKS = 2
"""Blocks of the band trained before the clock starts, at least: they fill the window, the caches and the allocator."""
SMALL = RunConfig(modulus=7, width=16, epochs=30, top_pairs=10)
"""Run twice before a whole run is measured: the first time pays what libraries import late, once in a process."""

Measurement = Callable[[], dict[str, Any]]


def loop(config: RunConfig, blocks: int = 12, seeds: int = 1) -> Measurement:
    """The training loop alone, block of epochs by block, with the floor timed between the blocks.

    An epoch is what `Training` does without observables: training and test scores, gradient, optimiser, and the band of
    the updates. Row: `epoch_ms`, the median block; `epoch_mean_ms`, `epoch_best_ms`; `floor_ms`, the least of each
    product over all blocks, times the seeds; `floors_then`, the median over the blocks of an epoch in floors timed right
    before and after it; `spectra_ms`, the eigenvalues of one epoch's window.
    """
    import torch

    from benchmarks.floor import Floor, flops
    from grok.runs.member import Member
    from grok.training.loop import Training

    config = replace(config.resolved(), observe_every=0, repulsion_every=0, checkpoint_epochs=())
    training = Training(replace(config, epochs=(WARM_BLOCKS + blocks) * 1024), [config.seed + s for s in range(seeds)])
    floor = Floor(config)
    members = [Member(training, index) for index in range(seeds)]
    block = training.updates_of(0).block
    records = iter(training)

    def train() -> float:
        start = time.perf_counter()
        taken = list(islice(records, block))
        scores = torch.stack([record.scores for record in taken]).cpu().numpy()  # waits for a GPU, once a block
        for record, row in zip(taken, scores, strict=True):
            for member in members:
                member.add(record, row[member.index])
        return (time.perf_counter() - start) / block

    def extend() -> float:
        start = time.perf_counter()
        for member in members:
            member.run.recordings["spectrum"].extend(training.updates_of(member.index, whole=False))
        return (time.perf_counter() - start) / block

    for _ in range(max(WARM_BLOCKS, -(-config.window // block) + 1)):
        train()
        extend()
        floor.measure()

    def measure() -> dict[str, Any]:
        before = dict(training.seconds)
        epochs, spectra, floors = [], [], [floor.measure() * seeds * 1e3]
        for _ in range(blocks):
            epochs.append(train() * 1e3)
            spectra.append(extend() * 1e3)
            floors.append(floor.measure() * seeds * 1e3)
        count = blocks * block
        parts = {name: (seconds - before[name]) / count * 1e3 for name, seconds in training.seconds.items()}
        floor_ms = floor.seconds * seeds * 1e3
        return {
            "floor_ms": floor_ms,
            "floor_gflops": flops(config) * seeds / floor_ms / 1e6,
            "epoch_ms": median(epochs),
            "epoch_mean_ms": sum(epochs) / blocks,
            "epoch_best_ms": min(epochs),
            "spectra_ms": median(spectra),
            "floors_then": median(2 * e / sum(around) for e, around in zip(epochs, pairwise(floors), strict=True)),
            "timed_epochs": count,
            "parts_ms": parts,
            "products_ms": {k: v * 1e3 for k, v in floor.best.items()},
        }

    return measure


def bare(config: RunConfig) -> Measurement:
    """A whole run without a store: training, observables, spectra and the summary. Row: `seconds`, `parts`."""
    from grok.runs.member import Member
    from grok.training.loop import Training

    def run(config: RunConfig) -> dict[str, Any]:
        start = time.perf_counter()
        training = Training(config)
        member = Member(training, 0)
        spectra = 0.0
        for record in training:
            member.add(record, record.scores[0].cpu().numpy())
            if training.block_complete or record.epoch == training.config.epochs:
                before = time.perf_counter()
                member.extend()
                spectra += time.perf_counter() - before
        member.summary()
        whole = time.perf_counter() - start
        return {"seconds": whole, "parts": training.seconds | {"spectra": spectra}}

    return _after_small(config, run)


def _after_small(config: RunConfig, run: Callable[[RunConfig], dict[str, Any]]) -> Measurement:
    """Measure `run` on `config` after two runs of `SMALL`; `once_s` is what the first of them took longer."""
    first, second = (run(replace(SMALL, seed=seed, threads=config.threads))["seconds"] for seed in (0, 1))
    return lambda: run(config) | {"once_s": first - second}


def tracked(config: RunConfig, everything: bool = False) -> Measurement:
    """A whole tracked run with all its metrics, artifacts and figures, in a SQLite store that is thrown away.

    From the call to its return; the store's tables are made before. Row: `seconds`, `parts` as `Outcome.seconds`,
    `repulsion` and `kernel` taken out of `observables`, `other` what no part has; `artifacts_mb`, `database_mb`.

    Args:
        config: of the run.
        everything: take every observable at the cadence `observe_every`, also those that are due at checkpoints only,
            so that a row of each epoch has what the published procedure has there.
    """
    from analysis.figures import run_figures
    from grok.numerics import repulsion
    from grok.recorders import observables
    from grok.runs.train import train_tracked
    from grok.store.store import open_store

    folder = tempfile.TemporaryDirectory()  # removed when the process ends
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder.name}/mlflow.db"
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "benchmark"
    store = open_store()
    spent = {"repulsion": 0.0, "kernel": 0.0}

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                spent[name] += time.perf_counter() - start

        return call

    repulsion.measure_repulsion = clocked("repulsion", repulsion.measure_repulsion)
    observables.OBSERVABLES = tuple(
        o._replace(measure=clocked("kernel", o.measure), cadence="observe_every" if everything else None)
        if o.cadence is None
        else o
        for o in observables.OBSERVABLES
    )

    def sizes() -> dict[str, float]:
        return {str(path): path.stat().st_size / 1e6 for path in Path(folder.name).rglob("*") if path.is_file()}

    def run(config: RunConfig) -> dict[str, Any]:
        spent.update(dict.fromkeys(spent, 0.0))
        before = sizes()
        start = time.perf_counter()
        (outcome,) = train_tracked([config.resolved()], store, figures=run_figures)
        whole = time.perf_counter() - start
        new = {path: size - before.get(path, 0.0) for path, size in sizes().items()}
        database = sum(size for path, size in new.items() if path.endswith(".db"))
        return {
            "seconds": whole,
            "parts": parts(outcome.seconds, spent, whole),
            "background_s": outcome.seconds["background"],
            "artifacts_mb": sum(new.values()) - database,
            "database_mb": database,
        }

    return _after_small(config, run)


def parts(seconds: dict[str, float], spent: dict[str, float], whole: float) -> dict[str, float]:
    """The training thread's time by part, which adds up to `whole`.

    Args:
        seconds: of an `Outcome`.
        spent: seconds of some observables, to be told apart from the others unless `seconds` does so itself.
        whole: seconds of the call.
    """
    out = {name: value for name, value in seconds.items() if name not in ("total", "background")}
    for name, value in spent.items():
        if name not in out:
            out[name] = value
            out["observables"] -= value
    return out | {"other": whole - sum(out.values())}


def published(config: RunConfig, epochs: int) -> Measurement:
    """The published procedure over `epochs` epochs, scaled to the run of `config`; its metrics go to a file of JSON lines.

    Row: `seconds` of the run so scaled, `epoch_ms` with a full window, `repulsion_s` of one measurement.
    """
    import torch

    from benchmarks.published import run

    if config.threads is not None:
        torch.set_num_threads(config.threads)

    def measure(config: RunConfig) -> dict[str, Any]:
        config = config.resolved()
        last = min(epochs, config.epochs)
        shorter = config if last == config.epochs else replace(config, epochs=last, checkpoint_epochs=(last,))
        with tempfile.TemporaryFile("w") as log:
            seconds = run(shorter, cast(TextIO, log))
        full = seconds.epochs[config.window :]
        return {
            "seconds": seconds.scaled(config),
            "epoch_ms": sum(full) / len(full) * 1e3,
            "timed_epochs": len(seconds.epochs),
            "repulsion_s": sum(seconds.repulsion) / len(seconds.repulsion),
        }

    return _after_small(config, measure)


MEASUREMENTS: dict[str, Callable[..., Measurement]] = {
    "loop": loop,
    "epochs": epochs,
    "bare": bare,
    "tracked": tracked,
    "published": published,
}


def peak_mb() -> float:
    """Peak resident memory of this process in MB. `ru_maxrss` would be that of a larger parent."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    """Measure the job on standard input."""
    job = Job.from_json(sys.stdin.readline())
    measure = MEASUREMENTS[job.what](replace(job.config, threads=job.threads), **job.options)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps({"what": job.what, "threads": job.threads} | measure() | {"peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main()

"""The training loop for so many seconds: a measurement of `benchmarks.measure` that ends in time on a machine of any load."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any

from grok.spec.config import RunConfig


def epochs(config: RunConfig, seconds: float, least: int = 4) -> Callable[[], dict[str, Any]]:
    """The training loop alone for so many seconds, whatever else the machine does: the clock's and the processor's time.

    Row: `epoch_ms`, the median over whole blocks of epochs, or the mean where there is none; `epoch_mean_ms`, `epoch_worst_ms`
    (of a block); `cpu_ms`, processor time of all threads an epoch, waiting that spins included; `timed_epochs`; `openmp`.

    Args:
        config: of the run. seconds: after which no epoch is begun. least: epochs that are timed in any case.
    """
    import torch
    from threadpoolctl import threadpool_info

    from grok.training.loop import Training

    config = replace(config.resolved(), observe_every=0, repulsion_every=0, checkpoint_epochs=(), epochs=10**6)
    training = Training(config)
    block, records = training.updates_of(0).block, iter(training)
    until = time.perf_counter() + seconds
    for _ in range(2 * block):
        next(records)
        if time.perf_counter() > until:
            break

    def measure() -> dict[str, Any]:
        start, cpu, marks = time.perf_counter(), time.process_time(), [0.0]
        while marks[-1] < seconds or len(marks) <= least:
            float(next(records).scores[0, 0])  # waits for a GPU
            marks.append(time.perf_counter() - start)
        cpu, count = time.process_time() - cpu, len(marks) - 1
        blocks = [(after - before) / block * 1e3 for before, after in pairwise(marks[::block])]
        mean = marks[-1] / count * 1e3
        return {
            "epoch_ms": median(blocks or [mean]),
            "epoch_mean_ms": mean,
            "epoch_worst_ms": max(blocks or [mean]),
            "cpu_ms": cpu / count * 1e3,
            "timed_epochs": count,
            "torch_threads": torch.get_num_threads(),
            "openmp": ", ".join(sorted({i["prefix"] for i in threadpool_info() if i["user_api"] == "openmp"})),
        }

    return measure

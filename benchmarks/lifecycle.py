"""A tracked run of Dyck-1 against a bare PyTorch loop of the same network: processor time a step, as a ratio.

`python -m benchmarks.lifecycle` trains both in this process by turns and prints a line; the loop records and evaluates nothing.
A run's start and end are left out as the difference of two lengths, between which it saves its state once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from typing import Any

import torch

from benchmarks import record
from benchmarks.study_throughput import fresh_store
from grok.networks.transformer import Encoder
from grok.runs.train import train_tracked
from grok.spec.config import ResolvedConfig, RunConfig
from grok.tasks.dyck import TASK, dyck

SHORT = 100
"""Steps of the short run whose time is taken off."""


def bare(steps: int) -> float:
    """Seconds of processor time of the published loop: batch, loss, clip, AdamW."""
    torch.manual_seed(42)
    problem, network = dyck(), Encoder(TASK.sizes(config(SHORT)))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
    start = time.process_time()
    for _ in range(steps):
        rows = torch.randint(0, 50, (50,))
        scores, labels = network(problem.train_inputs[rows], 24), problem.train_labels[rows]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), ignore_index=-100)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return time.process_time() - start


def config(steps: int) -> ResolvedConfig:
    """The published run, shorter, on one thread."""
    return RunConfig(task="dyck", seed=42, epochs=steps, threads=1, device="cpu").resolved()


def tracked(steps: int) -> float:
    """Seconds of processor time of a run with everything that it records, in a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = fresh_store(folder)
        start = time.process_time()
        train_tracked([config(steps)], store)
        return time.process_time() - start


def measure(steps: int, rounds: int) -> dict[str, Any]:
    """A row: seconds of processor time a step, the median over rounds, and the ratio with its range."""
    torch.set_num_threads(1)
    bare(20)
    loops, runs = [], []
    for _ in range(rounds):
        loops.append(bare(steps) / steps)
        runs.append((tracked(SHORT + steps) - tracked(SHORT)) / steps)
    ratios = [run / loop for run, loop in zip(runs, loops, strict=True)]
    return {
        "what": "step",
        "steps": steps,
        "rounds": rounds,
        "loop_cpu_s": statistics.median(loops),
        "tracked_cpu_s": statistics.median(runs),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Time both by turns, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500, metavar="N", help="of each. Default 500, in which a run saves once")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="of a loop and a run. Default 2.")
    record.json_flag(parser)
    flags = parser.parse_args()
    about = record.environment(record.spelt("benchmarks.lifecycle"))
    row = measure(flags.steps, flags.rounds)
    print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))
    if flags.json:
        record.write(flags.json, about, [row])


if __name__ == "__main__":
    main()

"""A tracked run of Dyck-1 against a bare PyTorch loop of the same network: processor time a step, as a ratio.

`python -m benchmarks.lifecycle [STEPS]` trains both in this process by turns and prints one line; the loop records nothing and
evaluates nothing. A run's start and end are left out by taking the difference of two lengths.
"""

from __future__ import annotations

import sys
import tempfile
import time

import torch

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


def main(steps: int) -> None:
    """Time both by turns, and print one line."""
    torch.set_num_threads(1)
    bare(20)
    loops, runs = [], []
    for _ in range(2):
        loops.append(bare(steps) / steps)
        runs.append((tracked(SHORT + steps) - tracked(SHORT)) / steps)
    loop, run = min(loops), min(runs)
    print(f"steps={steps} loop_s={loop:.4f} tracked_s={run:.4f} ratio={run / loop:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)

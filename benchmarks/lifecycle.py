"""What a transformer's run costs beside its training: `python -m benchmarks.lifecycle [--part step|record|buckets]`.

`step`: a tracked run of Dyck-1 against a bare PyTorch loop of the same network, processor time a step, as a ratio. Both are
trained in this process by turns; the loop records and evaluates nothing. A run's start and end are left out as the difference
of two lengths, between which it saves its state once.
`record`: the share of its time that recording by interval (the recorder `edge`: exact split and inner products) adds to the
training loop of Dyck-1, evaluations included: two loops of the same seed by turns, block by block, one without the recorder.
Beside it the processor time inside the recorder's own calls, which no other process blurs, nor the cache
of another loop, and what it adds to a save.
`buckets`: a training step of SCAN with batches cut by length, as its network does, and without: two loops of the same seed by
turns; nothing is recorded or evaluated. Everything on one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks import record
from benchmarks.study_throughput import fresh_store
from grok.networks.transformer import Encoder
from grok.runs.train import train_tracked
from grok.spec.config import ResolvedConfig, RunConfig
from grok.store.files import save
from grok.tasks.dyck import TASK, dyck
from grok.training.loop import Training

SHORT = 100
"""Steps of the short run whose time is taken off."""
Row = dict[str, Any]
Blocks = Callable[[], tuple[float, float]]
"""Trains a block and gives its wall and processor seconds a step."""
PARTS = ("step", "record", "buckets")
INTERVALS = 200
"""Steps of a block of `record`: each of the intervals that are recorded by default ends in it, and evaluations are."""


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
        "load": _load(),
    }


def _blocks(training: Training, steps: int) -> Blocks:
    """The training loop by blocks of so many steps; the first step is taken now."""
    going: Iterator[Any] = iter(training)
    next(going)

    def block() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in islice(going, steps):
            pass
        return (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps

    return block


def _by_turns(with_it: Blocks, without: Blocks, rounds: int) -> Row:
    """A block of each before the clock, then pairs of blocks, of which every second begins with the other."""
    blocks = {"with": with_it, "without": without}
    seen: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    for turn in range(rounds + 1):
        for name in ("with", "without") if turn % 2 else ("without", "with"):
            seen[name].append(blocks[name]())
    row: Row = {"rounds": rounds}
    for column, unit in enumerate(("wall", "cpu")):
        taken = {name: [pair[column] for pair in pairs[1:]] for name, pairs in seen.items()}
        row |= {f"{unit}_s_{name}": statistics.median(values) for name, values in taken.items()}
        ratios = [one / other for one, other in zip(taken["with"], taken["without"], strict=True)]
        row |= {f"{unit}_ratio": statistics.median(ratios), f"{unit}_low": min(ratios), f"{unit}_high": max(ratios)}
    return row


def recorded(rounds: int, steps: int = INTERVALS) -> Row:
    """A row: seconds a step with the recorder of intervals and without, the share that it adds, and what it adds to a save."""
    torch.set_num_threads(1)
    whole = config((rounds + 2) * steps)
    watched, plain = Training(whole), Training(whole)
    edge = watched.runs[0].recordings["edge"]
    inside = _timed(edge)
    del plain.runs[0].recordings["edge"]
    row: Row = {"what": "record", "steps": steps} | _by_turns(_blocks(watched, steps), _blocks(plain, steps), rounds)
    inside_s = sum(inside) / (1 + (rounds + 1) * steps)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        tensors = {name: value.detach().clone().cpu() for name, value in edge.state()[0].items()}
        save(Path(folder) / "edge.safetensors", tensors, {})
        seconds = time.process_time() - start
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    saves = seconds / whole.save_every if whole.save_every else 0.0  # a step's part of a save
    shares = {"added": row["cpu_ratio"] - 1, "added_with_saves": row["cpu_ratio"] - 1 + saves / row["cpu_s_without"]}
    shares |= {"inside_s": inside_s, "inside": inside_s / row["cpu_s_without"]}
    return row | shares | {"save_cpu_s": seconds, "save_mb": size / 1e6, "save_every": whole.save_every, "load": _load()}


def _timed(recording: Any) -> list[float]:
    """Processor seconds of each call by which a recording sees a step, from now on."""
    seconds, see = list[float](), recording.see

    def timed(*arguments: Any) -> Any:
        start = time.process_time()
        found = see(*arguments)
        seconds.append(time.process_time() - start)
        return found

    recording.see = timed
    return seconds


def bucketed(rounds: int, steps: int, network: str) -> Row:
    """A row: seconds a step of SCAN with length buckets and without, and how far the losses of the two loops are apart."""
    torch.set_num_threads(1)
    run = RunConfig(task="scan", network=network, seed=42, epochs=(rounds + 2) * steps, threads=1, device="cpu").resolved()
    cut, whole = Training(run), Training(run)
    losses: dict[str, list[float]] = {"cut": [], "whole": []}
    buckets: int = cut.network.buckets  # type: ignore[attr-defined]
    whole.network.buckets = 1  # type: ignore[attr-defined]
    for name, training in (("cut", cut), ("whole", whole)):
        training.runs[0].recordings.clear()
        _unevaluated(training, losses[name])
    row: Row = {"what": "buckets", "network": network, "batch": run.batch_size, "buckets": buckets, "steps": steps}
    row |= _by_turns(_blocks(cut, steps), _blocks(whole, steps), rounds)
    row |= {"times_faster": 1 / row["cpu_ratio"], "first_losses_apart": abs(losses["cut"][0] / losses["whole"][0] - 1)}
    return row | {"load": _load()}


def _unevaluated(training: Training, losses: list[float]) -> None:
    """Leave evaluations out, and keep the loss of each batch."""
    evaluate, gradient = training.batches.evaluate, training.network.loss_and_gradient

    def kept(batch: Any) -> Any:
        found = gradient(batch)
        losses.append(float(found[0][0]))
        return found

    training.batches.evaluate = lambda accuracy, due: evaluate(accuracy, False)  # type: ignore[method-assign]
    training.network.loss_and_gradient = kept  # type: ignore[method-assign]


def _load() -> float:
    return os.getloadavg()[0]


def main(arguments: list[str]) -> None:
    """Measure the parts that are asked for, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lifecycle", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated; all of them by default")
    parser.add_argument("--steps", type=int, default=500, metavar="N", help="of each. Default 500, in which a run saves once")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="of a loop and a run. Default 2.")
    parser.add_argument("--pairs", type=int, default=6, metavar="N", help="of blocks, of record and buckets. Default 6.")
    parser.add_argument("--block", type=int, default=20, metavar="N", help="steps of a block of buckets. Default 20.")
    parser.add_argument("--network", choices=("seq2seq_mini", "seq2seq"), default="seq2seq_mini", help="of buckets")
    record.json_flag(parser)
    flags = parser.parse_args(arguments)
    about = record.environment(record.spelt("benchmarks.lifecycle"))
    measures: dict[str, Callable[[], Row]] = {
        "step": lambda: measure(flags.steps, flags.rounds),
        "record": lambda: recorded(flags.pairs),
        "buckets": lambda: bucketed(flags.pairs, flags.block, flags.network),
    }
    rows = []
    for part in dict.fromkeys(flags.part or PARTS):
        rows.append(measures[part]())
        print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in rows[-1].items()), flush=True)
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main(sys.argv[1:])

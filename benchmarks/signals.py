"""What signals cost: CPU milliseconds of each at one epoch of a network at the paper's size, and their share of a run.

`python -m benchmarks.signals` trains some epochs, computes each signal there alone, with all its variants and what it needs,
and the whole battery as a run with `--signals all` does, with signals that cost more than a training step and without. Signals
that this network does not feed are computed on those of the study `signals-ce` that do, at that study's size.
Process time on one thread: whatever else the machine does counts little. Set `OMP_NUM_THREADS=1`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks import record
from grok.recorders._battery import COSTLY, Battery, moving, usable
from grok.signals.base import Signal
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import SIGNALS
from grok.training.loop import Training
from grok.training.memory import keep_freed_memory
from grok.training.parts import network_of, task_of

REPEATS = 3
EVERY, COSTLY_EVERY = 10, 4
"""Epochs between states, and of these every so many for costly signals, as a run with `--signal-every 10` has them."""
SECOND_ARM = ("shared_mlp", "one_layer_transformer")
"""Networks of the study `signals-ce`, in float32."""
Weights = dict[str, Tensor]


def seconds(call: Callable[[], Any]) -> float:
    """Of processor time, the least of some calls."""
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def trained(config: ResolvedConfig, epochs: int) -> tuple[Weights, Weights, float]:
    """The weights after so many epochs and one before, and processor seconds of an epoch; observables every tenth."""
    training, before = Training(config), dict[str, Tensor]()
    start = time.process_time()
    for step in training:
        step.see()
        if step.epoch == epochs:
            break
        before = {name: layer[0].clone() for name, layer in training.weights.items()}
    each = (time.process_time() - start) / epochs
    return {name: layer[0].clone() for name, layer in training.weights.items()}, before, each


def one_epoch(config: ResolvedConfig, signals: Mapping[str, Signal], weights: Weights, before: Weights) -> float:
    """Seconds of some signals at one epoch, nothing of them known before."""
    battery = Battery(config, network_of(config), task_of(config), signals)
    battery.see(0, before, memorised=True)
    number = iter(range(1, 1000))
    return seconds(lambda: battery.see(next(number), weights, memorised=True))


def configs(epochs: int) -> list[ResolvedConfig]:
    """The two-layer network at the paper's size, then each network of the second arm at the size of its study."""
    first = RunConfig(epochs=epochs, checkpoint_epochs=(), max_window=20, threads=1)
    alike = replace(first, modulus=59, n_train=1740, learning_rate=0.003, observe_every=0)
    return [first.resolved(), *(replace(alike, network=name).resolved() for name in SECOND_ARM)]


def of_one_epoch(config: ResolvedConfig) -> dict[str, Signal]:
    """The signals by name that a network feeds at one epoch."""
    return {name: signal for name, signal in usable(config, SIGNALS.names).items() if signal.per_epoch}


def alone(config: ResolvedConfig, signals: Mapping[str, Signal], weights: Weights, before: Weights) -> list[dict[str, Any]]:
    """A row per signal, each computed alone."""
    empty = one_epoch(config, {}, weights, before)
    return [
        {"part": "signal", "name": name, "network": config.network, "cadence": one.cadence, "variants": len(one.variants)}
        | {"ms": 1000 * (one_epoch(config, {name: one}, weights, before) - empty)}
        for name, one in signals.items()
    ]


def second_arm(first: ResolvedConfig, others: Iterable[ResolvedConfig], epochs: int) -> list[dict[str, Any]]:
    """A row per signal that a network of a second arm feeds and that of the first does not."""
    rows, known = list[dict[str, Any]](), of_one_epoch(first)
    for config in others:
        weights, before, _ = trained(config, epochs)
        further = {name: signal for name, signal in of_one_epoch(config).items() if name not in known}
        rows += alone(config, further, weights, before)
    return rows


def measured(config: ResolvedConfig, epochs: int) -> tuple[list[dict[str, Any]], float]:
    """A row per signal, a row per battery (all, cheap, of weights alone), and seconds of a training epoch."""
    weights, before, each = trained(config, epochs)
    found = of_one_epoch(config)
    of_weights = {"weights", "moved", "memorised"}
    groups = {
        "all": found,
        "costly": {name: one for name, one in found.items() if one.cadence == COSTLY},
        "cheap": {name: one for name, one in found.items() if one.cadence != COSTLY},
        "weights": {name: one for name, one in found.items() if set(moving(one)) <= of_weights},
        "cheap without rho": {name: one for name, one in found.items() if one.cadence != COSTLY and name != "rho"},
    }
    rows = alone(config, found, weights, before)
    rows += [
        {"part": "battery", "name": name, "signals": len(group), "ms": 1000 * one_epoch(config, group, weights, before)}
        for name, group in groups.items()
    ]
    return rows, each


def share(rows: list[dict[str, Any]], each: float) -> float:
    """What the battery adds to a run with observables at every tenth epoch, which has ρ already, as a share of its time."""
    of = {row["name"]: row["ms"] / 1000 for row in rows if row["part"] == "battery"}
    between = ((COSTLY_EVERY - 1) * of["cheap without rho"] + of["cheap without rho"] + of["costly"]) / COSTLY_EVERY
    return float(between / (EVERY * each))


def main() -> None:
    """Train, time, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signals", description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="trained before signals are computed")
    record.json_flag(parser)
    flags = parser.parse_args()
    about = record.environment(record.spelt("benchmarks.signals"))
    torch.set_num_threads(1)
    keep_freed_memory()
    config, *others = configs(max(flags.epochs, 1))
    rows, each = measured(config, flags.epochs)
    rows += second_arm(config, others, flags.epochs)
    rows.append({"part": "run", "name": "training epoch", "ms": 1000 * each, "added_share": share(rows, each)})
    for row in sorted(rows, key=lambda row: -row["ms"]):
        print(f"{row['ms']:9.1f} ms  {row['part']} {row['name']} {row.get('network', '')}".rstrip())
    of = {row["name"]: row["ms"] for row in rows if row["part"] == "battery"}
    count = len({row["name"] for row in rows if row["part"] == "signal"})
    print(f"signals={count} epoch_ms={1000 * each:.1f} all_ms={of['all']:.0f} costly_ms={of['costly']:.0f}", end=" ")
    print(f"cheap_ms={of['cheap']:.0f} weights_ms={of['weights']:.1f} added_share={share(rows, each):.2f}")
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main()

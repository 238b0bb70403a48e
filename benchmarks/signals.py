"""What signals cost: CPU milliseconds of each at one epoch of a network at the paper's size, and their share of a run.

`python -m benchmarks.signals` trains some epochs, computes each signal there alone, with all its variants and what it needs,
and the whole battery as a run with `--signals all` does, with signals that cost more than a training step and without. Features
on the training samples and the gradient are handed over where a network gives features, as a run does, which has both already:
neither is in any number here. Signals that this network does not feed are computed on those of the study `signals-ce` that do,
at that study's size. What the battery adds to a run is computed from these and the time of an epoch, and measured: a run is
trained with it and without, in turns.
Process time on one thread: whatever else the machine does counts less. Set `OMP_NUM_THREADS=1`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import record
from grok.recorders._battery import COSTLY, Battery, moving, usable
from grok.signals.base import Signal
from grok.spec import plugins
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import SIGNALS
from grok.training.loop import Training
from grok.training.memory import keep_freed_memory
from grok.training.parts import network_of, task_of

REPEATS = 3
"""Of each part, in turns."""
EVERY, COSTLY_EVERY = 10, 4
"""Epochs between states, and of these every so many for costly signals, as a run with `--signal-every 10` has them."""
SECOND_ARM = ("shared_mlp", "one_layer_transformer")
"""Networks of the study `signals-ce`, in float32."""
Weights = dict[str, Tensor]


Prepared = Callable[[], Callable[[], Any]]
"""What makes ready a call that is timed."""


def seconds(parts: Mapping[str, Prepared]) -> dict[str, float]:
    """Of processor time, the least of some calls of each, in turns: a slow minute of the machine meets all parts alike."""
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(REPEATS):
        for name, prepared in parts.items():
            call, start = prepared(), time.process_time()
            call()
            found[name].append(time.process_time() - start)
    return {name: min(times) for name, times in found.items()}


class Seen(NamedTuple):
    """What a run has at an epoch: its weights and those of the epoch before, the loss's gradient, and features if any."""

    weights: Weights
    before: Weights
    gradients: Weights
    features: Tensor | None

    def given(self) -> dict[str, Callable[[], Any]]:
        """What a run hands over to its battery, of which nothing was made yet."""
        if self.features is None:
            return {}
        features = self.features.clone()
        return {"features": lambda: features, "gradients": lambda: self.gradients}


def trained(config: ResolvedConfig, epochs: int) -> tuple[Seen, float]:
    """What is seen after so many epochs, and processor seconds of an epoch; observables every tenth.

    The first ten, in which everything is met for the first time, do not count where there are more.
    """
    training, before = Training(config), dict[str, Tensor]()
    start, first = time.process_time(), EVERY if epochs > EVERY else 0
    for step in training:
        step.see()
        if step.epoch == first:
            start = time.process_time()
        if step.epoch == epochs:
            break
        before = {name: layer[0].clone() for name, layer in training.weights.items()}
    each = (time.process_time() - start) / (epochs - first)
    weights, gradients = (
        {name: layer[0].clone() for name, layer in layers.items()} for layers in (training.weights, training.network.gradients)
    )
    gives = "features" in network_of(config).gives
    with torch.no_grad():
        features = training.network.features(training.batches.whole)[0] if gives else None
    return Seen(weights, before, gradients, features), each


def one_epoch(config: ResolvedConfig, signals: Mapping[str, Signal], seen: Seen) -> Prepared:
    """Some signals at one epoch, nothing of them known before."""
    battery = Battery(config, network_of(config), task_of(config), signals)
    battery.see(0, seen.before, memorised=True)
    number = iter(range(1, 1000))

    def prepared() -> Callable[[], None]:
        given = seen.given()
        return lambda: battery.see(next(number), seen.weights, memorised=True, given=given)

    return prepared


def whole_run(config: ResolvedConfig, epochs: int) -> float:
    """Processor seconds of a run from epoch 1 to the last."""
    start = 0.0
    for step in Training(replace(config, epochs=epochs)):
        step.see()
        if step.epoch == 0:  # whatever has it, has it once
            start = time.process_time()
    return time.process_time() - start


def measured_share(config: ResolvedConfig, epochs: int) -> dict[str, Any]:
    """A row of what the battery adds to a run at its default cadence, each the least of two runs in turns.

    Args:
        config: of a run without. epochs: of which the battery sees every tenth, and signals that cost more every fortieth: by
            forties their parts are those of a long run.
    """
    batteried = replace(config, signals=(plugins.EVERY,), signal_every=EVERY, costly_every=COSTLY_EVERY)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(2):
        times[False].append(whole_run(config, epochs))
        times[True].append(whole_run(batteried, epochs))
    plain, whole = min(times[False]), min(times[True])
    row = {"part": "run", "name": "epoch with the battery", "ms": 1000 * whole / epochs, "plain_ms": 1000 * plain / epochs}
    return row | {"epochs": epochs, "added_share": whole / plain - 1}


def configs(epochs: int) -> list[ResolvedConfig]:
    """The two-layer network at the paper's size, then each network of the second arm at the size of its study."""
    first = RunConfig(epochs=epochs, checkpoint_epochs=(), max_window=20, threads=1)
    alike = replace(first, modulus=59, n_train=1740, learning_rate=0.003, observe_every=0)
    return [first.resolved(), *(replace(alike, network=name).resolved() for name in SECOND_ARM)]


def of_one_epoch(config: ResolvedConfig) -> dict[str, Signal]:
    """The signals by name that a network feeds at one epoch."""
    return {name: signal for name, signal in usable(config, SIGNALS.names).items() if signal.per_epoch}


def alone(config: ResolvedConfig, signals: Mapping[str, Signal], seen: Seen) -> list[dict[str, Any]]:
    """A row per signal, each computed alone."""
    parts = {"": one_epoch(config, {}, seen)} | {name: one_epoch(config, {name: one}, seen) for name, one in signals.items()}
    of = seconds(parts)
    return [
        {"part": "signal", "name": name, "network": config.network, "cadence": one.cadence, "variants": len(one.variants)}
        | {"ms": 1000 * (of[name] - of[""])}
        for name, one in signals.items()
    ]


def second_arm(first: ResolvedConfig, others: Iterable[ResolvedConfig], epochs: int) -> list[dict[str, Any]]:
    """A row per signal that a network of a second arm feeds and that of the first does not."""
    rows, known = list[dict[str, Any]](), of_one_epoch(first)
    for config in others:
        seen, _ = trained(config, epochs)
        further = {name: signal for name, signal in of_one_epoch(config).items() if name not in known}
        rows += alone(config, further, seen)
    return rows


def measured(config: ResolvedConfig, epochs: int) -> tuple[list[dict[str, Any]], float]:
    """A row per signal, a row per battery (all, cheap, of weights alone), and seconds of a training epoch."""
    seen, each = trained(config, epochs)
    found = of_one_epoch(config)
    of_weights = {"weights", "moved", "memorised"}
    groups = {
        "all": found,
        "costly": {name: one for name, one in found.items() if one.cadence == COSTLY},
        "cheap": {name: one for name, one in found.items() if one.cadence != COSTLY},
        "weights": {name: one for name, one in found.items() if set(moving(one)) <= of_weights},
        "cheap without rho": {name: one for name, one in found.items() if one.cadence != COSTLY and name != "rho"},
    }
    rows = alone(config, found, seen)
    of = seconds({name: one_epoch(config, group, seen) for name, group in groups.items()})
    rows += [{"part": "battery", "name": name, "signals": len(groups[name]), "ms": 1000 * of[name]} for name in groups]
    return rows, each


def share(rows: list[dict[str, Any]], each: float) -> float:
    """What the battery adds to a run with observables at every tenth epoch, which has ρ already, as a share of its time."""
    of = {row["name"]: row["ms"] / 1000 for row in rows if row["part"] == "battery"}
    between = ((COSTLY_EVERY - 1) * of["cheap without rho"] + of["cheap without rho"] + of["costly"]) / COSTLY_EVERY
    return float(between / (EVERY * each))


def main() -> None:
    """Train, time, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signals", description=__doc__)
    parser.add_argument(
        "--epochs", type=int, default=40, help="trained before signals are computed; the first ten are not timed"
    )
    parser.add_argument("--run-epochs", type=int, default=80, help="of runs with the battery and without, by forties; 0: none")
    record.json_flag(parser)
    flags = parser.parse_args()
    about = record.environment(record.spelt("benchmarks.signals"))
    torch.set_num_threads(1)
    keep_freed_memory()
    epochs = max(flags.epochs, 1)
    config, *others = configs(epochs)
    rows, each = measured(config, epochs)
    rows += second_arm(config, others, epochs)
    rows.append({"part": "run", "name": "training epoch", "ms": 1000 * each, "added_share": share(rows, each)})
    if flags.run_epochs:
        rows.append(measured_share(config, flags.run_epochs))
    for row in sorted(rows, key=lambda row: -row["ms"]):
        print(f"{row['ms']:9.1f} ms  {row['part']} {row['name']} {row.get('network', '')}".rstrip())
    of = {row["name"]: row["ms"] for row in rows if row["part"] == "battery"}
    count = len({row["name"] for row in rows if row["part"] == "signal"})
    print(f"signals={count} epoch_ms={1000 * each:.1f} all_ms={of['all']:.0f} costly_ms={of['costly']:.0f}", end=" ")
    print(f"cheap_ms={of['cheap']:.0f} weights_ms={of['weights']:.1f} added_share={share(rows, each):.2f}", end="")
    print(f" measured_share={rows[-1]['added_share']:.2f}" if flags.run_epochs else "")
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main()

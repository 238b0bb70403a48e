"""CPU milliseconds of each signal and variant at one epoch of a network at the paper's size, and all of them in training steps.

`python -m benchmarks.signals [EPOCHS]` trains so many epochs (default 20), computes every signal there twice, keeps the cheaper
time, and prints a table and one line. What several signals share is told apart. Process time: whatever else the machine does
counts little. `OMP_NUM_THREADS=1` and one thread, unless set otherwise.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from grok.networks.base import Stack
from grok.recorders.signals import run_needs
from grok.runs.measure import put_weights, untrained
from grok.runs.signals import COSTLY, State, usable
from grok.signals.base import NEEDS, Signal
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import SIGNALS
from grok.training.loop import Training
from grok.training.parts import task_of

REPEATS = 2


def seconds(call: Callable[[], Any]) -> float:
    """Of processor time, the least of some calls."""
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def trained(config: ResolvedConfig, epochs: int) -> tuple[Stack, dict[str, torch.Tensor], float]:
    """The network after so many epochs, its weights an epoch before, and processor seconds of an epoch."""
    training, before = Training(config), dict[str, torch.Tensor]()
    start = time.process_time()
    for step in training:
        if step.epoch == epochs:
            break
        before = {name: layer[0].clone() for name, layer in training.weights.items()}
    each = (time.process_time() - start) / epochs
    return put_weights(untrained(config), {name: layer[0] for name, layer in training.weights.items()}), before, each


def measured(config: ResolvedConfig, epochs: int) -> tuple[dict[str, float], float]:
    """Seconds of each signal and variant, and of each shared need as `need NAME`; and of a training epoch."""
    stack, before, each = trained(config, epochs)
    signals, given, out = usable(config, SIGNALS.names), run_needs(config), dict[str, float]()

    def fresh() -> State:
        return State(config, task_of(config).problem(config), stack, before, before)

    with torch.no_grad():
        state = fresh()
        for need in ("features", "held_out_features", "gradients", "minibatch_gradients"):
            out[f"need {need}"] = seconds(lambda need=need: getattr(fresh(), need))  # type: ignore[misc]
            getattr(state, need)
        for name, signal in signals.items():
            if signal.per_epoch:
                for variant in signal.variants:
                    needs = {one: getattr(state, one) for one in signal.needs if NEEDS[one].kind == "epoch"}
                    out[f"{name} {variant}".strip()] = seconds(lambda s=signal, n=needs, v=variant: _at(s, given | n, v))  # type: ignore[misc]
    return out, each


def _at(signal: Signal, needs: dict[str, Any], variant: str) -> Any:
    """A value whose features are new, so that no Gram is kept from the call before."""
    if "features" in needs:
        needs = needs | {"features": needs["features"].clone()}
    return signal.at(needs, variant)


def main(epochs: int) -> None:
    """Train, time, print."""
    torch.set_num_threads(1)
    config = RunConfig(epochs=max(epochs, 1), checkpoint_epochs=(), observe_every=0, max_window=20, threads=1).resolved()
    found, each = measured(config, epochs)
    for name, value in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{1000 * value:9.1f} ms  {name}")
    signals = usable(config, SIGNALS.names)
    costly = {name for name, signal in signals.items() if signal.cadence == COSTLY}
    dear = found["need minibatch_gradients"] + sum(value for name, value in found.items() if name.split()[0] in costly)
    whole = sum(found.values())
    print(f"signals={len(signals)} epoch_ms={1000 * each:.1f} all_ms={1000 * whole:.0f} costly_ms={1000 * dear:.0f}", end=" ")
    print(f"ratio_every_10={whole / (10 * each):.2f} ratio_costly_every_40={((whole - dear) / 10 + dear / 40) / each:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)

"""Signals at a few epochs of one run that groks and one of each negative, at the paper's size.

Signals of one epoch's state are of seed 300. Those of a history or a window are of seed 320, which the study `signals` does not
have, so that no value of its runs is read here before they are scored.

`python -m tests.runs.paper_signals` trains all (minutes) and writes `paper_signals.json`, with `later` those of seed 320 alone;
with `check` it trains them anew and says which values have moved by more than a retrained network may.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from grok.recorders._battery import Battery, State, of_history, put_weights, usable, whole
from grok.recorders._needs import run_needs
from grok.runs.finished import untrained
from grok.runs.member import Member
from grok.signals.base import NEEDS, Signal
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import SIGNALS
from grok.training.loop import Training
from grok.training.parts import network_of, task_of

GOLDEN = Path(__file__).with_name("paper_signals.json")
EPOCHS = (0, 40, 100, 200, 400)
LATER = (0, 40, 100, 200, 300)
"""Of signals of a history or a window: a window of twenty measurements and ten of its baseline are full at 290."""
EVERY, OWN_SEED = 10, 320
RUNS: dict[str, dict[str, object]] = {
    "grok": {},
    "random_labels": {"labels": "random"},
    "random_labels, no decay": {"labels": "random", "weight_decay": 0.0},
    "data_starved": {"n_train": 504},
    "eta0": {"weight_decay": 0.0},
    "weak decay": {"weight_decay": 1e-5},
}
TOLERANCE = {"eta0": 5e-3, "random_labels, no decay": 5e-3}
"""Relative difference of a retrained network, by run; 5e-4 for the others."""
UNDECIDABLE = ("commutator", "gradient_norm", "topology", "gap", "hankel_dmd")
"""To rounding, over a whole run."""


def values(config: ResolvedConfig) -> dict[str, list[float | None]]:
    """By `signal/variant` of each signal of one epoch without a history of values, what it is at `EPOCHS`."""
    torch.set_num_threads(1)
    signals = {name: one for name, one in usable(config, SIGNALS.names).items() if one.per_epoch and one.over is None}
    training, out = Training(config), dict[str, list[float | None]]()
    stack, given, kept = untrained(config), run_needs(config), None
    for step in training:
        here = {name: layer[0].clone() for name, layer in training.weights.items()}
        if kept is None and step.train_accuracy >= 0.99:
            kept = here
        if step.epoch in EPOCHS:
            with torch.no_grad():
                state = State(config, task_of(config).problem(config), put_weights(stack, here), kept)
                for name, signal in signals.items():
                    for variant in signal.variants:
                        found = float(signal.at(given | _needs(signal, state), variant))
                        out.setdefault(f"{name}/{variant}", []).append(None if math.isnan(found) else float(f"{found:.9g}"))
    return out


def later(config: ResolvedConfig) -> dict[str, list[float | None]]:
    """By `signal/variant` of each signal of a history or a window, what it is at `LATER`, measured at every tenth epoch."""
    torch.set_num_threads(1)
    every = usable(config, SIGNALS.names)
    signals = {name: one for name, one in every.items() if one.over is not None or not one.per_epoch}
    training, kept = Training(config), False
    member, layer = Member(training, 0), next(iter(training.weights))
    battery = Battery(config, network_of(config), task_of(config), signals)
    for step in training:
        member.add(step, step.scores[0].numpy())
        kept |= step.train_accuracy >= 0.99
        if step.epoch % EVERY == 0:
            battery.see(step.epoch, {name: one[0] for name, one in training.weights.items()}, memorised=kept)
        if training.block_complete or step.epoch == config.epochs:
            member.extend()
    history, band = member.run.frame(), training.updates_of(0).band(layer)[: config.epochs]
    table = whole([battery.table(), of_history(signals, history, layer, band, run_needs(config))])
    out = dict[str, list[float | None]]()
    for (name, variant), rows in table.groupby(["signal", "variant"]):
        found = rows.set_index("epoch")["value"]
        out[f"{name}/{variant}"] = [None if math.isnan(found[epoch]) else float(f"{found[epoch]:.9g}") for epoch in LATER]
    return out


def _needs(signal: Signal, state: State) -> dict[str, object]:
    return {need: getattr(state, need) for need in signal.needs if NEEDS[need].kind == "epoch"}


def run(name: str) -> ResolvedConfig:
    """The config of a run, on one thread."""
    settings = RUNS[name] | {"epochs": EPOCHS[-1], "checkpoint_epochs": (), "observe_every": 0, "max_window": 20, "seed": 300}
    return RunConfig(**settings | {"threads": 1, "device": "cpu"}).resolved()  # type: ignore[arg-type]


def run_later(name: str) -> ResolvedConfig:
    """The same of another seed, as long as `LATER`."""
    return replace(run(name), epochs=LATER[-1], seed=OWN_SEED)


def moved(name: str, golden: dict[str, list[float | None]], found: dict[str, list[float | None]]) -> list[str]:
    """The keys of a run whose values differ by more than a retrained network may."""
    out = []
    for key, expected in golden.items():
        if key.split("/")[0] in UNDECIDABLE:
            continue
        width = TOLERANCE.get(name.removesuffix(f", seed {OWN_SEED}"), 5e-4)
        pair = [np.array([np.nan if one is None else one for one in values]) for values in (expected, found.get(key, []))]
        if len(pair[0]) != len(pair[1]) or not np.allclose(*pair, rtol=width, atol=1e-9, equal_nan=True):
            out.append(key)
    return out


def main(arguments: list[str]) -> int:
    """Write the golden file, or hold it against runs that are trained anew."""
    old = json.loads(GOLDEN.read_text(encoding="utf-8")) if arguments == ["later"] else {}
    found = {name: old[name] if old else values(run(name)) for name in RUNS}
    found |= {f"{name}, seed {OWN_SEED}": later(run_later(name)) for name in RUNS}
    if arguments != ["check"]:
        lines = [
            f"  {json.dumps(name)}: {{\n"
            + ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(rows.items()))
            + "\n  }"
            for name, rows in found.items()
        ]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        print(f"out={GOLDEN.name} runs={len(found)}")
        return 0
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    bad = {name: moved(name, golden[name], found[name]) for name in golden}
    for name, keys in bad.items():
        if keys:
            print(f"{name}: {', '.join(keys)}", file=sys.stderr)
    print(f"runs={len(found)} moved={sum(map(len, bad.values()))}")
    return 1 if any(bad.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Signals at epochs 0, 40, 100, 200 and 400 of one run that groks and one of each negative, at the paper's size.

`python -m tests.runs.paper_signals` trains them (minutes) and writes `paper_signals.json`; `python -m tests.runs.paper_signals
check` trains them anew and says which values have moved by more than a retrained network may.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch

from grok.recorders._battery import State, put_weights, usable
from grok.recorders._needs import run_needs
from grok.runs.measure import untrained
from grok.signals.base import NEEDS, Signal
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import SIGNALS
from grok.training.loop import Training
from grok.training.parts import task_of

GOLDEN = Path(__file__).with_name("paper_signals.json")
EPOCHS = (0, 40, 100, 200, 400)
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
UNDECIDABLE = ("commutator", "gradient_norm", "topology")
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


def _needs(signal: Signal, state: State) -> dict[str, object]:
    return {need: getattr(state, need) for need in signal.needs if NEEDS[need].kind == "epoch"}


def run(name: str) -> ResolvedConfig:
    """The config of a run, on one thread."""
    settings = RUNS[name] | {"epochs": EPOCHS[-1], "checkpoint_epochs": (), "observe_every": 0, "max_window": 20, "seed": 300}
    return RunConfig(**settings | {"threads": 1, "device": "cpu"}).resolved()  # type: ignore[arg-type]


def moved(name: str, golden: dict[str, list[float | None]], found: dict[str, list[float | None]]) -> list[str]:
    """The keys of a run whose values differ by more than a retrained network may."""
    out = []
    for key, expected in golden.items():
        if key.split("/")[0] in UNDECIDABLE:
            continue
        pair = [np.array([np.nan if one is None else one for one in values]) for values in (expected, found.get(key, []))]
        if len(pair[0]) != len(pair[1]) or not np.allclose(*pair, rtol=TOLERANCE.get(name, 5e-4), atol=1e-9, equal_nan=True):
            out.append(key)
    return out


def main(arguments: list[str]) -> int:
    """Write the golden file, or hold it against runs that are trained anew."""
    found = {name: values(run(name)) for name in RUNS}
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

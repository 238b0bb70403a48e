"""What is equal and what drifts when a run is trained otherwise: `python -m benchmarks.determinism --seeds 15`.

Each way trains the same seeds in a process of its own and in memory; what comes of it is held against the default way, one seed
at a time on one thread: are the bytes of scores, band and weights the same, from which epoch on are they not, how far apart do
the weights end, and by how much do the epochs differ that a paper would print. The rule is fixed: `equal` is the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from grok.spec.config import RunConfig

BASE: dict[str, Any] = {"threads": 1}
AGAIN = "again"
"""The way that is the first once more: whether these are equal is what the exit status tells."""
WAYS: dict[str, dict[str, Any]] = {
    "default, one thread": {},
    AGAIN: {},
    "two threads": {"threads": 2},
    "onednn-256-1": {"rounding": "onednn-256-1", "threads": None},
    "onednn-256-1-reversed": {"rounding": "onednn-256-1-reversed", "threads": None},
    "onednn-512-2": {"rounding": "onednn-512-2", "threads": None},
    "mkl-256-1": {"rounding": "mkl-256-1", "threads": None},
    "lockstep": {"lockstep": True},
    "lockstep, two threads": {"lockstep": True, "threads": 2},
}
"""What differs from `BASE`. The first is what the others are held against; the second must equal it."""
EPOCHS = ("fire_epoch", "test_50_epoch", "test_99_epoch")
"""Summary metrics whose spread is told."""


def train(config: RunConfig, seeds: list[int], lockstep: bool, path: Path) -> None:
    """Train seeds one after the other, or in lockstep, and leave per seed: scores, band, weights, summary."""
    from grok.runs.member import Member
    from grok.training.loop import Training

    kept: dict[str, np.ndarray] = {}
    for group in [seeds] if lockstep else [[seed] for seed in seeds]:
        training = Training(config, group)
        members, rows = [Member(training, i) for i in range(len(group))], []
        for step in training:
            step.see()
            rows.append(step.scores.cpu().numpy().copy())
            for i, member in enumerate(members):
                member.add(step, rows[-1][i])
            if step.epoch == config.epochs or training.block_complete:
                for member in members:
                    member.extend()
        for i, (seed, member) in enumerate(zip(group, members, strict=True)):
            kept[f"{seed}/scores"] = np.stack([row[i] for row in rows])
            for layer, weights in training.weights.items():
                kept[f"{seed}/weights/{layer}"] = weights[i].cpu().numpy()
                kept[f"{seed}/band/{layer}"] = training.updates[layer].band()[i]
            summary = member.summary()
            kept[f"{seed}/epochs"] = np.array([summary.get(name, np.nan) for name in EPOCHS])
    np.savez(path, **kept)  # type: ignore[arg-type]


def held_against(first: dict[str, np.ndarray], other: dict[str, np.ndarray], seeds: list[int]) -> dict[str, Any]:
    """One way against the first, over the seeds."""
    equal, since, apart, moved = [], [], [], []
    for seed in seeds:
        names = [name for name in first if name.startswith(f"{seed}/")]
        equal.append(all(first[name].tobytes() == other[name].tobytes() for name in names))
        rows = (first[f"{seed}/scores"] != other[f"{seed}/scores"]).any(axis=1)
        since.append(float(np.argmax(rows)) if rows.any() else np.nan)
        pairs = [(first[name], other[name]) for name in names if "/weights/" in name]
        apart.append(max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in pairs))
        moved.append(np.abs(first[f"{seed}/epochs"] - other[f"{seed}/epochs"]))
    changed = np.array(moved)
    return {
        "equal": int(sum(equal)),
        "seeds": len(seeds),
        "first_epoch_of_difference": [None if np.isnan(epoch) else int(epoch) for epoch in since],
        "relative_distance_of_weights": {"median": float(np.median(apart)), "largest": float(np.max(apart))},
        "epochs_moved_at_most": {
            name: None if np.isnan(column).all() else float(np.nanmax(column))
            for name, column in zip(EPOCHS, changed.T, strict=True)
        },
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """A row per way."""
    head = "| way | equal | differs from epoch (earliest) | weights apart, median (largest) | fire epoch moved by at most |"
    lines = [head, "|---|---|---|---|---|"]
    for way, one in found.items():
        since = [epoch for epoch in one["first_epoch_of_difference"] if epoch is not None]
        apart = one["relative_distance_of_weights"]
        moved = one["epochs_moved_at_most"]["fire_epoch"]
        lines.append(
            f"| {way} | {one['equal']} of {one['seeds']} | {min(since) if since else '–'} | {apart['median']:.1e} "
            f"({apart['largest']:.1e}) | {'–' if moved is None else f'{moved:g}'} |"
        )
    return "\n".join(lines)


def asked(ways: Sequence[str] | None) -> list[str]:
    """The ways to train: the first and the same again always, of the others those that are named, or all."""
    first, *others = WAYS
    return [first, AGAIN, *(way for way in dict.fromkeys(ways or others) if way != AGAIN)]


def main(arguments: list[str]) -> int:
    """Train, compare, write; exit status 1 if the same way twice gave other bytes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.determinism", description=__doc__)
    parser.add_argument("--seeds", type=int, default=15, help="how many, from 0 on")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the config; may be repeated")
    parser.add_argument("--way", action="append", choices=list(WAYS)[1:], help="this way and again only; may be repeated")
    record.json_flag(parser)
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    seeds = list(range(flags.seeds))
    base = RunConfig.from_strings(dict(text.split("=", 1) for text in flags.set))
    if flags.child:
        changes = BASE | WAYS[flags.child[0]]
        lockstep = bool(changes.pop("lockstep", False))
        train(replace(base, **changes).resolved(), seeds, lockstep, Path(flags.child[1]))
        return 0
    ways = asked(flags.way)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        first: dict[str, np.ndarray] = {}
        for way in ways:
            path = Path(folder) / "way.npz"
            words = [sys.executable, "-m", "benchmarks.determinism", *arguments, "--child", way, str(path)]
            subprocess.run(words, check=True, env=os.environ | {"OMP_NUM_THREADS": "2"})
            with np.load(path) as arrays:
                arrived = dict(arrays)
            if first:
                found[way] = held_against(first, arrived, seeds)
                print(json.dumps({way: found[way]}), file=sys.stderr, flush=True)
            first = first or arrived
    print(table(found))
    if flags.json:
        about = record.environment(record.spelt("benchmarks.determinism"))
        record.write(flags.json, about, [{"way": way, **one} for way, one in found.items()])
    return int(found[AGAIN]["equal"] < len(seeds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

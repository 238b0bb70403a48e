"""Many settings tried on the runs of an activation, each once: where they fire and on which runs they detect.

Shapes: S settings, R runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from analysis.sensitivity.judge import Judge
from analysis.sensitivity.objectives import enough, few

EVERY = "every"
"""Stands among control sets for each of them by itself."""
BLOCK = 200
"""Resamples at once: bounds the memory."""
STEP = 64
"""Settings between two reports."""


class Tried(NamedTuple):
    """Settings and what they did on each run.

    Attributes:
        settings: S of them, in order.
        seeds: by condition, `grok` and the controls, (R,) int64.
        fired: by condition, (S, R) bool: whether it fires at all.
        detected: by condition, (S, R) bool: whether it fires later than the first epoch at which it may. A firing at
            that epoch was true before the detector looked.
    """

    settings: list[dict[str, Any]]
    seeds: dict[str, np.ndarray]
    fired: dict[str, np.ndarray]
    detected: dict[str, np.ndarray]

    @property
    def controls(self) -> list[str]:
        """The control conditions."""
        return [name for name in self.fired if name != "grok"]

    def sets(self) -> dict[str, list[str]]:
        """The conditions of each control set: each by itself, then `all` of them pooled where there are several."""
        return {name: [name] for name in self.controls} | ({"all": self.controls} if len(self.controls) > 1 else {})

    def least_seeds(self) -> int:
        """Of the condition that has the fewest."""
        return min(len(set(own.tolist())) for own in self.seeds.values())

    def holds(self) -> dict[str, np.ndarray]:
        """(S,) bool by control set, and by `every`: at least 14/15 of the grokking runs are detected, at most 1/15 of the
        control runs fire; `every` is true where that is so of each control condition by itself.
        """
        grok = self.detected["grok"]
        true = np.array([enough(int(count), grok.shape[1]) for count in grok.sum(axis=1)], dtype=bool)
        silent = {name: _few(self.fired, own) for name, own in self.sets().items()}
        out = {name: true & found for name, found in silent.items()}
        return out | {EVERY: np.logical_and.reduce([true, *(silent[name] for name in self.controls)])}

    def resampled(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """(count,) float64 by control set and `every`: the share of settings that hold when seeds are drawn again.

        A seed is drawn with all of its runs, in every condition. Seeds that have runs of the same conditions are drawn among
        themselves, so that every resample has as many runs of each condition as there are.

        Args:
            count: resamples. seed: of the draws.
        """
        every = sorted({int(one) for own in self.seeds.values() for one in own})
        patterns: dict[tuple[bool, ...], list[int]] = {}
        for place, one in enumerate(every):
            patterns.setdefault(tuple(one in own for own in self.seeds.values()), []).append(place)
        rng = np.random.default_rng(seed)
        weights = np.zeros((count, len(every)), dtype=np.int64)
        for places in patterns.values():
            drawn = rng.integers(0, len(places), (count, len(places)))
            for row, picks in zip(weights, drawn, strict=True):
                np.add.at(row, np.array(places)[picks], 1)
        at = {name: np.searchsorted(every, own) for name, own in self.seeds.items()}
        parts = [self._shares(weights[start : start + BLOCK], at) for start in range(0, count, BLOCK)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _shares(self, weights: np.ndarray, at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Shares that hold under some draws, (B, seeds) int64 of how often each seed is drawn."""
        grok = self.detected["grok"]
        true = 15 * (grok @ weights[:, at["grok"]].T) >= 14 * grok.shape[1]
        counts = {name: self.fired[name] @ weights[:, at[name]].T for name in self.controls}
        silent = {
            name: 15 * np.sum([counts[one] for one in own], axis=0) <= sum(self.fired[one].shape[1] for one in own)
            for name, own in self.sets().items()
        }
        out = {name: (true & found).mean(axis=0) for name, found in silent.items()}
        return out | {EVERY: np.logical_and.reduce([true, *(silent[name] for name in self.controls)]).mean(axis=0)}


def try_all(judge: Judge, settings: Sequence[dict[str, Any]], report: Callable[[int], None] = lambda count: None) -> Tried:
    """Try settings on all of a judge's runs.

    Args:
        judge: whose runs. settings: to try, in order. report: told how many were tried, now and then.
    """
    conditions = ("grok", *judge.controls)
    method = settings[0]["method"]
    fired: dict[str, list[np.ndarray]] = {name: [] for name in conditions}
    detected: dict[str, list[np.ndarray]] = {name: [] for name in conditions}
    for number, setting in enumerate(settings):
        epochs = judge.fires(setting)
        for name in conditions:
            fired[name].append(np.isfinite(epochs[name]))
            detected[name].append(epochs[name] > judge.earliest(setting, name))
        if number % STEP == STEP - 1:
            report(number + 1)
    return Tried(
        list(settings),
        {name: judge.seeds(name, method) for name in conditions},
        {name: np.array(rows, dtype=bool) for name, rows in fired.items()},
        {name: np.array(rows, dtype=bool) for name, rows in detected.items()},
    )


def _few(fired: dict[str, np.ndarray], conditions: Sequence[str]) -> np.ndarray:
    n = sum(fired[name].shape[1] for name in conditions)
    counts = sum(fired[name].sum(axis=1) for name in conditions)
    return np.array([few(int(count), n) for count in np.asarray(counts)], dtype=bool)

"""Norm, rank and Gini rules on curves that others released: a folder of `.npz` files, a configuration each, all seeds in one.

Layout of ClevixLab/critical-norm-grokking: `data/EXPERIMENT/metrics/*.npz` with `steps` (T,), `test_acc`, `train_acc`,
`weight_norm`, `eff_rank_E`, `fourier_gini` (S, T), and the scalars `p`, `alpha`, `lam`, `lr`. Other keys are not read.

Shapes: S seeds, T logged steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.statistics.alarm_scores import Score, alarms, score
from analysis.statistics.alarm_words import verdict
from analysis.statistics.alarms import Watched, crossed
from grok.numerics import passage
from grok.spec.fields import ConfigError, shown

CURVES = ("test_acc", "train_acc", "weight_norm", "eff_rank_E", "fourier_gini")
SCALARS = ("p", "alpha", "lam", "lr")
NEVER = 0.3
"""Test accuracy below which a run stays that does not grok."""
GROKKED = 0.9
"""Test accuracy from which it does."""
SIGNALS: dict[str, tuple[str, float]] = {
    "clock": ("steps", 1.0),
    "weight_norm": ("weight_norm", -1.0),
    "norm_peak": ("weight_norm", 1.0),
    "effective_rank": ("eff_rank_E", -1.0),
    "gini": ("fourier_gini", 1.0),
}
"""By name the curve that it reads, and the sign with which high announces."""


class Released(NamedTuple):
    """One seed of one configuration.

    Attributes:
        run: its events, without a series. memorised: first logged step with a training accuracy ≥ 0.99, NaN if none.
        curves: (T,) by name; of `steps` too.
    """

    run: Watched
    memorised: float
    curves: dict[str, np.ndarray]


def load(folder: Path) -> list[Released]:
    """The runs of every `.npz` below a folder that has these curves; what neither groks nor stays below 0.3 is left out.

    Raises:
        ConfigError: if the folder has no such file, or one has curves of another length than its steps.
    """
    found: list[Released] = []
    for path in sorted(folder.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            if not {"steps", *CURVES, *SCALARS} <= set(arrays.files):
                continue
            held = {name: np.asarray(arrays[name], dtype=np.float64) for name in ("steps", *CURVES, *SCALARS)}
        if any(held[name].ndim != 2 or held[name].shape[1:] != held["steps"].shape for name in CURVES):
            raise ConfigError(f"curves must be seeds by steps, got others in {shown(path)}. Check the download.")
        found += _seeds(held)
    if not found:
        names = ", ".join(("steps", *CURVES))
        raise ConfigError(f"released must be a folder with .npz files of {names}, got {shown(folder)} without one. Check it.")
    return found


def _seeds(held: dict[str, np.ndarray]) -> Iterable[Released]:
    steps = held["steps"]
    for seed in range(len(held["test_acc"])):
        curves = {name: held[name][seed] for name in CURVES} | {"steps": steps}
        accuracy = curves["test_acc"]

        def first(values: np.ndarray, level: float) -> float:
            return float(steps[np.argmax(values >= level)]) if (values >= level).any() else math.nan

        t10, t50, t90 = (first(accuracy, level) for level in (0.1, 0.5, GROKKED))
        positive = not math.isnan(t90)
        if not positive and np.nanmax(accuracy) >= NEVER:
            continue
        control = "" if positive else f"p = {held['p']:.0f}, {held['alpha']:.2f} of the pairs"
        decayed, blank = bool(held["lam"] > 0), np.array([])
        run = Watched(seed, positive, control, decayed, t10, t50, first(accuracy, 0.99), blank, blank)
        yield Released(run, first(curves["train_acc"], 0.99), curves)


def watch(one: Released, name: str) -> Watched:
    """A run with a signal's series, oriented so that high announces."""
    curve, sign = SIGNALS[name]
    values = one.curves[curve]
    if name == "norm_peak":
        values = passage.below_peak(values[:, None])
    return one.run._replace(epochs=one.curves["steps"], values=sign * values)


def board(runs: list[Released]) -> pd.DataFrame:
    """A row per signal: thresholds from even seeds, told on odd ones, by the rules of the leaderboard.

    Returns:
        signal, verdict, threshold, tpr, fpr, worst_set, worst_fpr, lead_t50, auroc, positives, negatives.
    """
    rows, seeds = [], sorted({one.run.seed for one in runs})
    halves = [seed for seed in seeds if seed % 2 == 0], [seed for seed in seeds if seed % 2]
    for name in SIGNALS:
        watched = [watch(one, name) for one in runs]
        told = [run for run in watched if run.seed % 2]
        level = crossed(told[:1], watched, halves)
        rows.append(_row(name, score(told, alarms(told, watched, halves)), level[0] if level else math.nan))
    return pd.DataFrame(rows)


def _row(name: str, found: Score, threshold: float) -> dict[str, object]:
    worst = found.sets.get(found.worst)
    return {
        "signal": name,
        "verdict": verdict(found),
        "threshold": threshold,
        "tpr": found.tpr.value,
        "fpr": found.fpr.value,
        "worst_set": found.worst,
        "worst_fpr": worst.share.value if worst else math.nan,
        "lead_t50": found.leads["t50"].value,
        "auroc": found.area.value,
        "positives": found.tpr.n,
        "negatives": found.fpr.n,
    }

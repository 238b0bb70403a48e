"""Norm, rank and Gini rules on curves that others released: a folder of `.npz` files, a configuration each, all seeds in one.

Layout of ClevixLab/critical-norm-grokking: `data/EXPERIMENT/metrics/*.npz` with `steps` (T,), `test_acc`, `train_acc`,
`weight_norm`, `eff_rank_E`, `fourier_gini` (S, T), and the scalars `p`, `alpha`, `lam`, `lr`. Other keys are not read.

Shapes: S seeds, T logged steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.statistics.alarm_scores import Score, alarms, score
from analysis.statistics.alarm_words import verdict
from analysis.statistics.alarms import Watched, crossed
from grok.numerics import passage
from grok.spec.fields import ConfigError, shown
from grok.spec.limited import load_arrays

CURVES = ("test_acc", "train_acc", "weight_norm", "eff_rank_E", "fourier_gini")
SCALARS = ("p", "alpha", "lam", "lr")
MOST_BYTES = 1 << 29
"""Of memory that a file may ask for; those released have some MB."""
CHECK = "Check the download"
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
        held = _read(path)
        if held is None:
            continue
        seeds = len(held["test_acc"]) if held["test_acc"].ndim else 0
        if held["steps"].ndim != 1 or any(held[name].shape != (seeds, len(held["steps"])) for name in CURVES):
            raise ConfigError(f"curves must be seeds by steps, got others in {shown(path)}. Check the download.")
        if any(held[name].size != 1 for name in SCALARS) or not seeds or not len(held["steps"]):
            raise ConfigError(f"{', '.join(SCALARS)} must be numbers beside curves, got others in {shown(path)}. {CHECK}.")
        known = np.isfinite(held["test_acc"]).any(axis=1).all()  # of each seed, somewhere
        if not known or not all(np.isfinite(held[name]).all() for name in ("steps", *SCALARS)):
            told = f"steps, accuracies and {', '.join(SCALARS)} must be finite, got others in {shown(path)}"
            raise ConfigError(f"{told}. {CHECK}.")
        found += _seeds(held | {name: held[name].reshape(()) for name in SCALARS})
    if not found:
        names = ", ".join(("steps", *CURVES))
        raise ConfigError(f"released must be a folder with .npz files of {names}, got {shown(folder)} without one. Check it.")
    return found


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file that has them all; None of another's.

    Raises:
        ConfigError: if it is no file of plain arrays, or unfolds to more than is read.
    """
    try:
        names = ("steps", *CURVES, *SCALARS)
        arrays = load_arrays(path, MOST_BYTES, names)
        return {name: np.asarray(arrays[name], dtype=np.float64) for name in names} if set(names) <= set(arrays) else None
    except (ValueError, OSError) as error:
        why = str(error).replace(str(path), path.name)[:120]
        raise ConfigError(f"released must have whole .npz files, got {shown(path)} ({why}). {CHECK}.") from error


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
        with np.errstate(all="ignore"):  # a norm of 0, or beyond all numbers, has no share of its peak: it is not known
            values = passage.below_peak(values[:, None])
    return replace(one.run, epochs=one.curves["steps"], values=sign * values)


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

"""What the second reader counts with, written anew: a bundle's runs and histories, the detector, events, and statistics.

Nothing of the project is imported. Sources: docs/bundle.md; Xu (arXiv 2605.08119) for the detector. A gap is λ₂/λ₃ of ΔW,
dimensionless; T epochs, S seeds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pyarrow.parquet import read_schema
from scipy import stats

Array = NDArray[np.float64]
GAP, RHO, TRAIN, TEST = "delta_w/gap_23", "features/rho", "accuracy/train", "accuracy/test"
LAMBDA_2, LAMBDA_3, PUBLISHED = "delta_w/lambda_2", "delta_w/lambda_3", "repulsion/published_estimator"
STORED = ("fire_epoch", "fired", "test_50_epoch", "test_99_epoch", "late_gap_23")
COLUMNS = (GAP, RHO, TRAIN, TEST, LAMBDA_2, LAMBDA_3, PUBLISHED)


# ---------------------------------------------------------------- what is in a bundle
@dataclass(frozen=True)
class Bundle:
    """What is read of a bundle.

    Attributes:
        folder: of the bundle. runs: training runs by id. histories: by run, rows by epoch. stored: last values, runs × metrics.
    """

    folder: Path
    runs: dict[str, dict[str, Any]]
    histories: dict[str, pd.DataFrame]
    stored: pd.DataFrame

    def of(self, study: str, group: str, **params: str) -> dict[int, str]:
        """The ids of a group's complete runs by seed, in order of seeds; of two with one config the newest."""
        found: dict[int, dict[str, Any]] = {}
        for run in self.runs.values():
            here = run["tags"].get(f"grok.study.{study}") == group and run["tags"]["grok.state"] == "complete"
            if not here or any(run["params"][name] != value for name, value in params.items()):
                continue
            other = found.setdefault(int(run["params"]["seed"]), run)
            if other["params"] != run["params"]:
                raise ValueError(f"{study}, {group}: runs {other['run_id']} and {run['run_id']} share a seed but no config")
            found[int(run["params"]["seed"])] = max(other, run, key=lambda each: each["end_time"])
        if not found:
            raise LookupError(f"runs of {study}, {group}")
        return {seed: found[seed]["run_id"] for seed in sorted(found)}

    def under(self, rounding: str, study: str, group: str, activation: str) -> list[str]:
        """The runs of a group under a rounding, by seed: `default` are the study's own, others those of study rounding."""
        if rounding == "default":
            return list(self.of(study, group, activation=activation).values())
        precision, _, library = rounding.rpartition(" ")
        group = f"{group}, {precision}" if precision else group
        params = {"activation": activation, "rounding": library, "precision": precision or "float32"}
        return list(self.of("rounding", group, **params).values())

    def column(self, run_id: str, name: str) -> pd.Series[float]:
        """A column of a history, by epoch; refused where it stayed behind."""
        values = self.histories[run_id][name]
        if values.isna().all():
            raise LookupError(f"{name} of run {run_id}")
        return values

    def gap(self, run_id: str) -> Array:
        """(T+1,) the gap."""
        return np.asarray(self.column(run_id, GAP), dtype=float)


def read(folder: Path) -> Bundle:
    """Read a bundle's runs, histories and stored metrics; a column that stayed behind is empty."""
    runs = {run["run_id"]: run for run in json.loads((folder / "runs.json").read_text(encoding="utf-8"))["runs"]}
    runs = {run_id: run for run_id, run in runs.items() if run["tags"].get("grok.kind") == "train"}
    table = folder / "tables" / "history.parquet"
    there = [name for name in COLUMNS if name in read_schema(table).names]
    rows = pd.read_parquet(table, columns=["run_id", "epoch", *there])
    rows = rows.set_index("epoch").sort_index(kind="stable")
    histories = {str(run_id): part.reindex(columns=list(COLUMNS)) for run_id, part in rows.groupby("run_id")}
    metrics = pd.read_parquet(folder / "metrics.parquet", filters=[("key", "in", STORED)])
    return Bundle(folder, runs, histories, metrics.pivot(index="run_id", columns="key", values="value"))


# ---------------------------------------------------------------- detector and events
def fire(gap: ArrayLike, lag: int = 25, threshold: float = 0.04, first: int = 100) -> int | None:
    """The slope detector: min{t ≥ first : [log gap(t) − log gap(t − lag)] / lag > threshold}, or None; gap (T+1,) by epoch."""
    logs = np.log(np.clip(np.asarray(gap, dtype=float), 1e-6, None))
    slopes = (logs[lag:] - logs[:-lag]) / lag
    epochs = np.flatnonzero(slopes > threshold) + lag
    return next((int(epoch) for epoch in epochs if epoch >= first), None)


def reached(series: pd.Series[float], level: float) -> int | None:
    """The first epoch at which a series by epoch is at least at a level, or None."""
    return next((int(epoch) for epoch in series.index[series >= level]), None)


def late(gap: Array) -> float:
    """The late gap: the median over epochs 200 … 400."""
    return float(np.median(gap[200:401]))


# ---------------------------------------------------------------- statistics and their words
def middle(values: ArrayLike) -> tuple[float, float, float]:
    """A median with its exact 95 % interval between two order statistics; the range where S is too small for one."""
    x = np.sort(np.asarray(values, dtype=float))
    n, k = len(x), 1
    while k + 1 < n / 2 and 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n <= 0.05:
        k += 1
    return float(np.median(x)), float(x[k - 1]), float(x[n - k])


def share(k: int, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """A share k/n with its two-sided exact interval (Clopper and Pearson 1934)."""
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(stats.beta.ppf(tail, k, n - k + 1))
    return k / n, low, 1.0 if k == n else float(stats.beta.ppf(1 - tail, k + 1, n - k))


def flip(differences: ArrayLike) -> float:
    """The p of the exact two-sided sign-flip test of a mean, over all 2^S signs."""
    sums = np.zeros(1)
    for value in np.asarray(differences, dtype=float):
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= abs(np.sum(differences)) - 1e-9).mean())


def line(x: Array, y: Array) -> Array:
    """Slope, intercept and R² of y on x by least squares."""
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    rest = y - y.mean() - slope * (x - x.mean())
    return np.array([slope, y.mean() - slope * x.mean(), 1 - (rest**2).sum() / ((y - y.mean()) ** 2).sum()])


def digits(value: float) -> str:
    """Three digits; what is zero but for rounding is 0."""
    return f"{round(value, 12):.3g}"


def words(estimate: Sequence[float]) -> str:
    """Value and interval."""
    return f"{digits(estimate[0])} [{digits(estimate[1])}, {digits(estimate[2])}]"


# ---------------------------------------------------------------- what runs say of themselves
def stored_differs(bundle: Bundle) -> tuple[int, list[str]]:
    """Hold what each finished run stored against its history, wherever that has the gap.

    Fire epoch by the run's own lag, threshold and first epoch; whether it fired; the first epochs of test accuracy 0.5
    and 0.99; the late gap where the run is long enough; and the gap against λ₂/λ₃, where these are there.

    Returns:
        How many runs were held, and a line for each difference.
    """
    held, differ = 0, []
    for run_id, run in bundle.runs.items():
        history, params = bundle.histories.get(run_id), run["params"]
        finished = run["tags"]["grok.state"] in ("complete", "diverged") and params["detector"] == "slope"
        if not finished or history is None or history[GAP].isna().all():
            continue
        held += 1
        gap, known = history[GAP].to_numpy(), bundle.stored.loc[run_id]
        fired = fire(gap, int(params["slope_lag"]), float(params["slope_threshold"]), int(params["first_epoch"]))
        ours = {"fire_epoch": fired, "fired": float(fired is not None)}
        ours |= {f"test_{level}_epoch": reached(history[TEST], level / 100) for level in (50, 99)}
        ours |= {"late_gap_23": late(gap)} if len(gap) > 400 else {}
        for name, value in ours.items():
            if not np.isclose(np.nan if value is None else value, known[name], rtol=1e-9, atol=0, equal_nan=True):
                differ.append(f"{run_id}: {name} {known[name]} stored, {value} from the history")
        if not np.array_equal(history.index, np.arange(len(gap))):
            differ.append(f"{run_id}: epochs are not 0 … {len(gap) - 1}")
        there = history[LAMBDA_3].notna()
        ratio = history[LAMBDA_2] / history[LAMBDA_3]
        if not np.allclose(ratio[there], history[GAP][there], rtol=1e-9, atol=0, equal_nan=True):
            differ.append(f"{run_id}: the gap is not λ₂/λ₃")
    return held, differ

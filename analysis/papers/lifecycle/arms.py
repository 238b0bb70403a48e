"""The lifecycle's conditions with weight decay: when grad% falls and rises in each, over N and W, and how long it is low."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.reading import (
    DYCK,
    HALF,
    PUBLISHED_N,
    PUBLISHED_W,
    SCALE,
    flip_of,
    grok_step,
)
from analysis.words import number
from grok.runs.edge_shares import INTERVALS, ROWS
from grok.store.errors import StoreError

ARMS: tuple[tuple[str, str], ...] = (
    (DYCK, "grok"),
    (DYCK, "prefix"),
    (DYCK, "random"),
    (SCALE, "scale_quarter"),
    (SCALE, "scale_4"),
    (SCALE, "decay_half"),
    (SCALE, "decay_2"),
    (SCALE, "rate_half"),
    (SCALE, "rate_2"),
)
"""Study and condition of the rows of the table, all with weight decay."""
THRESHOLDS = (0.95, 0.98, 0.99)
MOST = 0.8
"""Of seeds: four of five."""
EVENTS = [
    "study",
    "condition",
    "seed",
    "run_id",
    "every",
    "rows",
    "falls",
    "rises",
    "crossings",
    "eta_omega",
    "grok_95",
    "grok_98",
    "grok_99",
]


class Stretch(NamedTuple):
    """The longest run of full windows with grad% below one half, of the published N and W.

    Attributes:
        first: grad% of the first full window. begins, ends: steps of its first and last window, NaN where there is none.
        initial: median cos²(v₁, θ_0) in it.
    """

    first: float
    begins: float
    ends: float
    initial: float


class Arm(NamedTuple):
    """A condition in the published window: a row per run as `EVENTS` has it."""

    study: str
    condition: str
    table: pd.DataFrame

    @property
    def falls(self) -> np.ndarray:
        """Steps, NaN where it never falls."""
        return self.table["falls"].to_numpy(dtype=np.float64)

    @property
    def dimensionless(self) -> np.ndarray:
        """ηωt of the fall."""
        return np.asarray(self.falls * self.table["eta_omega"].to_numpy(dtype=np.float64))


def events(sources: Sources, study: str, condition: str, every: int = PUBLISHED_N, size: int = PUBLISHED_W) -> Arm:
    """When grad% falls and rises in each run of a condition.

    Raises:
        Absent: if the runs are not there.
    """
    rows = []
    for run in sources.take(study, condition=condition).to_dict("records"):
        run_id = run["run_id"]
        found = flip_of(sources, run_id, every, size)
        groks = [grok_step(sources, run_id, level) for level in THRESHOLDS]
        pace = float(run["learning_rate"]) * float(run["weight_decay"])
        rows.append(
            [study, condition, int(run["seed"]), run_id, every, size, found.falls, found.rises, found.crossings, pace, *groks]
        )
    return Arm(study, condition, pd.DataFrame(rows, columns=EVENTS))


def stretch(history: pd.DataFrame) -> Stretch:
    """Of a run's history, with its `step`, `edge/grad_share` and `edge/cos2_theta_0` by window."""
    part = history[(history["step"] >= PUBLISHED_N * PUBLISHED_W) & (history["step"] % PUBLISHED_N == 0)]
    part = part.dropna(subset=["edge/grad_share"])
    below = (part["edge/grad_share"] < HALF).to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], below.astype(np.int64), [0]))))
    first = float(part["edge/grad_share"].iloc[0]) if len(part) else float("nan")
    if not len(edges):
        return Stretch(first, float("nan"), float("nan"), float("nan"))
    begin, end = max(edges.reshape(-1, 2).tolist(), key=lambda pair: pair[1] - pair[0])
    mine = part.iloc[begin:end]
    steps = mine["step"].astype(float)
    return Stretch(first, float(steps.iloc[0]), float(steps.iloc[-1]), float(mine["edge/cos2_theta_0"].median()))


def stretches(sources: Sources, arm: Arm) -> pd.DataFrame:
    """`Stretch` of each run of an arm."""
    return pd.DataFrame([stretch(sources.evidence.history(str(run_id))) for run_id in arm.table["run_id"]])


def arms(sources: Sources) -> dict[str, Arm]:
    """Every arm whose runs are there, by condition."""
    out: dict[str, Arm] = {}
    for study, condition in ARMS:
        try:
            out[condition] = events(sources, study, condition)
        except Absent:
            continue
    if not out:
        raise Absent(f"no run of {DYCK} or {SCALE} is there. Run {sources.evidence.command(DYCK)}")
    return out


def grid(sources: Sources, study: str = DYCK, condition: str = "grok") -> pd.DataFrame:
    """Fall and rise of a condition for every N and W: a row per run, N and W, with (W + 1)·N as `leaves`.

    Raises:
        Absent: if the runs are not there. StoreError: if they have not kept every N.
    """
    tables = [events(sources, study, condition, every, size).table for every in INTERVALS for size in ROWS]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(leaves=(table["rows"] + 1) * table["every"])


def grids(sources: Sources) -> pd.DataFrame:
    """`grid` of every arm whose runs are there and have kept every N."""
    tables = []
    for study, condition in ARMS:
        try:
            tables.append(grid(sources, study, condition))
        except (Absent, StoreError):
            continue
    if not tables:
        raise Absent(f"no run of {DYCK} or {SCALE} is there. Run {sources.evidence.command(DYCK)}")
    return pd.concat(tables, ignore_index=True)


def near_pairs(table: pd.DataFrame, steps: int) -> pd.Series:
    """By (N, W) whether the median over seeds falls within one interval of (W + 1)·N, of those that count in so many steps."""
    usable = table[table["leaves"] <= steps / 2]
    off = usable.assign(off=(usable["falls"] - usable["leaves"]).abs() / usable["every"])
    return off.groupby(["every", "rows"])["off"].agg(middle) <= 1


def middle(values: np.ndarray) -> float:
    """The median where an event that never came counts as latest; NaN if that is the median."""
    found = float(np.median(np.where(np.isfinite(values), values, np.inf)))
    return found if np.isfinite(found) else float("nan")


def step_told(step: float) -> str:
    """A step, or that it never came."""
    return "never" if np.isnan(step) else number(step)

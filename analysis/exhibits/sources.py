"""The runs that a claim reads: asked for by what they are, counted against the study's grid, their ids kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from analysis.reading.evidence import Evidence
from analysis.reading.runs import grid
from grok.numerics.series import first_crossing, slope
from grok.spec.studies import Cell

ENOUGH = 0.8
"""Share of the asked-for runs that must be there (12 of 15, 4 of 5); with less, a claim is not testable yet."""
SLOPE_LAG, FIRST_EPOCH = 25, 100
"""Of the published detector (Xu, eq. 3), whatever the runs' own config says."""


class Absent(Exception):
    """Runs or values that a claim needs are not in the store; the text says which."""


class Sources:
    """What one claim takes from the evidence.

    Attributes:
        evidence: of the store. run_ids: of the runs taken. shortfalls: `14 of 15 runs of headline (diverged: 1a2b)` for each
            incomplete take.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.run_ids: dict[str, None] = {}
        self.shortfalls: list[str] = []

    def take(self, study: str, *, diverged: bool = False, **where: Any) -> pd.DataFrame:
        """The finished runs of a study's grid with these settings, in the grid's order.

        Args:
            study: of the registry.
            diverged: whether runs that diverged count: their histories end early. Otherwise they are a shortfall, by name.
            where: `condition` or config fields; a value, or a tuple of which any will do.

        Raises:
            Absent: if less than `ENOUGH` of them are there.
        """
        wanted = [cell for cell in grid(study) if all(_fits(cell, k, v) for k, v in where.items())]
        if not wanted:
            raise ValueError(f"settings must be in the grid of {study}, got {where}. See grok/spec/studies.")
        hashes = {cell.config.hash: number for number, cell in enumerate(wanted)}
        runs = self.evidence.runs(study)
        runs = runs[runs["config_hash"].isin(hashes)]
        runs = runs.sort_values("config_hash", key=lambda column: column.map(hashes), ignore_index=True)
        fell = "" if diverged or runs.empty else ", ".join(runs.loc[runs["state"] == "diverged", "run_id"])
        if fell:
            runs, fell = runs[runs["state"] != "diverged"].reset_index(drop=True), f" (diverged: {fell})"
        if len(runs) < ENOUGH * len(wanted):
            need = f"{len(runs)} of the {len(wanted)} runs that it needs of the study {study} are there{fell}"
            raise Absent(f"{need}. Run {self.evidence.command(study)}")
        if len(runs) < len(wanted):
            self.shortfalls.append(f"{len(runs)} of {len(wanted)} runs of {study}{fell}")
        self.run_ids |= dict.fromkeys(runs["run_id"])
        return runs


def _fits(cell: Cell, name: str, value: Any) -> bool:
    options = value if isinstance(value, tuple) else (value,)
    own = cell.condition if name == "condition" else getattr(cell.config, name)
    return own in options


def column(runs: pd.DataFrame, name: str) -> np.ndarray:
    """A summary metric per run, float64; NaN where a run has none."""
    return runs[name].to_numpy(dtype=np.float64) if name in runs else np.full(len(runs), np.nan)


def series(sources: Sources, run_id: str, metric: str) -> np.ndarray:
    """A metric of a run by epoch, (T + 1,) float64; NaN where it was not observed, also if it never was."""
    history = sources.evidence.history(run_id)
    return history[metric].to_numpy(dtype=np.float64) if metric in history else np.full(len(history), np.nan)


def at(sources: Sources, runs: pd.DataFrame, metric: str, epoch: int) -> np.ndarray:
    """A metric of each run at an epoch, float64; NaN where it was not observed."""
    found = [series(sources, run_id, metric)[epoch : epoch + 1] for run_id in runs["run_id"]]
    return np.array([values[0] if len(values) else np.nan for values in found])


def fired(runs: pd.DataFrame) -> int:
    """Runs whose detector fired.

    Raises:
        Absent: if that was not recorded of each.
    """
    values = column(runs, "fired")
    if np.isnan(values).any():
        raise Absent(f"whether the detector fired is known of {np.isfinite(values).sum()} of {len(runs)} runs")
    return int(values.sum())


def watched(sources: Sources, runs: pd.DataFrame, metric: str) -> None:
    """That runs have observed a metric at all, so that an event of it that is not there did not come.

    Raises:
        Absent: if one has not.
    """
    blind = [run_id for run_id in runs["run_id"] if np.isnan(series(sources, run_id, metric)).all()]
    if blind:
        raise Absent(f"{metric} was observed in {len(runs) - len(blind)} of {len(runs)} runs")


def by_seed(a: pd.DataFrame, b: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A summary metric of two conditions, entry i of both of one seed; seeds that only one has are left out."""
    shared = sorted(set(a["seed"]) & set(b["seed"]))
    left, right = (column(runs.set_index("seed").loc[shared], name) for runs in (a, b))
    return left, right


def fire_epochs(gaps: Iterable[np.ndarray], threshold: float = 0.04, *, falling: bool = False) -> np.ndarray:
    """The published detector on each gap series: fire epoch, NaN where it never fires.

    Args:
        gaps: (T + 1,) each. threshold: that the slope exceeds. falling: that it goes below instead.
    """
    sign = -1 if falling else 1
    fires = [first_crossing(sign * slope(gap, SLOPE_LAG), sign * threshold, FIRST_EPOCH) for gap in gaps]
    return np.array([np.nan if fire is None else float(fire) for fire in fires])

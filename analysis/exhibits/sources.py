"""The runs that a claim reads: asked for by what they are, counted against the study's grid, their ids kept."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.reading.evidence import Evidence
from analysis.reading.once import once
from analysis.reading.runs import grid
from grok.numerics.series import first_crossing, slope
from grok.spec.blocks import NetworkBlock, OptimisationBlock, TaskBlock
from grok.spec.studies import Cell

ENOUGH = 0.8
"""Share of the asked-for runs that must be there (12 of 15, 4 of 5); with less, a claim is not testable yet."""
SLOPE_LAG, FIRST_EPOCH, THRESHOLD = 25, 100, 0.04
"""Of the published detector (Xu, eq. 3), whatever the runs' own config says."""


ROUNDINGS = "rounding"
"""The study whose runs repeat others by other orders of summation."""
MADE_BY = ("code_version", "protocol", "rounding", "made_on")
"""What made a run's numbers, beside its config, as the run recorded it: the rounding in a word, the device with its torch."""
MAKE = ("code_version", "protocol", "rounding", "rounding_used", "made_on")
"""The columns that it is read from."""
TRAJECTORY = tuple(
    one.name for block in (TaskBlock, NetworkBlock, OptimisationBlock) for one in fields(block) if one.name != "precision"
)
"""Fields of a config that two runs share which differ in rounding, and in what is recorded, alone."""


class Absent(Exception):
    """Runs or values that a claim needs are not in the store; the text says which."""


class Selected(NamedTuple):
    """Some cells' runs. Shared: not to be changed.

    Attributes:
        runs: finished, in the order of the cells. fell: ` (diverged: …)` of those that were passed over. made_by: as `Sources`.
    """

    runs: pd.DataFrame
    fell: str
    made_by: dict[str, tuple[str, ...]]


class Sources:
    """What one claim takes from the evidence.

    Attributes:
        evidence: of the store. run_ids: of the runs taken. shortfalls: `14 of 15 runs of headline (diverged: 1a2b)` for each
            incomplete take. made_by: `MADE_BY` of each run taken, in its order; empty where it is not known.
        rounding: one of `replicates`, whose runs are taken in place of those asked for wherever all that are asked for at once
            have one; None for these themselves. replaced: runs that were. asked: the cells that were asked for at once, and
            whether runs that diverged count, each time.
    """

    def __init__(self, evidence: Evidence, rounding: str | None = None) -> None:
        self.evidence, self.rounding = evidence, rounding
        self.run_ids: dict[str, None] = {}
        self.shortfalls: list[str] = []
        self.made_by: dict[str, tuple[str, ...]] = {}
        self.replaced = 0
        self.asked: list[tuple[list[Cell], bool]] = []

    def take(self, study: str, *, diverged: bool = False, **where: Any) -> pd.DataFrame:
        """The finished runs of a study's grid with these settings, in the grid's order.

        Args:
            study: of the registry.
            diverged: whether runs that diverged count: their histories end early. Otherwise they are a shortfall, by name.
            where: `condition` or config fields; a value, or a tuple of which any will do.

        Raises:
            Absent: if less than `ENOUGH` of them are there.
        """
        if not grid(study):
            raise Absent(f"the project has no study {study}. Run {self.evidence.command(study)}")
        wanted = [cell for cell in grid(study) if all(_fits(cell, k, v) for k, v in where.items())]
        if not wanted:
            raise ValueError(f"settings must be in the grid of {study}, got {where}. See grok/spec/studies.")
        self.asked.append((wanted, diverged))
        other = [] if self.rounding is None else self._other(wanted, self.rounding, diverged)
        if other:
            wanted, study = other, ROUNDINGS
            self.replaced += len(other)
        runs, fell = self._there(study, wanted, diverged)
        if len(runs) < ENOUGH * len(wanted):
            need = f"{len(runs)} of the {len(wanted)} runs that it needs of the study {study} are there{fell}"
            raise Absent(f"{need}. Run {self.evidence.command(study)}")
        if len(runs) < len(wanted):
            self.shortfalls.append(f"{len(runs)} of {len(wanted)} runs of {study}{fell}")
        self.run_ids |= dict.fromkeys(runs["run_id"])
        self.made_by |= self._cells(study, wanted, diverged).made_by
        return runs

    def changed(self, rounding: str) -> bool:
        """Whether a rounding has runs in place of any that were asked for; if not, with it the same comes out."""
        return any(self._other(wanted, rounding, diverged) for wanted, diverged in self.asked)

    def _other(self, wanted: list[Cell], rounding: str, diverged: bool) -> list[Cell]:
        """The cells that repeat some by a rounding; none where too few of their runs are there."""
        if self.evidence.runs(ROUNDINGS).empty or not (other := _replaced(wanted, rounding)):
            return []
        return other if len(self._there(ROUNDINGS, other, diverged)[0]) >= ENOUGH * len(other) else []

    def _there(self, study: str, wanted: list[Cell], diverged: bool) -> tuple[pd.DataFrame, str]:
        """The finished runs of some cells of a study, in their order, and which were passed over since they diverged."""
        found = self._cells(study, wanted, diverged)
        return found.runs.copy(deep=False), found.fell

    def _cells(self, study: str, wanted: list[Cell], diverged: bool) -> Selected:
        hashes = tuple(_hash(cell) for cell in wanted)
        return once(self.evidence, ("cells", study, hashes, diverged), lambda: _select(self.evidence, study, hashes, diverged))


def _select(evidence: Evidence, study: str, hashes: tuple[str, ...], diverged: bool) -> Selected:
    """`Sources._there` by the hashes of configs."""
    places = {text: number for number, text in enumerate(hashes)}
    runs = evidence.runs(study)
    if runs.empty:
        return Selected(runs, "", {})
    runs = runs[runs["config_hash"].isin(places)]
    runs = runs.sort_values("config_hash", key=lambda column: column.map(places), ignore_index=True)
    fell = "" if diverged or runs.empty else ", ".join(runs.loc[runs["state"] == "diverged", "run_id"])
    if fell:
        runs, fell = runs[runs["state"] != "diverged"].reset_index(drop=True), f" (diverged: {fell})"
    told = runs[runs.columns.intersection(["run_id", *MAKE])].to_dict("records")
    return Selected(runs, fell, {str(run["run_id"]): _made_by(run) for run in told})


def replicates() -> tuple[str, ...]:
    """The roundings that the registry's study of them has, in its order; none without it."""
    return tuple(dict.fromkeys(rounding_of(cell) for cell in grid(ROUNDINGS)))


def rounding_of(cell: Cell) -> str:
    """The name of a cell's rounding: as its config spells it, and `float64` where it trains in that."""
    named = str(getattr(cell.config, "rounding", "auto"))
    if cell.config.precision == "float32":
        return named
    return cell.config.precision + ("" if named == "auto" else f" {named}")


@functools.cache
def _hash(cell: Cell) -> str:
    return cell.config.hash


def _trajectory(cell: Cell) -> tuple[Any, ...]:
    return tuple(getattr(cell.config, name) for name in TRAJECTORY)


Repeated = dict[tuple[str, tuple[Any, ...]], Cell]
_LAST: list[tuple[tuple[Cell, ...], Repeated]] = []
"""The cells that were asked for last, and what they repeat."""


def _repeated(cells: tuple[Cell, ...]) -> Repeated:
    """Cells by rounding and trajectory; remembered of the same tuple, as hashing hundreds of configs takes as long as this."""
    if not _LAST or _LAST[0][0] is not cells:
        _LAST[:] = [(cells, {(rounding_of(cell), _trajectory(cell)): cell for cell in cells})]
    return _LAST[0][1]


def _replaced(wanted: Iterable[Cell], rounding: str) -> list[Cell]:
    """The cells of the study of roundings that repeat some by one of them; none where one of them has none."""
    there = _repeated(grid(ROUNDINGS))
    found = [there.get((rounding, _trajectory(cell))) for cell in wanted]
    return [] if None in found else [cell for cell in found if cell is not None]


def _made_by(run: dict[Any, Any]) -> tuple[str, ...]:
    used = run.get("rounding_used") or run.get("rounding") or ""
    made = (run.get("code_version", ""), run.get("protocol", ""), used, run.get("made_on", ""))
    return tuple("" if pd.isna(one) else str(one) for one in made)


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


def fire_epochs(gaps: Iterable[np.ndarray], threshold: float = THRESHOLD, *, falling: bool = False) -> np.ndarray:
    """The published detector on each gap series: fire epoch, NaN where it never fires.

    Args:
        gaps: (T + 1,) each. threshold: that the slope exceeds. falling: that it goes below instead.
    """
    sign = -1 if falling else 1
    fires = [first_crossing(sign * slope(gap, SLOPE_LAG), sign * threshold, FIRST_EPOCH) for gap in gaps]
    return np.array([np.nan if fire is None else float(fire) for fire in fires])

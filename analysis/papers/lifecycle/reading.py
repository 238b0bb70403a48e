"""What the lifecycle's claims read of a run: its history by step, its windows of any N and W, its anatomy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from analysis.exhibits.sources import Absent, Sources
from analysis.reading.once import once
from grok.numerics.ledger import Ledger, coarsen
from grok.recorders.anatomy import TABLE
from grok.recorders.edge import LEDGER, OTHERS
from grok.runs import edge_shares
from grok.runs.edge_shares import windows
from grok.spec.config import RunConfig
from grok.store.errors import StoreError

DYCK, SCAN, MINI, MODULAR = "lifecycle-dyck", "lifecycle-scan", "lifecycle-scan-mini", "lifecycle-modular"
SCALE, INTERVENTION, LONG = "lifecycle-scale", "lifecycle-intervention", "lifecycle-long"
STORED = (200, 100, 50, 25)
"""Intervals that runs keep."""
HALF = 0.5
PUBLISHED_N, PUBLISHED_W = 100, 5


class Flip(NamedTuple):
    """When grad% falls below one half and rises again, in steps; NaN where it never does.

    Attributes:
        falls, rises: steps. first: step of the first full window. crossings: of one half from the first full window on.
    """

    falls: float
    rises: float
    first: int
    crossings: int = 0


def run_of(sources: Sources, study: str, condition: str, seed: int, **where: Any) -> pd.Series:
    """One run by condition and seed.

    Raises:
        Absent: if it is not there.
    """
    return sources.take(study, condition=condition, seed=seed, **where).iloc[0]


def seed_42(sources: Sources, condition: str = "grok") -> str:
    """Id of the run of Dyck-1 that most numbers were printed of."""
    return str(run_of(sources, DYCK, condition, 42)["run_id"])


def runs_of(sources: Sources, condition: str = "grok") -> list[str]:
    """Ids of the runs of Dyck-1 of a condition, a seed each."""
    return [str(run_id) for run_id in sources.take(DYCK, condition=condition)["run_id"]]


def setting(run: Mapping[Any, Any], name: str) -> Any:
    """A field of a run's config, None where it is `auto`; its default where the table lacks it, as no run there has another."""
    found = run.get(name, getattr(RunConfig(), name))
    return None if found is None or found == "auto" else found


def value(sources: Sources, run_id: str, metric: str, step: int, reach: int = 0) -> float:
    """A metric of the history at a step, or the median of the snapshots within `reach` steps of it.

    Raises:
        Absent: if it was not measured there.
    """
    history = sources.evidence.history(run_id)
    if metric not in history or "step" not in history:
        raise Absent(f"{metric} was not measured in run {run_id}")
    found = history.loc[(history["step"] - step).abs() <= reach, metric].dropna()
    if found.empty:
        raise Absent(f"{metric} was not measured at step {step} of run {run_id}")
    return float(found.median())


def grok_step(sources: Sources, run_id: str, level: float, every: int = 1) -> float:
    """First evaluated step, of the multiples of `every`, with test accuracy at or above a level; NaN if there is none."""
    return once(sources.evidence, ("grok step", run_id, level, every), lambda: _grok_step(sources, run_id, level, every))


def _grok_step(sources: Sources, run_id: str, level: float, every: int) -> float:
    history = sources.evidence.history(run_id)
    reached = history.loc[(history["accuracy/test"] >= level) & (history["step"] % every == 0), "step"]
    return float(reached.iloc[0]) if len(reached) else float("nan")


_TABLES: WeakKeyDictionary[Any, dict[str, dict[str, pd.DataFrame]]] = WeakKeyDictionary()
"""Anatomies by kind, by run id, of the files they are from: a claim asks for many numbers of one."""
EVERY = 100
"""Steps between the states of the paper's ablations, and of its windows of updates."""
EVERYTHING = "everything"
"""In place of a part of a segment's name: all parameters, where a run has kept them."""


def ledger(sources: Sources, run_id: str, every: int, blocks: str = "") -> Ledger:
    """The inner products of intervals of N steps, read from a coarser sum of shorter ones where the run has not kept N itself.

    Args:
        blocks: of the segments whose name has this text in it; the attention's without it; `EVERYTHING` for all parameters.

    Raises:
        Absent: if the run keeps the attention alone and all parameters are asked for. StoreError: if it has no such intervals.
    """
    arrays, factor = _arrays(sources, run_id, every)
    names = arrays["segments"].tolist()
    if blocks == EVERYTHING and OTHERS not in names:
        raise Absent(f"run {run_id} has kept the attention's weights alone")
    if blocks == EVERYTHING:
        found = Ledger(**{name: arrays[name] for name in Ledger._fields}).of(range(len(names)))
    else:
        found = edge_shares.attention(arrays, blocks)
    return found if factor == 1 else coarsen(found, factor)


def _arrays(sources: Sources, run_id: str, every: int) -> tuple[dict[str, np.ndarray], int]:
    """The arrays of N, or those of the longest stored interval that N is a multiple of, and the multiple."""
    try:
        return sources.evidence.files.arrays(run_id, LEDGER.format(every)), 1
    except StoreError:
        for stored in (one for one in STORED if one < every and every % one == 0):
            try:
                return sources.evidence.files.arrays(run_id, LEDGER.format(stored)), every // stored
            except StoreError:
                continue
        raise


def segments(sources: Sources, run_id: str, every: int = 100) -> list[str]:
    """Names of the attention's matrices, block by block."""
    return [name for name in _arrays(sources, run_id, every)[0]["segments"].tolist() if name != OTHERS]


def shares(sources: Sources, run_id: str, every: int, size: int) -> pd.DataFrame:
    """grad% of the attention's edge in every window of N and W: `step`, `share`, `full`; measured, or from the ledger.

    Raises:
        StoreError: if the run has neither.
    """
    try:
        table = sources.evidence.measured(run_id, "edge")
    except StoreError:
        table = pd.DataFrame(columns=["every", "rows"])
    table = table[(table["every"] == every) & (table["rows"] == size)]
    if len(table):
        return table[["step", "share", "full"]].reset_index(drop=True)
    return edge_shares.shares(windows(ledger(sources, run_id, every), size), every, size)


def flip_of(sources: Sources, run_id: str, every: int, size: int) -> Flip:
    """`flip` of a run's `shares`."""
    return once(sources.evidence, ("flip", run_id, every, size), lambda: flip(shares(sources, run_id, every, size)))


def flip(table: pd.DataFrame) -> Flip:
    """When grad% of the first direction falls and rises, by the words of the preregistration; a table as `shares` gives it."""
    steps, found, full = (table[name].to_numpy() for name in ("step", "share", "full"))
    first = int(steps[full][0]) if full.any() else 0
    held = np.maximum.accumulate(found >= HALF) if len(found) else np.zeros(0, dtype=bool)
    down = np.flatnonzero(full & (found < HALF) & held)
    crossings = int(np.count_nonzero(np.diff(found[full] >= HALF)))
    if not len(down):
        return Flip(float("nan"), float("nan"), first, crossings)
    up = np.flatnonzero((steps > steps[down[0]]) & (found >= HALF))
    return Flip(float(steps[down[0]]), float(steps[up[0]]) if len(up) else float("nan"), first, crossings)


def anatomy(sources: Sources, run_id: str, kind: str) -> pd.DataFrame:
    """Rows of one kind of `anatomy.parquet`: step, name, x, value."""
    kept = _TABLES.setdefault(sources.evidence.files, {})
    if run_id not in kept:
        content = sources.evidence.files.file(run_id, TABLE).content
        if not isinstance(content, pd.DataFrame):
            raise Absent(f"run {run_id} has no table of its anatomy")
        kept[run_id] = {str(name): part.drop(columns="kind") for name, part in content.groupby("kind")}
    if kind not in kept[run_id]:
        raise Absent(f"no {kind} was measured of run {run_id}")
    return kept[run_id][kind].reset_index(drop=True)


def measured(sources: Sources, run_id: str, kind: str, name: str, step: int, reach: int = 0) -> float:
    """One number of the anatomy, or the median of those within `reach` steps.

    Raises:
        Absent: if it was not measured at that step.
    """
    table = anatomy(sources, run_id, kind)
    found = table.loc[((table["step"] - step).abs() <= reach) & (table["name"] == name), "value"]
    if found.empty:
        raise Absent(f"{kind} {name} was not measured at step {step} of run {run_id}")
    return float(found.median())

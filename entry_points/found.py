"""What a command found, in a sentence, and what to look at next: for a person at a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grok.spec.studies import Study
    from grok.store.store import Store

UI = "http://127.0.0.1:5000"
"""Where `mlflow ui` shows the store, unless it is told otherwise."""
CONDITIONS = 6
"""Conditions that a study's sentence tells; the run has all."""
MADE = {"kind": "train", "state": "complete"}


def say(*lines: str) -> None:
    """Print what is to be said on standard error, if that is a terminal, as with progress bars; empty lines are left out."""
    if sys.stderr.isatty():
        for line in lines:
            if line:
                print(line, file=sys.stderr)


def of_run(summary: Mapping[str, float]) -> str:
    """When the detector fired and how the network generalised, from a run's summary."""
    parts = []
    if "fired" in summary:
        when = summary.get("fire_epoch", math.nan)
        parts.append(f"The detector fires at epoch {when:.0f}" if summary["fired"] else "The detector does not fire")
    reached = summary.get("test_50_epoch", math.nan)
    if not math.isnan(reached):
        parts.append(f"test accuracy reaches 0.5 at epoch {reached:.0f}")
    ended = summary.get("accuracy/test", math.nan)
    if not math.isnan(ended):
        parts.append(f"test accuracy ends at {ended:.3f}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def of_study(conditions: Any) -> str:
    """How often the detector fires by condition, from the table of a study's conditions; empty without one."""
    if not len(conditions) or not {"condition", "fired", "runs"} <= set(conditions.columns):
        return ""
    names = ["condition", *(name for name in ("activation",) if name in conditions.columns)]
    rows = conditions.to_dict("records")
    told = [f"{' '.join(str(row[name]) for name in names)} {row['fired']} of {row['runs']}" for row in rows[:CONDITIONS]]
    more = f", and {len(rows) - CONDITIONS} more" if len(rows) > CONDITIONS else ""
    return f"The detector fires in: {', '.join(told)}{more}."


def look(experiment: str, run_id: str, further: str) -> str:
    """Where the run is to be seen, and the next command.

    Args:
        experiment: its id. run_id: of the run. further: a command.
    """
    return f"Look: mlflow ui, then {UI}/#/experiments/{experiment}/runs/{run_id}. Next: {further}"


def plan_line(store: Store | None, study: Study) -> str:
    """How many cells of a study are in the store already, and about how many minutes the others take, one after the other.

    The time is that of the runs that are there, by their work; unknown where there is none.

    Args:
        store: None where there is none yet. study: its grid.
    """
    from grok.spec.studies import training_flops

    runs = [] if store is None else store.find(MADE)
    there = {run.get("config_hash") for run in runs}
    seconds = {run.get("config_hash"): run.metrics["elapsed_s"] for run in runs if run.metrics.get("elapsed_s", 0) > 0}
    work = {cell.config.hash: training_flops(cell.config) for cell in study.cells}
    todo = [hash for hash in work if hash not in there]
    known = sorted(seconds[hash] / work[hash] for hash in work if hash in seconds)
    text = f"{len(todo)} to train, {len(work) - len(todo)} there already"
    if todo and known:
        minutes = sum(work[hash] for hash in todo) * known[len(known) // 2] / 60
        text += f", about {max(1, round(minutes))} min of one worker, by the runs of this study that are there"
    return f"{text}."

"""What a study found, for its page in the MLflow UI: one sentence, numbers by condition, links to its runs."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd

from analysis import words
from analysis.studies.summary import PLAIN
from grok.runs.cells import Result
from grok.store import views
from grok.store.markdown import inert

TOLD = 6
"""Conditions that the sentence tells; the table has all."""
FOUND, COUNTED = "found", "counted"
"""What the table of conditions calls the sentence of its study, and the runs of its tables, none where these lack a cell."""
GRAD_SHARE = "edge/grad_share"
"""Metric of the share of the edge that is the gradient's; a study that has it asks after the edge."""
HALF = 0.5
"""Test accuracy from which on pairs have an epoch of generalisation; grad% below which the edge is weight decay's."""
SEPARATE = 24
"""Settings up to which each has numbers of its own; of more, the conditions have."""
FORBIDDEN = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow takes in no metric's name."""
LONGEST = 200
"""Characters of a condition or a setting in a metric's name, of which MLflow takes 250 in all."""
MEDIANS = {"median_epoch": "fire_epoch", "late_gap": "late_gap_23", "median_test_50_epoch": "test_50_epoch"}
"""Metrics of the parent run, and the columns of the table of conditions that they are."""


def sentence(conditions: pd.DataFrame) -> str:
    """How often the detector fires, and when, by condition, after what became of test accuracy; empty where there is no run.

    Args:
        conditions: as `summary.conditions` gives them, or none.
    """
    if not len(conditions) or not {"condition", "fired", "runs"} <= set(conditions.columns):
        return ""
    names = [name for name in PLAIN if name in conditions.columns]
    rows = conditions.to_dict("records")
    told = [
        f"{' '.join(str(row[name]) for name in names)} {row['fired']} of {row['runs']}{_median(row)}" for row in rows[:TOLD]
    ]
    more = f", and {len(rows) - TOLD} more" if len(rows) > TOLD else ""
    fires = f"The detector fires in: {', '.join(told)}{more}."
    return f"{_accuracy(rows, names)}{fires}"


def edge(table: pd.DataFrame, histories: Mapping[str, pd.DataFrame]) -> str:
    """When grad% of the edge first falls below one half, by condition; empty where no run has measured it.

    Args:
        table: a row per run: run_id, condition. histories: by run id: step or epoch, and `GRAD_SHARE` where it was measured.
    """
    told = []
    for condition, runs in table.groupby("condition", sort=False):
        falls = [_first_below(histories[run_id]) for run_id in map(str, runs["run_id"]) if GRAD_SHARE in histories[run_id]]
        came = [one for one in falls if one is not None]
        if falls:
            when = f" ({'median ' if len(came) > 1 else ''}step {words.number(median(came))})" if came else ""
            told.append(f"{condition} {len(came)} of {len(falls)}{when}")
    more = f", and {len(told) - TOLD} more" if len(told) > TOLD else ""
    return f"grad% of the edge falls below one half in: {', '.join(told[:TOLD])}{more}." if told else ""


def _first_below(history: pd.DataFrame) -> float | None:
    clock = "step" if "step" in history else "epoch"
    below = history.loc[history[GRAD_SHARE] < HALF, clock]
    return float(below.min()) if len(below) else None


def _accuracy(rows: Sequence[Mapping[Hashable, Any]], names: Sequence[str]) -> str:
    """Test accuracy at the end where it gets to a half and no epoch of that is told, as of sequences; empty otherwise."""
    if any(row.get("test_50_epoch_n") for row in rows) or not any((row.get("accuracy/test") or 0.0) >= HALF for row in rows):
        return ""
    told = [
        f"{' '.join(str(row[name]) for name in names)} {words.number(float(row['accuracy/test']))}"
        for row in rows[:TOLD]
        if pd.notna(row.get("accuracy/test"))
    ]
    return f"Test accuracy at the end (median): {', '.join(told)}. "


def _median(row: dict[Hashable, Any]) -> str:
    middle = row.get("fire_epoch")
    if not row["fired"] or middle is None or pd.isna(middle):
        return ""
    return f" ({'median ' if row['fired'] > 1 else ''}epoch {words.number(middle)})"


def metrics(conditions: pd.DataFrame, done: int, cells: int) -> dict[str, float]:
    """Headline numbers of a study by condition: `fires/grok` of `of/grok`, `median_epoch/grok`, `late_gap/grok`.

    Where more than the condition varies, the settings that do are in the name: `fires/grok relu`. Of many settings, the counts
    of each condition are told alone: a median over unlike networks says nothing.

    Args:
        conditions: as `summary.conditions` gives them. done: cells that are. cells: of the study.

    Returns:
        By metric name; a median that no run has is left out.
    """
    out: dict[str, float] = {"runs/done": done, "runs/of": cells}
    if not len(conditions):
        return out
    if len(conditions) > SEPARATE:
        gathered = conditions.groupby("condition", sort=False)[["fired", "runs"]].sum()
        for name, counts in gathered.iterrows():
            out |= {f"fires/{_safe(str(name))}": float(counts["fired"]), f"of/{_safe(str(name))}": float(counts["runs"])}
        return out
    keys = list(conditions.columns[: list(conditions.columns).index("runs")])
    needed = _needed(conditions, keys)
    for row in conditions.to_dict("records"):
        name = _safe(" ".join(str(row[key]) if key in PLAIN else f"{key}:{row[key]}" for key in needed))
        out |= {f"fires/{name}": float(row["fired"]), f"of/{name}": float(row["runs"])}
        out |= {f"{title}/{name}": float(row[column]) for title, column in MEDIANS.items() if pd.notna(row.get(column))}
    return out


def _needed(conditions: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """`condition` and the fewest settings that tell the rows apart, activation and optimizer first."""
    kept = ["condition"]
    for name in sorted((key for key in keys if key != "condition"), key=lambda key: key not in PLAIN):
        if conditions.groupby(kept, sort=False)[name].nunique().max() > 1:
            kept.append(name)
    return kept


def _safe(text: str) -> str:
    """As MLflow takes it in a metric's name, which is to be a path that leads nowhere else, and not too long."""
    parts = FORBIDDEN.sub("_", text)[:LONGEST].split("/")
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)


def links(study: str, experiment_id: str, results: Sequence[Result], homes: Mapping[str, str]) -> str:
    """Every cell of a study as a link to its run, reused ones too, and the list of them all; Markdown.

    Args:
        study: its name. experiment_id: of its parent run. results: of the command.
        homes: the experiment of each run that is in another perhaps, by run id.
    """
    by_condition: dict[str, list[Result]] = {}
    for result in results:
        if result.run_id:
            by_condition.setdefault(result.cell.condition, []).append(result)
    lines = [f"Runs: [all in a list]({views.members_page(experiment_id, study)})."]
    for condition, found in by_condition.items():
        told = [_link(result, homes.get(result.run_id, experiment_id)) for result in found]
        lines.append(f"- {inert(condition)}: {' · '.join(told)}")
    return "\n".join([lines[0], "", *lines[1:]])


def _link(result: Result, experiment_id: str) -> str:
    config = result.cell.config
    mark = " (reused)" if result.reused else ""
    kind = config.activation if config.task == "modular" else config.task
    return f"[{inert(kind)} {config.seed}]({views.run_page(experiment_id, result.run_id)}){mark}"
